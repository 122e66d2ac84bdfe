//! `kluis check` and `kluis status`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::catalog::Ours;
use crate::cli::Check;
use crate::event::{Event, EventKind};
use crate::exit::Exit;
use crate::format::manifest::{Kind, Trigger};
use crate::format::manifest_file::ManifestFile;
use crate::health::{Facts, Finding, Level, judge, worst};
use crate::operations::{self, HistoryFilter, Reporter};
use crate::render::{
    CheckReport, Console, StatusReport, nagios, nagios_unknown, prometheus, uncounted_line,
};
use crate::series::{self, Series};
use crate::storage::Storage;
use crate::wiring;

use super::around::problem_of;
use super::session::{Opened, Session};

const COMMAND: &str = "check";
const HEALTHY: &str = "healthy";
/// A plugin's exit code where it could not look.
const UNKNOWN: u8 = 3;
/// The server's maintenance database: empty by convention, and made anew by it.
const MAINTENANCE: &str = "postgres";

pub fn check(session: &Session<'_>, wanted: &Check) -> anyhow::Result<Exit> {
    if wanted.nagios {
        return Ok(plugin(session, wanted));
    }
    let (facts, findings) = look(session, wanted.no_server)?;
    if let Some(path) = &wanted.prometheus {
        let place = wiring::existing_storage(&session.settings)?.location();
        write_metrics(path, &prometheus(&facts, &findings, &place, session.now))?;
    }
    let level = worst(&findings);
    // Who collects metrics is told by them.
    if level != Level::Ok && wanted.prometheus.is_none() {
        happened(session, &findings, wanted.run.trigger.into());
    } else {
        let storage = wiring::existing_storage(&session.settings)?;
        session.record_idle(&storage, COMMAND, wanted.run.trigger.into(), HEALTHY);
    }
    for wrong in findings.iter().filter(|it| it.level != Level::Ok) {
        let remedy = Some(wrong.remedy.as_str());
        session
            .console
            .also_wrong(&wrong.subject, &wrong.text, remedy);
    }
    let uncounted = uncounted_line(facts.uncounted);
    if !uncounted.is_empty() {
        session.console.warn(uncounted.trim_end());
    }
    session.print(&CheckReport {
        healthy: level == Level::Ok,
        findings,
    })?;
    Ok(match level {
        Level::Ok => Exit::Done,
        Level::Warning | Level::Critical => Exit::Unhealthy,
    })
}

/// Keeps what is wrong for those who are told of it, unless they were already.
fn happened(session: &Session<'_>, findings: &[Finding], trigger: Trigger) {
    let wrong = || findings.iter().filter(|it| it.level != Level::Ok);
    let what: Vec<String> = wrong()
        .map(|it| format!("{} of {}", it.check, it.subject))
        .collect();
    if was_told(session, &what.join(", "), trigger) {
        let text = "the same was told within the last day; no message is sent";
        session.console.detail(text);
        return;
    }
    let texts: Vec<String> = wrong()
        .map(|it| {
            let text = format_args!("{}: {}", it.subject, it.text);
            problem_of(text, Some(it.remedy.clone()))
        })
        .collect();
    session.happened.add(Event {
        problem: Some(texts.join("\n")),
        ..session.event(EventKind::CheckUnhealthy, COMMAND, trigger)
    });
}

/// Whether this was told lately; if not, it is from now on. Where that cannot be
/// known, it is better told twice.
fn was_told(session: &Session<'_>, what: &str, trigger: Trigger) -> bool {
    let what = format!("unhealthy: {what}");
    let told = || -> anyhow::Result<bool> {
        let storage = wiring::existing_storage(&session.settings)?;
        let actor = session.actor(COMMAND, trigger);
        let told = operations::was_told(&storage, session.trust(), &actor, &what, session.now)?;
        match told {
            true => {
                let still = format!("{}{what}", operations::STILL);
                session.record_idle(&storage, COMMAND, trigger, &still);
            }
            false => {
                operations::record_told(&storage, session.ring().ok(), &actor, &what, session.now)?;
            }
        }
        Ok(told)
    };
    told().unwrap_or_else(|error| {
        let text = format!("what this check tells leaves no record: {error:#}");
        session.console.detail(&text);
        false
    })
}

