//! Reads the records of the runs back: who did what, when, and how it ended.
//! Changes nothing and takes no lock.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::OperationError;
use super::sweep::INTERRUPTED;
use crate::catalog::{
    RECORDS_READ_MAX, Trust, UNSEALED_TOLD, read_record, storage_id, with_common_salts,
};
use crate::format::run_record::{NOTIFY, RunKey, RunProcess, RunRecord, RunStatus};
use crate::process;
use crate::storage::{ErrorKind, RECORDS, Storage, StoredObject};
use crate::words::plural;

/// Of all records that are kept at once. Without a key nothing tells whose they are.
const HISTORY_BYTES_MAX: u64 = 64 << 20;

/// How a run stands, as far as this host can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Its process lives, or runs on another host, where nobody can look.
    Running,
    Completed,
    Failed,
    /// Its process is gone without having said how it ended, or a sweep found
    /// that so.
    Interrupted,
}

#[derive(Clone, Debug)]
pub struct PastRun {
    pub record: RunRecord,
    pub state: RunState,
    /// Whether it speaks for a run of ours; else anybody may have put it there.
    pub is_believed: bool,
}

/// Which runs are asked for; the default is all.
#[derive(Clone, Debug, Default)]
pub struct HistoryFilter {
    /// The subcommand, or how it begins: "backup" for "backup db" too.
    pub command: Option<String>,
    pub state: Option<RunState>,
    /// Part of the name of the archive that a run was about.
    pub about: Option<String>,
    pub since: Option<Timestamp>,
    /// The host's, as it is called where several write to one storage.
    pub label: Option<String>,
    /// So many of the newest are enough.
    pub newest: Option<usize>,
}

impl HistoryFilter {
    /// What a record's key already says; the record need not be read for it.
    fn may_fit(&self, key: &RunKey) -> bool {
        let command = self.command.as_ref();
        let command = command.is_none_or(|wanted| begins(&key.command, &wanted.replace(' ', "-")));
        // A key is to the second, so the second that `since` lies in may fit.
        command
            && self
                .since
                .is_none_or(|since| key.started.as_second() >= since.as_second())
    }

    fn fits(&self, run: &PastRun, host: &str) -> bool {
        let label = self.label.as_ref();
        self.state.is_none_or(|state| state == run.state)
            && self.since.is_none_or(|since| run.record.started >= since)
            && label.is_none_or(|label| run.record.ran_on(label, host))
            && self
                .about
                .as_ref()
                .is_none_or(|about| run.record.is_about(about))
    }
}

