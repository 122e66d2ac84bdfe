//! What the records of the last runs tell: failures, and messages about them
//! that reached nobody.

use jiff::{SignedDuration, Timestamp};

use super::{FAILURE_DAYS, Facts, Finding, Thresholds, warning_if};

/// What was mended is not held against anybody for longer.
const UNSENT_DAYS: i64 = 2;

pub(super) fn failures(facts: &Facts, thresholds: &Thresholds, now: Timestamp) -> Option<Finding> {
    let limit = thresholds.failures?;
    let number = within(&facts.failures, FAILURE_DAYS, now);
    let text = format!("{number} runs failed or broke off in {FAILURE_DAYS} days");
    let finding = Finding::ok("failures", "storage", text);
    let measured = finding.measured(number as f64, Some(f64::from(limit)), "");
    Some(measured.at(
        warning_if(number > limit as usize),
        "look at FAILED and INTERRUPTED ones: kluis history --since 7d",
    ))
}

/// Of the next failure nobody would hear either.
pub(super) fn messages(facts: &Facts, now: Timestamp) -> Finding {
    let number = within(&facts.unsent, UNSENT_DAYS, now);
    let text = format!("{number} messages could not be sent in {UNSENT_DAYS} days");
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
