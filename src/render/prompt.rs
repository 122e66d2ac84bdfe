//! Asking before something is lost. Only ever on a terminal: a script has to say
//! `--yes` instead.

use std::io::{self, BufRead, IsTerminal};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::View;
use super::console::Console;
use super::list::{ListRow, numbered};
use super::style::{Style, line, lines};
use crate::cancel::{Cancel, Cancelled};
use crate::exit::Exit;

/// A pressed Ctrl-C is noticed at the latest after this.
const CANCEL_POLL: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error("this needs a confirmation, and there is no terminal to ask on")]
    NoTerminal,
    #[error("not confirmed; nothing was changed")]
    Declined,
    #[error("left; nothing was changed")]
    Left,
    #[error("cannot read the answer: {0}")]
    Unreadable(#[source] io::Error),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl PromptError {
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoTerminal => Exit::Usage,
            Self::Declined | Self::Left | Self::Unreadable(_) => Exit::Failed,
            Self::Cancelled(cancelled) => Exit::Signal(cancelled.signal),
        }
    }

    /// What the operator can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Declined => "answer with exactly the word that is asked for",
            Self::Left => "kluis restore begins again",
            _ => "say --yes to go on without being asked",
        }
        .to_owned()
    }
}

impl Console {
    /// Whether somebody is there to answer.
    pub fn can_ask(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Shows backups to choose from by their number.
    pub fn number(&self, rows: &[&ListRow], view: &View) {
        self.print_aside(&numbered(rows, view));
    }

    /// Asks for one line. An empty one means `default`; the end of the input
    /// means that nobody wants to go on.
    pub fn ask(
        &self,
        question: &str,
        default: Option<&str>,
        cancel: &Cancel,
    ) -> Result<String, PromptError> {
        if !self.can_ask() {
            return Err(PromptError::NoTerminal);
        }
        let offered = default.map_or_else(String::new, |text| format!(" [{}]", line(text)));
        self.print_aside(&format!("{}{offered}: ", lines(question)));
        let answer = read_answer(cancel)?;
        match (answer.trim(), default) {
            ("", _) if !answer.ends_with('\n') => Err(PromptError::Declined),
            ("", Some(default)) => Ok(default.to_owned()),
            ("", None) => Err(PromptError::Declined),
            (said, _) => Ok(said.to_owned()),
        }
    }

    /// Goes on only if `expected` is typed: `yes`, or the name of what is about
    /// to be replaced.
    pub fn confirm(
        &self,
        question: &str,
        expected: &str,
        cancel: &Cancel,
    ) -> Result<(), PromptError> {
        if !self.can_ask() {
            return Err(PromptError::NoTerminal);
        }
        let word = Style::Bold.paint(line(expected));
        self.print_aside(&format!("{}\nType {word} to go on: ", lines(question)));
        let answer = read_answer(cancel)?;
        if answer.trim_end_matches(['\n', '\r']) == expected {
            return Ok(());
        }
        Err(PromptError::Declined)
    }
}

/// One line of stdin. Read on a thread of its own, as a signal does not end a
/// read; the thread is left behind when the run is cancelled.
fn read_answer(cancel: &Cancel) -> Result<String, PromptError> {
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer).map(|_| answer);
        // Nobody waits any more after a cancellation.
        let _ = sender.send(read);
    };
    let thread = thread::Builder::new().name("answer".to_owned());
    thread.spawn(read).map_err(PromptError::Unreadable)?;
    loop {
        match receiver.recv_timeout(CANCEL_POLL) {
            Ok(answer) => return answer.map_err(PromptError::Unreadable),
            Err(RecvTimeoutError::Timeout) => cancel.check()?,
            Err(RecvTimeoutError::Disconnected) => return Err(PromptError::Declined),
        }
    }
}