/// A plugin always says one line, also where it cannot look.
fn plugin(session: &Session<'_>, wanted: &Check) -> Exit {
    let (line, code) = match look(session, wanted.no_server) {
        Ok((_, findings)) => nagios(&findings),
        Err(error) => return plugin_failed(session.console, &error),
    };
    match session.console.print_text(&line) {
        Ok(()) => Exit::Plugin(code),
        Err(_) => Exit::Plugin(UNKNOWN),
    }
}

/// The end of a plugin that could not look. Where stdout cannot be written, the
/// exit code says the same.
pub fn plugin_failed(console: &Console, error: &anyhow::Error) -> Exit {
    let _ = console.print_text(&nagios_unknown(error));
    Exit::Plugin(UNKNOWN)
}

fn look(session: &Session<'_>, no_server: bool) -> anyhow::Result<(Facts, Vec<Finding>)> {
    let opened = session.open()?;
    let mut facts = operations::facts(
        &opened.storage,
        session.trust(),
        &opened.catalog,
        session.now,
    )?;
    let findings = judged(session, &opened, &mut facts, no_server);
    Ok((facts, findings))
}

/// Judges the facts, and asks the server before, unless told otherwise.
pub(super) fn judged(
    session: &Session<'_>,
    opened: &Opened,
    facts: &mut Facts,
    no_server: bool,
) -> Vec<Finding> {
    if let Err(error) = session.ring() {
        facts.keyless = Some((error.to_string(), error.hint()));
    }
    if !no_server && wiring::says_where(&session.settings.database) {
        match uncovered(session, opened) {
            Ok(names) => facts.uncovered = Some(names),
            Err(error) => facts.unasked = Some(format!("{error:#}")),
        }
    }
    let thresholds = session.thresholds();
    let zone = &session.settings.time_zone.value;
    judge(facts, &thresholds, session.now, zone)
}

/// The server's databases that have no backup and are not left out on purpose.
fn uncovered(session: &Session<'_>, opened: &Opened) -> anyhow::Result<Vec<String>> {
    let (names, label) = super::backup::all_names(session)?;
    let backups = opened.catalog.backups.iter();
    let covers = |backup: &&Ours| {
        let series = backup.series.as_ref();
        // Those without a label may be any server's.
        let file = backup.file.as_ref();
        let is_unlabelled = |it: &ManifestFile| series::label(&it.manifest, &it.state).is_none();
        let may_be_of = |series: &Series| series.label == label || file.is_some_and(is_unlabelled);
        series.is_some_and(|it| it.kind == Kind::Db && it.is_whole() && may_be_of(it))
    };
    let databases = backups.filter(covers);
    let covered: BTreeSet<&str> = databases.map(|backup| backup.name()).collect();
    let mut uncovered = without_backup(names.open, &covered);
    uncovered.extend(names.refused.into_iter().map(|(name, _)| name));
    Ok(uncovered)
}

/// Whoever keeps something in the maintenance database backs it up by name.
fn without_backup(mut names: Vec<String>, covered: &BTreeSet<&str>) -> Vec<String> {
    names.retain(|name| name != MAINTENANCE && !covered.contains(name.as_str()));
    names
}

/// Readers see the old metrics or the new ones, and may belong to anybody.
fn write_metrics(path: &Path, text: &str) -> anyhow::Result<()> {
    let (storage, key) = wiring::storage_of_file(path)?;
    // What a killed run left. It harms nobody, so that nothing fails for it.
    let _ = storage.sweep();
    Ok(storage
        .unsynced()
        .with_mode(0o644)
        .replace(&key, text.as_bytes())?)
}

pub fn status(session: &Session<'_>) -> anyhow::Result<Exit> {
    let opened = session.open()?;
    let facts = operations::facts(
        &opened.storage,
        session.trust(),
        &opened.catalog,
        session.now,
    )?;
    let thresholds = session.thresholds();
    let zone = &session.settings.time_zone.value;
    let findings = judge(&facts, &thresholds, session.now, zone);
    let runs =
        operations::history(&opened.storage, session.trust(), &HistoryFilter::default())?.runs;
    session.print(&StatusReport::new(
        opened.storage.location(),
        &facts,
        findings,
        runs.iter().find(|run| run.is_believed),
        wiring::says_where(&session.settings.database),
    ))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maintenance_database_needs_no_backup() {
        let names = ["postgres", "shop", "new"].map(str::to_owned).to_vec();
        let covered = BTreeSet::from(["shop"]);
        assert_eq!(without_backup(names, &covered), ["new"]);
    }
}
