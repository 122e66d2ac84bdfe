//! `kluis doctor`: looks at everything that a backup and a restore need.

mod docker;
mod machine;
mod messages;
mod server;
mod storage;

use anyhow::Error;

use crate::cli::Doctor;
use crate::exit::{Exit, hint_of};
use crate::render::{Check, DoctorReport, Health, whole};

use super::session::Session;

pub use machine::no_zone;

pub fn run(session: &Session<'_>, wanted: &Doctor) -> anyhow::Result<Exit> {
    let mut checks = storage::checks(session);
    session.cancel.check()?;
    checks.extend(machine::checks(session));
    session.cancel.check()?;
    checks.push(docker::check(session));
    session.cancel.check()?;
    checks.extend(server::checks(session, wanted.name.as_deref()));
    session.cancel.check()?;
    checks.extend(messages::checks(session));
    let report = DoctorReport::new(checks);
    session.print(&report)?;
    Ok(match report.health {
        Health::Ok | Health::Warn => Exit::Done,
        Health::Fail => Exit::Usage,
    })
}

/// A failure as a check: what it says, and its hint as the remedy.
fn failed(area: &'static str, error: &Error, remedy: &str) -> Check {
    let hint = hint_of(error);
    Check::fail(area, whole(error), hint.as_deref().unwrap_or(remedy))
}
