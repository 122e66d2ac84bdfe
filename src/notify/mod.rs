//! Tells somebody outside what a run came to: a webhook, a chat, a mail, a ping.
//! Owns what goes over the wire and how often it is tried; what it says to
//! people was worded elsewhere, and who wants to hear what is a [`Receiver`]'s.
//!
//! Invariant: no [`Sent`], no [`NotifyError`] and no place ever holds a secret;
//! a chat's or a ping's URL is one as a whole, but for its host.

use std::sync::Arc;

use crate::event::{Event, EventKind};

mod chat;
mod deliver;
mod email;
mod endpoint;
mod http;
mod patience;
mod ping;
mod webhook;

pub use chat::{Chat, ChatKind};
pub use deliver::{Delivery, Job, deliver};
pub use email::{Email, EmailAccount, EmailTls, is_mailbox};
pub use endpoint::Endpoint;
pub use http::HttpClient;
pub use patience::Patience;
pub use ping::{Ping, PingUrls};
pub use webhook::Webhook;

/// Why something is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A run begins; only pings tell that.
    Begin,
    /// A run is over.
    End,
    /// A run is over and ended with an error, whatever its events say.
    BrokenEnd,
    /// Somebody tries whether messages arrive.
    Test,
}

/// What is told to one receiver.
#[derive(Clone, Debug)]
pub struct Notice {
    pub occasion: Occasion,
    /// In order; empty of a run that begins, or that had nothing to do.
    pub events: Vec<Event>,
    pub text: Wording,
}

impl Notice {
    /// Whether the run, as far as it is told, failed somewhere.
    pub fn is_failure(&self) -> bool {
        self.occasion == Occasion::BrokenEnd
            || self.events.iter().any(|event| !event.kind.is_success())
    }
}

/// A notice for people. No control characters stand in it, so that a name from
/// outside can begin no header and no line of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wording {
    /// One line that says all that matters.
    pub title: String,
    /// What happened, the worst first; one line each.
    pub lines: Vec<String>,
    /// Such as ("host", "db1").
    pub facts: Vec<(&'static str, String)>,
    /// What to type next.
    pub commands: Vec<String>,
}

impl Wording {
    /// The whole as plain text, lines ended by newlines.
    pub fn plain(&self) -> String {
        let mut text = String::new();
        let mut paragraph = |lines: &mut dyn Iterator<Item = String>| {
            let before = text.len();
            for line in lines {
                if before > 0 && text.len() == before {
                    text.push('\n');
                }
                text.push_str(&line);
                text.push('\n');
            }
        };
        paragraph(&mut self.lines.iter().cloned());
        paragraph(
            &mut self
                .facts
                .iter()
                .map(|(name, fact)| format!("{name}: {fact}")),
        );
        paragraph(&mut self.commands.iter().map(|command| format!("    {command}")));
        text
    }
}

/// A notice that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What was sent: "2 calls", "start".
    pub what: String,
    /// What the other side answered: "200 ok".
    pub answer: String,
}

/// Why a notice was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// It was not even tried: the receiver is not set up as it should be.
    #[error("{0}")]
    Setup(String),
    /// Nobody answered, or who did is not well just now. Worth another try.
    #[error("{0}")]
    Unreachable(String),
    /// As that, and it says how long it wants to be left alone.
    #[error("{why}")]
    Busy {
        why: String,
        wait: std::time::Duration,
    },
    /// The answer was a no that stays one.
    #[error("{0}")]
    Refused(String),
    #[error("there was no time left for it")]
    OutOfTime,
}

/// A way to tell somebody.
///
/// Every driver promises: it returns by its patience's end and one call; it
/// follows no redirects; of an answer it reads some KiB at most; it tells one
/// notice once, as far as the other side's answer shows.
pub trait Notifier: Send + Sync {
    /// The host that it tells, for people.
    fn host(&self) -> &str;

    /// Whether what is sent, and the URL's token, can be read on the way.
    fn is_in_clear(&self) -> bool {
        false
    }

    /// Sends the notice and waits for the answer.
    fn send(&self, notice: &Notice, patience: &Patience) -> Result<Sent, NotifyError>;
}

/// A configured notifier and what it wants to hear.
pub struct Receiver {
    /// By which people choose it; no two have the same.
    pub name: String,
    /// "webhook", "slack", "discord", "teams", "email" or "ping".
    pub kind: &'static str,
    pub interest: Interest,
    /// The error is why it cannot be used, such as a secret's file that is gone.
    pub notifier: Result<Arc<dyn Notifier>, NotifyError>,
}

/// What a receiver wants to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interest {
    /// What happened, if it is one of these.
    Events(Vec<EventKind>),
    /// That a run of one of these commands began, and how it ended.
    Runs {
        /// "backup" is "backup db" too.
        commands: Vec<String>,
        /// Only runs of this schedule.
        schedule: Option<String>,
    },
}

impl Interest {
    /// Whether the beginning of a run is to be told too.
    pub fn in_beginning(&self, command: &str, schedule: Option<&str>) -> bool {
        match self {
            Self::Events(_) => false,
            Self::Runs {
                commands,
                schedule: wanted,
            } => {
                let is_it = |wanted: &String| {
                    let rest = command.strip_prefix(wanted.as_str());
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
                };
                let schedule = wanted.is_none() || wanted.as_deref() == schedule;
                schedule && commands.iter().any(is_it)
            }
        }
    }

    /// Which of a run's events are to be told; `None` where the run is not.
    pub fn in_end(
        &self,
        events: &[Event],
        command: &str,
        schedule: Option<&str>,
    ) -> Option<Vec<Event>> {
        match self {
            Self::Events(kinds) => {
                let wanted = events.iter().filter(|event| kinds.contains(&event.kind));
                let wanted: Vec<Event> = wanted.cloned().collect();
                (!wanted.is_empty()).then_some(wanted)
            }
            Self::Runs { .. } => self
                .in_beginning(command, schedule)
                .then(|| events.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_for_its_commands_and_its_schedule() {
        let pings = |commands: &[&str], schedule: Option<&str>| Interest::Runs {
            commands: commands.iter().map(|&command| command.to_owned()).collect(),
            schedule: schedule.map(str::to_owned),
        };
        for (interest, command, schedule, heard) in [
            (pings(&["backup"], None), "backup db", None, true),
            (pings(&["backup"], None), "backup source", Some("x"), true),
            (pings(&["backup db"], None), "backup source", None, false),
            (pings(&["back"], None), "backup db", None, false),
            (pings(&["backup"], None), "verify", None, false),
            (pings(&["backup"], Some("night")), "backup db", None, false),
            (
                pings(&["backup"], Some("night")),
                "backup db",
                Some("night"),
                true,
            ),
        ] {
            assert_eq!(
                interest.in_beginning(command, schedule),
                heard,
                "{command} of {interest:?}"
            );
            assert_eq!(interest.in_end(&[], command, schedule).is_some(), heard);
        }
    }

    #[test]
    fn plain_text_has_its_parts_apart() {
        let text = Wording {
            title: "t".to_owned(),
            lines: vec!["one".to_owned(), "two".to_owned()],
            facts: vec![("host", "db1".to_owned())],
            commands: vec!["kluis list".to_owned()],
        };
        assert_eq!(text.plain(), "one\ntwo\n\nhost: db1\n\n    kluis list\n");
        assert_eq!(Wording::default().plain(), "");
    }
}
