//! Who is told of failures, and whether they can be: nothing is sent.

use crate::commands::messages::{USE_HTTPS, in_clear};
use crate::commands::session::Session;
use crate::notify::{Interest, Receiver};
use crate::render::Check;
use crate::wiring;

const AREA: &str = "messages";

pub fn checks(session: &Session<'_>) -> Vec<Check> {
    let receivers = wiring::receivers(&session.settings);
    if receivers.is_empty() {
        let found = "nobody is told when a backup fails; [notify] in kluis.toml would";
        return vec![Check::ok(AREA, found)];
    }
    let mut checks: Vec<Check> = receivers.iter().map(check).collect();
    let hears = |it: &Receiver| match &it.interest {
        Interest::Events(kinds) => kinds.iter().any(|kind| !kind.is_success()),
        Interest::Runs { .. } => true,
    };
    if !receivers.iter().any(hears) {
        checks.push(Check::warn(
            AREA,
            "no receiver hears of failures",
            "set on_failure = true under [notify], or at a receiver",
        ));
    }
    checks
}

fn check(receiver: &Receiver) -> Check {
    let Receiver { name, kind, .. } = receiver;
    let what = match name == kind {
        true => name.clone(),
        false => format!("{name} ({kind})"),
    };
    match &receiver.notifier {
        Err(error) => Check::warn(
            AREA,
            format!("{what} cannot be used: {error}"),
            "mend that under [notify] in kluis.toml; until then it hears nothing",
        ),
        Ok(_) if in_clear(receiver).is_some() => {
            Check::warn(AREA, in_clear(receiver).unwrap_or_default(), USE_HTTPS)
        }
        Ok(notifier) => {
            let host = notifier.host();
            let hears = interest(&receiver.interest);
            Check::ok(
                AREA,
                format!("{what} at {host} hears {hears}; notify test tries it"),
            )
        }
    }
}

fn interest(interest: &Interest) -> String {
    match interest {
        Interest::Events(kinds) if kinds.is_empty() => "nothing".to_owned(),
        Interest::Events(kinds) => {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            format!("of {}", names.join(", "))
        }
        Interest::Runs { commands, schedule } => {
            let schedule = schedule.as_ref();
            let of = schedule.map_or_else(String::new, |name| format!(" of the schedule {name}"));
            format!("how {}{of} begins and ends", commands.join(", "))
        }
    }
}