/// Whether `command` is `wanted` or a subcommand of it.
fn begins(command: &str, wanted: &str) -> bool {
    let rest = command.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// A key, and why it cannot be read.
type Reason = (String, String);

#[derive(Debug, Default)]
pub struct History {
    /// The newest first.
    pub runs: Vec<PastRun>,
    /// Keys of records that cannot be read, at most so many as are told.
    pub unreadable: Vec<Reason>,
    /// Further ones that cannot be read, that no key of ours sealed, or for which there
    /// is no room: they are nowhere else.
    pub passed_over: u64,
    /// Records in the storage, read or not.
    pub records: u64,
}

/// When each of these schedules began its last run that nothing cut off, as far
/// as the records tell. A run that was cut off did not do its work: its time is
/// still to be made up for. What cannot be read is passed over, and so is what no
/// key of ours sealed: or a planted record would keep a run from being made up for. So
/// is what another host did: where two write to one storage, `label` tells them apart.
pub fn last_starts(
    storage: &dyn Storage,
    trust: Trust<'_>,
    schedules: &[&str],
    label: &str,
) -> Result<BTreeMap<String, Timestamp>, OperationError> {
    let records = storage.list("runs/")?;
    let storage_id = storage_id(storage)?;
    let place = (label, storage_id.as_deref());
    with_common_salts(storage, trust, || {
        Ok(last_starts_of(&records, storage, trust, schedules, place))
    })
}

fn last_starts_of(
    records: &[StoredObject],
    storage: &dyn Storage,
    trust: Trust<'_>,
    schedules: &[&str],
    (label, storage_id): (&str, Option<&str>),
) -> BTreeMap<String, Timestamp> {
    let host = process::host();
    let is_ours = |record: &RunRecord, key: &str| {
        trust.believes(record, key, storage_id) && record.ran_on(label, &host)
    };
    let mut cut_off: Vec<RunProcess> = Vec::new();
    let mut starts = BTreeMap::new();
    for object in records.iter().rev() {
        if starts.len() == schedules.len() {
            break;
        }
        if RunKey::parse(&object.key).is_none() {
            continue;
        }
        let record = read_record(storage, object).ok();
        let Some(record) = record.filter(|it| is_ours(it, &object.key)) else {
            continue;
        };
        if is_cut_off(&record, &host) {
            cut_off.push(record.process);
            continue;
        }
        // What a run over several databases had done before it was cut off is not
        // all; a message that was not sent is none of a schedule's work.
        if record.command == NOTIFY || cut_off.contains(&record.process) {
            continue;
        }
        let Some((schedule, started)) = record.schedule.map(|it| (it, record.started)) else {
            continue;
        };
        if schedules.contains(&schedule.as_str()) {
            starts.entry(schedule).or_insert(started);
        }
    }
    starts
}

/// The runs of a storage that fit.
pub fn history(
    storage: &dyn Storage,
    trust: Trust<'_>,
    filter: &HistoryFilter,
) -> Result<History, OperationError> {
    with_common_salts(storage, trust, || history_of(storage, trust, filter))
}

fn history_of(
    storage: &dyn Storage,
    trust: Trust<'_>,
    filter: &HistoryFilter,
) -> Result<History, OperationError> {
    let host = process::host();
    let storage_id = storage_id(storage)?;
    let mut history = History::default();
    let mut objects = history.listed(storage)?;
    objects.retain(|object| RunKey::parse(&object.key).is_some());
    history.records = objects.len() as u64;
    let may_fit =
        |object: &StoredObject| RunKey::parse(&object.key).is_some_and(|key| filter.may_fit(&key));
    let wanted = objects.into_iter().rev().filter(may_fit);
    let mut kept = Kept::default();
    for (number, object) in wanted.enumerate() {
        if number >= RECORDS_READ_MAX {
            history.passed_over += 1;
            continue;
        }
        if filter.newest.is_some_and(|newest| kept.believed >= newest) {
            break;
        }
        let record = match read_record(storage, &object) {
            // Removed since it was listed.
            Err(error) if error.kind == ErrorKind::NotFound => continue,
            Err(error) => {
                history.cannot_read(object.key, error.source.to_string());
                continue;
            }
            Ok(record) => record,
        };
        let run = PastRun {
            state: state_of(&record, &host),
            is_believed: trust.believes(&record, &object.key, storage_id.as_deref()),
            record,
        };
        if !filter.fits(&run, &host) {
            continue;
        }
        match kept.takes(&run, object.bytes) {
            true => history.runs.push(run),
            false => history.passed_over += 1,
        }
    }
    Ok(history)
}

impl History {
    /// The records; what lies there in place of one is named. Where something else than
    /// their directory lies, there are none.
    fn listed(&mut self, storage: &dyn Storage) -> Result<Vec<StoredObject>, OperationError> {
        const WHY: &str = "it is no file: look who put it there, and move it away";
        let objects = match storage.list("runs/") {
            Err(error) if error.kind == ErrorKind::Misplaced => {
                self.cannot_read(RECORDS.to_owned(), error.to_string());
                return Ok(Vec::new());
            }
            objects => objects?,
        };
        for name in storage.misplaced("runs/")? {
            self.cannot_read(format!("runs/{name}"), WHY.to_owned());
        }
        Ok(objects)
    }

    fn cannot_read(&mut self, key: String, why: String) {
        match self.unreadable.len() < UNSEALED_TOLD {
            true => self.unreadable.push((key, why)),
            false => self.passed_over += 1,
        }
    }

    /// What is not told one by one, for people.
    pub fn passed_over(&self) -> Option<String> {
        let number = self.passed_over;
        (number > 0).then(|| {
            let records = plural(number, "record of runs is", "records of runs are");
            format!(
                "{number} more {records} passed over: not to be read, not sealed by a key of ours, \
                 or one of too many"
            )
        })
    }
}

/// Of the records that were read, what is kept.
#[derive(Default)]
struct Kept {
    believed: usize,
    unsealed: usize,
    bytes: u64,
}

impl Kept {
    fn takes(&mut self, run: &PastRun, bytes: u64) -> bool {
        let number = match run.is_believed {
            true => &mut self.believed,
            false => &mut self.unsealed,
        };
        let bytes = self.bytes.saturating_add(bytes);
        let has_room = bytes <= HISTORY_BYTES_MAX && (run.is_believed || *number < UNSEALED_TOLD);
        if has_room {
            *number += 1;
            self.bytes = bytes;
        }
        has_room
    }
}

/// A signal ended the run, or its process did not live to say how it ended.
fn is_cut_off(record: &RunRecord, host: &str) -> bool {
    let says = |error: &String| {
        // As `Cancelled` and the sweep put it, by themselves or below a context.
        let mut parts = error.split(": ");
        parts.any(|part| part == INTERRUPTED || part.starts_with("interrupted by SIG"))
    };
    match state_of(record, host) {
        RunState::Interrupted => true,
        RunState::Failed => record.error.as_ref().is_some_and(says),
        RunState::Running | RunState::Completed => false,
    }
}

fn state_of(record: &RunRecord, host: &str) -> RunState {
    match record.status {
        RunStatus::Completed => RunState::Completed,
        RunStatus::Failed if record.is_interrupted() => RunState::Interrupted,
        RunStatus::Failed => RunState::Failed,
        RunStatus::Running if record.host != host => RunState::Running,
        RunStatus::Running if process::is_running(&record.process) => RunState::Running,
        RunStatus::Running => RunState::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::keyring::{KeyMaterial, Keyring};
    use crate::format::manifest::Trigger;
    use crate::format::run_record::{RUN_RECORD_VERSION, RunEnd, RunProcess};
    use crate::ids::RunId;
    use crate::storage::MemoryStorage;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_768_732_200 + seconds).unwrap()
    }

    fn record(number: u8, command: &str) -> RunRecord {
        RunRecord {
            version: RUN_RECORD_VERSION,
            id: RunId::from_random([number; 8]),
            command: command.to_owned(),
            trigger: Trigger::Manual,
            schedule: None,
            status: RunStatus::Running,
            backup: Some(format!("shop{number}_backup.sql.gz")),
            bytes: None,
            removed: Vec::new(),
            error: None,
            detail: None,
            warnings: Vec::new(),
            started: at(i64::from(number)),
            completed: None,
            duration_ms: None,
            user: "root".to_owned(),
            sudo_user: None,
            host: process::host(),
            label: None,
            storage: None,
            process: process::current(),
            seal: None,
        }
    }

    fn stored(records: &[RunRecord]) -> MemoryStorage {
        let storage = MemoryStorage::new();
        for record in records {
            storage.replace(&record.key(), &record.to_bytes()).unwrap();
        }
        storage
    }

    fn ids(storage: &MemoryStorage, filter: &HistoryFilter) -> Vec<i64> {
        let runs = history(storage, Trust::NoKey, filter).unwrap().runs;
        let number = |run: &PastRun| run.record.started.as_second() - at(0).as_second();
        runs.iter().map(number).collect()
    }

    #[test]
    fn a_run_whose_process_is_gone_is_interrupted_and_one_that_lives_is_running() {
        let mut gone = record(1, "backup db");
        gone.process = RunProcess {
            start_ticks: gone.process.start_ticks + 1,
            ..gone.process
        };
        let mut before_the_boot = record(2, "backup db");
        before_the_boot.process.boot_id = "another".to_owned();
        let mut elsewhere = record(3, "backup db");
        elsewhere.host = "another".to_owned();
        let ended = record(5, "prune").ended(at(9), RunEnd::Completed);
        let swept = record(6, "prune").interrupted("gone".to_owned());
        let error = "disk full".to_owned();
        let failed = record(7, "prune").ended(at(9), RunEnd::Failed { error });
        let (first, verify) = (gone, record(4, "verify"));
        let storage = stored(&[
            first,
            before_the_boot,
            elsewhere,
            verify,
            ended,
            swept,
            failed,
        ]);
        let runs = history(&storage, Trust::NoKey, &HistoryFilter::default())
            .unwrap()
            .runs;
        let states: Vec<RunState> = runs.iter().map(|run| run.state).collect();
        assert_eq!(
            states,
            [
                RunState::Failed,
                RunState::Interrupted,
                RunState::Completed,
                RunState::Running,
                RunState::Running,
                RunState::Interrupted,
                RunState::Interrupted
            ]
        );
    }

    #[test]
    fn runs_are_filtered_by_command_state_archive_and_time() {
        let storage = stored(&[
            record(1, "backup db"),
            record(2, "backup source").ended(at(3), RunEnd::Completed),
            record(4, "backups"),
            record(5, "prune"),
        ]);
        let filter = HistoryFilter::default();
        assert_eq!(ids(&storage, &filter), [5, 4, 2, 1]);
        let backup = HistoryFilter {
            command: Some("backup".to_owned()),
            ..filter.clone()
        };
        assert_eq!(ids(&storage, &backup), [2, 1]);
        let completed = HistoryFilter {
            state: Some(RunState::Completed),
            ..filter.clone()
        };
        assert_eq!(ids(&storage, &completed), [2]);
        let about = HistoryFilter {
            about: Some("shop5".to_owned()),
            ..filter.clone()
        };
        assert_eq!(ids(&storage, &about), [5]);
        let since = HistoryFilter {
            since: Some(at(4)),
            ..filter
        };
        assert_eq!(ids(&storage, &since), [5, 4]);
    }

    #[test]
    fn the_last_start_of_each_schedule_is_known() {
        let of = |n, schedule: &str| RunRecord {
            schedule: Some(schedule.to_owned()),
            ..record(n, "backup db")
        };
        let storage = stored(&[
            of(1, "nightly"),
            of(2, "weekly"),
            of(3, "nightly"),
            of(4, "other"),
            record(5, "prune"),
        ]);
        storage.replace(&record(6, "prune").key(), b"{").unwrap();
        let starts =
            last_starts(&storage, Trust::NoKey, &["nightly", "weekly", "never"], "a").unwrap();
        let starts: Vec<_> = starts.into_iter().collect();
        assert_eq!(
            starts,
            [("nightly".to_owned(), at(3)), ("weekly".to_owned(), at(2))]
        );
    }

    #[test]
    fn what_another_host_did_under_that_name_is_no_start() {
        let of = |n, label: Option<&str>, host: &str| RunRecord {
            schedule: Some("nightly".to_owned()),
            label: label.map(str::to_owned),
            host: host.to_owned(),
            ..record(n, "backup db").ended(at(9), RunEnd::Completed)
        };
        let here = process::host();
        let storage = stored(&[
            of(1, None, &here),
            of(2, Some("alpha"), "generated"),
            of(3, Some("beta"), &here),
            of(4, None, "elsewhere"),
        ]);
        let starts =
            |label: &str| last_starts(&storage, Trust::NoKey, &["nightly"], label).unwrap();
        for (label, last) in [("alpha", 2), ("beta", 3), ("gamma", 1)] {
            assert_eq!(starts(label)["nightly"], at(last), "{label}");
        }
    }

    #[test]
    fn a_run_that_was_cut_off_is_no_start() {
        let of = |n, command: &str| RunRecord {
            schedule: Some("nightly".to_owned()),
            ..record(n, command)
        };
        let by = |process: RunProcess, record: RunRecord| RunRecord { process, ..record };
        let failed = |record: RunRecord, error: &str| {
            let error = error.to_owned();
            record.ended(at(90), RunEnd::Failed { error })
        };
        let another = |ticks: u64| {
            let process = process::current();
            RunProcess {
                start_ticks: process.start_ticks + ticks,
                ..process
            }
        };
        let last = |records: &[RunRecord]| {
            let starts = last_starts(&stored(records), Trust::NoKey, &["nightly"], "a").unwrap();
            starts.get("nightly").copied()
        };
        let whole = of(1, "backup db").ended(at(2), RunEnd::Completed);
        for cut_off in [
            by(another(1), of(5, "backup db")),
            by(
                another(1),
                failed(of(5, "backup db"), "interrupted by SIGTERM"),
            ),
            by(
                another(1),
                failed(
                    of(5, "verify"),
                    "interrupted: its process ended without a word",
                ),
            ),
            by(
                another(1),
                failed(
                    of(5, "backup db"),
                    "the run was not begun: interrupted by SIGINT",
                ),
            ),
        ] {
            // The same run's first database was done, and a message was not sent.
            let first = of(4, "backup db").ended(at(4), RunEnd::Completed);
            let first = by(cut_off.process.clone(), first);
            let message = failed(of(6, NOTIFY), "mail: refused");
            assert_eq!(last(&[whole.clone(), first, cut_off, message]), Some(at(1)));
        }
        let refused = failed(of(5, "backup db"), "the server refused");
        assert_eq!(last(&[whole, refused]), Some(at(5)));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_told_and_hides_no_other() {
        let storage = stored(&[record(1, "prune")]);
        let broken = record(2, "prune").key();
        storage.replace(&broken, b"{").unwrap();
        let history = history(&storage, Trust::NoKey, &HistoryFilter::default()).unwrap();
        assert_eq!((history.runs.len(), history.unreadable.len()), (1, 1));
        assert_eq!(history.unreadable[0].0, broken);
    }

    #[test]
    fn of_what_nobody_sealed_so_much_is_kept_and_the_rest_is_counted() {
        let ring = Keyring::of(KeyMaterial::parse(&"ab".repeat(32)).unwrap());
        let sealed = record(1, "backup db").sealed(&ring, None);
        let mut records: Vec<RunRecord> = (2..=250).map(|n| record(n, "backup db")).collect();
        records.push(sealed);
        let storage = stored(&records);
        for number in 2..=250 {
            let broken = record(number, "prune").key();
            storage.replace(&broken, b"{").unwrap();
        }
        let past = history(&storage, Trust::of(&ring), &HistoryFilter::default()).unwrap();
        assert_eq!(past.runs.len(), UNSEALED_TOLD + 1);
        assert_eq!(past.runs.iter().filter(|run| run.is_believed).count(), 1);
        assert_eq!(past.unreadable.len(), UNSEALED_TOLD);
        assert_eq!(past.passed_over as usize, 2 * (249 - UNSEALED_TOLD));
        // Nor do they take the place of ours.
        let newest = HistoryFilter {
            newest: Some(1),
            ..HistoryFilter::default()
        };
        let newest = history(&storage, Trust::of(&ring), &newest).unwrap();
        assert!(newest.runs.iter().any(|run| run.is_believed));
    }
}
