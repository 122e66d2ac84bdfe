//! What the records of the last runs tell: failures, and messages about them
//! that reached nobody.

use jiff::{SignedDuration, Timestamp};

use super::words::days_and_hours;
use super::{FAILURE_DAYS, Facts, Finding, Level, Thresholds, warning_if};
use crate::words::plural;

/// What was mended is not held against anybody for longer.
const UNSENT_DAYS: i64 = 2;

/// A run that has not said how it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningFact {
    pub command: String,
    pub started: Timestamp,
    pub host: String,
}

pub(super) fn failures(facts: &Facts, thresholds: &Thresholds, now: Timestamp) -> Option<Finding> {
    let limit = thresholds.failures?;
    let number = within(&facts.failures, FAILURE_DAYS, now);
    let runs = plural(number, "run", "runs");
    let text = format!("{number} {runs} failed or broke off in {FAILURE_DAYS} days");
    let finding = Finding::ok("failures", "storage", text);
    let measured = finding.measured(number as f64, Some(f64::from(limit)), "");
    Some(measured.at(
        warning_if(number > limit as usize),
        "look at FAILED and INTERRUPTED ones: kluis history --since 7d",
    ))
}

/// One that is beyond its limit was not stopped by it: its host is gone, or it hangs
/// where no signal reaches it.
pub(super) fn running(facts: &Facts, thresholds: &Thresholds, now: Timestamp) -> Option<Finding> {
    let limit = SignedDuration::try_from(thresholds.run_limit?).ok()?;
    let oldest = facts.running.iter().min_by_key(|run| run.started);
    let age = oldest.map_or(SignedDuration::ZERO, |run| now.duration_since(run.started));
    let text = match oldest {
        None => "no run is under way".to_owned(),
        Some(run) => format!(
            "{} on {} is under way for {}",
            run.command,
            run.host,
            days_and_hours(age.as_secs_f64())
        ),
    };
    let finding = Finding::ok("running", "storage", text);
    let measured = finding.measured(age.as_secs_f64(), Some(limit.as_secs_f64()), "s");
    Some(measured.at(
        warning_if(age > limit),
        "it is longer than run_limit allows: look on that host whether it hangs, or whether the \
         host is gone: kluis history --since 30d",
    ))
}

/// No run leaves such ones, not so many: somebody puts them there.
pub(super) fn passed_over(facts: &Facts) -> Option<Finding> {
    let text = facts.records_passed_over.as_ref()?;
    let finding = Finding::ok("records", "storage", text.clone());
    const REMEDY: &str = "look who writes to runs/ in the storage, and move away what is none of \
                          your runs'";
    Some(finding.at(Level::Warning, REMEDY))
}

/// Of the next failure nobody would hear either.
pub(super) fn messages(facts: &Facts, now: Timestamp) -> Finding {
    let number = within(&facts.unsent, UNSENT_DAYS, now);
    let messages = plural(number, "message", "messages");
    let text = format!("{number} {messages} could not be sent in {UNSENT_DAYS} days");
    let finding = Finding::ok("messages", "storage", text).measured(number as f64, Some(0.0), "");
    finding.at(
        warning_if(number > 0),
        "look why with kluis history --command notify, and try kluis notify test",
    )
}

fn within(times: &[Timestamp], days: i64, now: Timestamp) -> usize {
    let days = SignedDuration::from_hours(24 * days);
    let recent = |at: &&Timestamp| now.duration_since(**at) <= days;
    times.iter().filter(recent).count()
}
