//! `kluis history`.

use crate::cli::History;
use crate::exit::Exit;
use crate::format::run_record::NOTIFY;
use crate::operations::{self, HistoryFilter, PastRun, Reporter, RunState};
use crate::render::{HistoryReport, HistoryRow, HistoryTotals, result_word};
use crate::storage::Storage;
use crate::wiring;

use super::session::Session;

pub fn run(session: &Session<'_>, wanted: &History) -> anyhow::Result<Exit> {
    let storage = wiring::existing_storage(&session.settings)?;
    let zone = &session.settings.time_zone.value;
    let filter = HistoryFilter {
        command: wanted.command.clone(),
        state: wanted.result.map(RunState::from),
        about: wanted.about.clone(),
        since: wanted.since.map(|age| age.before(session.now, zone)),
        label: None,
        newest: None,
    };
    let history = operations::history(&storage, session.trust(), &filter)?;
    for (key, why) in &history.unreadable {
        session
            .console
            .warn(&format!("the record {key} cannot be read: {why}"));
    }
    if let Some(text) = history.passed_over() {
        session.console.warn(&text);
    }
    let limit = match wanted.limit {
        0 => usize::MAX,
        limit => limit,
    };
    session.print(&HistoryReport {
        storage: storage.location(),
        totals: totals(&history.runs),
        runs: history.runs.into_iter().take(limit).map(row).collect(),
    })?;
    Ok(Exit::Done)
}

/// Of every run that fits, shown or not. A message that was not sent is no run
/// that failed, and what no key of ours sealed may be no run at all.
pub(super) fn totals(past: &[PastRun]) -> HistoryTotals {
    let is_message = |run: &&PastRun| run.record.command == NOTIFY;
    let (sealed, not_sealed): (Vec<_>, Vec<_>) = past.iter().partition(|run| run.is_believed);
    let (unsent, runs): (Vec<_>, Vec<_>) = sealed.into_iter().partition(is_message);
    let of = |state: RunState| runs.iter().filter(|run| run.state == state).count() as u64;
    let mut durations: Vec<u64> = runs
        .iter()
        .filter(|run| run.state == RunState::Completed)
        .filter_map(|run| run.record.duration_ms)
        .collect();
    durations.sort_unstable();
    let (completed, failed) = (of(RunState::Completed), of(RunState::Failed));
    let interrupted = of(RunState::Interrupted);
    let ended = completed + failed + interrupted;
    HistoryTotals {
        runs: past.len() as u64,
        completed,
        failed,
        interrupted,
        not_sealed: not_sealed.len() as u64,
        unsent_messages: unsent.len() as u64,
        success_percent: (ended > 0).then(|| completed as f64 * 100.0 / ended as f64),
        running: of(RunState::Running),
        median_duration_ms: durations.get(durations.len() / 2).copied(),
        longest_duration_ms: durations.last().copied(),
    }
}

pub(super) fn row(run: PastRun) -> HistoryRow {
    let record = run.record;
    let incomplete = record.is_incomplete();
    HistoryRow {
        id: record.id.to_string(),
        command: record.command,
        trigger: record.trigger,
        schedule: record.schedule,
        result: match incomplete {
            true => "incomplete",
            false => result_word(run.state),
        },
        not_sealed: !run.is_believed,
        backup: record.backup,
        bytes: record.bytes,
        removed: record.removed,
        error: record.error,
        detail: record.detail,
        warnings: record.warnings,
        started: record.started,
        completed: record.completed,
        duration_ms: record.duration_ms,
        user: record.user,
        sudo_user: record.sudo_user,
        host: record.host,
    }
}
