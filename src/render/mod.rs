//! The only printer: results to stdout as text or as one JSON document,
//! everything else to stderr. Reports are plain structs; what they look like is
//! decided here and nowhere else.
//!
//! Invariant: each struct is both the text's and the JSON's source, so the two
//! cannot disagree, and its field names are a contract. Text from outside (names,
//! paths, a server's messages) never brings control characters to a terminal.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

mod adopt;
mod aside;
mod backup;
mod changes;
mod console;
mod contents;
mod doctor;
mod fields;
mod health;
mod history;
mod key_change;
mod key_drill;
mod key_list;
mod keys;
mod list;
mod message;
mod monitoring;
mod notify;
mod prompt;
mod prune;
mod report;
mod restore;
mod roles;
mod schedule;
mod series;
mod settings;
mod show;
mod simulate;
mod status;
mod style;
mod table;
mod tree_list;
mod units;
mod usage;
mod verify;

pub use adopt::{AdoptReport, AdoptRow, RefusedRow};
pub use backup::{
    BackupDone, BackupFailed, BackupReport, DatabaseSummary, Problem, Pruned, StorageTotal,
    TreeSummary,
};
pub use changes::{DecryptReport, DeleteReport, DeletedRow, KeepReport};
pub use console::{Console, StdoutClosed, StdoutFailed, StdoutWriter, Verbosity, whole};
pub use contents::{ContentsReport, ContentsRow};
pub use doctor::{Check, DoctorReport, Health};
pub use health::CheckReport;
pub use history::{HistoryReport, HistoryRow, HistoryTotals, result_word};
pub use key_change::{KeyChangeReport, KeyChangeRow, KeyResult};
pub use key_drill::{DrillKeyRow, ElsewhereRow, KeyDrillReport, SampleRow};
pub use key_list::{
    KeyListReport, KeyName, KeyRow, KeySlotsReport, SlotRow, SlotsRow, UnopenedRow,
};
pub use keys::{GeneratedKey, KeyGenerateReport};
pub use list::{ForeignRow, ListReport, ListRow, Proof, RepeatedRow};
pub use message::{begin_wording, run_wording, test_wording};
pub use monitoring::{nagios, nagios_unknown, prometheus};
pub use notify::{NotifyTestReport, NotifyTestRow};
pub use prompt::PromptError;
pub use prune::{PruneReport, PruneRow};
pub use report::{
    NameReport, PageWritten, ReportPage, ReportParts, RunPoint, SizePoint, StorageUse, TableGrowth,
    TablesReport, html,
};
pub use restore::{Compared, ComparedTable, RestoreReport};
pub use roles::RolesReport;
pub use schedule::{ScheduleReport, ScheduleRow};
pub use series::{ForeignSeriesRow, MovedSeriesRow, SeriesListReport, SeriesMoveReport, SeriesRow};
pub use settings::SettingsReport;
pub use show::ShowReport;
pub use simulate::{SimulateReport, SimulatedPoint, SimulatedRow};
pub use status::{StatusReport, uncounted_line};
pub use tree_list::{TreeListReport, TreeListRow};
pub use units::{age, count, counted, duration, rate, size, when};
pub use verify::{VerifyFinding, VerifyReport, VerifyRow};

/// A command's result.
pub trait Report: Serialize {
    /// The text for people, lines ended by newlines; may carry ANSI styles,
    /// which are stripped where they are not wanted.
    fn text(&self, view: &View) -> String;

    /// What the error of a command is that failed although it has a result: the
    /// first thing that went wrong. `None` where it cannot fail like that.
    fn failure(&self) -> Option<Failure> {
        None
    }
}

/// As a failed command's JSON tells it.
#[derive(Debug)]
pub struct Failure {
    /// "FILE: what is wrong"
    pub error: String,
    pub hint: Option<String>,
}

/// What a text depends on besides the result.
pub struct View {
    pub now: Timestamp,
    pub zone: TimeZone,
    /// Columns of the terminal; `None` where it is none: then nothing is cut.
    pub columns: Option<usize>,
}

#[cfg(test)]
impl View {
    /// 2026-01-18T13:30:00Z, UTC, 80 columns.
    fn for_tests() -> Self {
        Self {
            now: Timestamp::constant(1_768_743_000, 0),
            zone: TimeZone::UTC,
            columns: Some(80),
        }
    }
}
