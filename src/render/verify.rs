//! What `kluis verify` prints.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::list::{kind_word, short_id};
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{count, counted, duration, rate, size, when};
use super::{Failure, Proof, Report, View};
use crate::format::manifest::{Kind, ProofLevel};

#[derive(Debug, Serialize)]
pub struct VerifyReport {
    /// All of them are right.
    pub ok: bool,
    pub backups: Vec<VerifyRow>,
    /// Manifests that cannot be read, so that nobody knows of their backups.
    pub unreadable: u64,
    /// Other programs' files without a manifest; and what a restore cannot prove:
    /// globals, and any file without a manifest.
    pub passed_over: u64,
    /// Those that no key of ours sealed, which are not restored to prove them.
    pub unsealed: u64,
}

/// Why a backup is not right, as far as was looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifyFinding {
    /// Other bytes than were written, or none.
    Damaged,
    /// Whole, and a server that had all it needs refused it, or made something else of it.
    DoesNotRestore,
    /// Whole so far, and this place cannot restore it: an extension, room, a right.
    NotProvable,
    /// It was not looked at to the end, such as for want of its key.
    NotDone,
}

impl VerifyFinding {
    fn word(self) -> &'static str {
        match self {
            Self::Damaged => Proof::Damaged.word(),
            Self::DoesNotRestore => Proof::DoesNotRestore.word(),
            Self::NotProvable => "NOT PROVABLE HERE",
            Self::NotDone => "NOT DONE",
        }
    }

    /// It says nothing against the backup.
    pub fn is_unknown(self) -> bool {
        matches!(self, Self::NotProvable | Self::NotDone)
    }
}

#[derive(Debug, Serialize)]
pub struct VerifyRow {
    pub id: String,
    pub kind: Kind,
    pub name: String,
    pub created_at: Timestamp,
    pub file: String,
    pub ok: bool,
    /// It is right, or what is wrong leaves it restorable: a header copy.
    pub restorable: bool,
    /// It was not looked at to the end, for a reason that is not the archive's:
    /// nothing is known against it.
    pub unknown: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<VerifyFinding>,
    /// The proof that was reached, if `restorable`.
    pub level: ProofLevel,
    /// Bytes of the archive that were read.
    pub read_bytes: u64,
    pub duration_ms: u64,
    /// What is wrong; empty if `ok`.
    pub problems: Vec<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What is worth knowing although it is right.
    pub warnings: Vec<String>,
}

impl VerifyRow {
    fn cells(&self, view: &View) -> Vec<String> {
        let level = Proof::from(self.level).word();
        let proof = match (self.finding, self.restorable) {
            (None, _) => level.to_owned(),
            (Some(finding), true) => format!("{level}, {}", finding.word()),
            (Some(finding), false) => finding.word().to_owned(),
        };
        vec![
            when(self.created_at, view),
            kind_word(self.kind).to_owned(),
            self.name.clone(),
            size(self.read_bytes),
            duration(Duration::from_millis(self.duration_ms)),
            proof,
            short_id(&self.id),
        ]
    }

    fn remarks(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            let name = line(&self.file);
            let wrong = match self.unknown {
                true => Style::Yellow.paint("not done:"),
                false => Style::Red.paint("wrong:"),
            };
            text.push_str(&format!("{wrong} {name}: {}\n", line(problem)));
        }
        if let Some(hint) = &self.hint {
            let label = Style::Cyan.paint("hint:");
            text.push_str(&format!("{label} {}\n", line(hint)));
        }
        for warning in &self.warnings {
            let name = line(&self.file);
            let note = Style::Yellow.paint("note:");
            text.push_str(&format!("{note} {name}: {}\n", line(warning)));
        }
        text
    }
}

impl Report for VerifyReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 7] = [
            Column::left("WHEN"),
            Column::left("KIND"),
            Column::shrinking("NAME"),
            Column::right("READ"),
            Column::right("TIME"),
            Column::left("PROOF"),
            Column::left("ID"),
        ];
        if self.backups.is_empty() && self.unreadable == 0 {
            let none = "Nothing to verify: there is no backup, or all were verified before";
            let (passed_over, unsealed) = (self.passed_over_text(), self.unsealed_text());
            return format!("{none}{passed_over}{unsealed}.\n");
        }
        let rows: Vec<_> = self.backups.iter().map(|row| row.cells(view)).collect();
        let remarks: String = self.backups.iter().map(VerifyRow::remarks).collect();
        let table = table(&COLUMNS, &rows, view);
        format!("{table}\n{remarks}{}\n", self.verdict())
    }

    /// What is wrong goes before what nobody could look at.
    fn failure(&self) -> Option<Failure> {
        let mut bad = self.backups.iter().filter(|row| !row.ok);
        let first = bad.clone().find(|row| !row.unknown).or_else(|| bad.next());
        let Some(row) = first else {
            return (self.unreadable > 0).then(|| Failure {
                error: counted(self.unreadable, "manifest", "manifests") + " cannot be read",
                hint: None,
            });
        };
        Some(Failure {
            error: format!("{}: {}", row.file, row.problems.join("; ")),
            hint: row.hint.clone(),
        })
    }
}

impl VerifyReport {
    fn passed_over_text(&self) -> String {
        match self.passed_over {
            0 => String::new(),
            some => {
                let some = counted(some, "archive", "archives");
                format!(
                    "; {some} of globals or without a manifest passed over: kluis list; kluis \
                     adopt --all makes backups of what has no manifest"
                )
            }
        }
    }

    fn unsealed_text(&self) -> String {
        match self.unsealed {
            0 => String::new(),
            some => {
                let some = count(some);
                format!("; {some} not sealed by a key of ours passed over: --accept-unsealed")
            }
        }
    }

    /// The last line: whether to sleep well.
    fn verdict(&self) -> String {
        let unknown = self.backups.iter().filter(|row| row.unknown).count() as u64;
        let failed = self.backups.iter().filter(|row| !row.ok && !row.unknown);
        let failed = failed.count() as u64 + self.unreadable;
        let restorable = self.backups.iter().filter(|row| !row.ok && row.restorable);
        let restorable = match restorable.count() as u64 {
            0 => String::new(),
            all if all == failed && all > 1 => ", all of which still restore".to_owned(),
            all if all == failed => ", which still restores".to_owned(),
            1 => ", of which 1 still restores".to_owned(),
            some => format!(", of which {some} still restore"),
        };
        let bytes = self.backups.iter().map(|row| row.read_bytes);
        let bytes = bytes.fold(0, u64::saturating_add);
        let millis = self.backups.iter().map(|row| row.duration_ms);
        let time = Duration::from_millis(millis.fold(0, u64::saturating_add));
        let rate = rate(bytes, time).map_or_else(String::new, |rate| format!(", {rate}"));
        let all = self.backups.len() as u64 + self.unreadable;
        let number = counted(all, "backup", "backups");
        let verdict = match (failed, unknown) {
            (0, 0) => Style::Green.paint(format!("All right: {number}")),
            (0, some) => {
                Style::Yellow.paint(format!("NOT DONE: {some} of {number} could not be checked"))
            }
            (failed, 0) => Style::Red.paint(format!("NOT RIGHT: {failed} of {number}{restorable}")),
            (failed, some) => Style::Red.paint(format!(
                "NOT RIGHT: {failed} of {number}{restorable}, and {some} could not be checked"
            )),
        };
        let passed_over = self.passed_over_text();
        let unsealed = self.unsealed_text();
        format!(
            "{verdict}; {} read in {}{rate}{passed_over}{unsealed}",
            size(bytes),
            duration(time)
        )
    }
}
