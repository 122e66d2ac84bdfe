//! What `kluis backup` prints.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::fields::Fields;
use super::list::{kind_word, short_id};
use super::show::{codec_word, left_out_of_tree};
use super::style::{Style, line};
use super::units::{counted, duration, rate, size};
use super::{Report, View};
use crate::format::manifest::{Codec, Kind, TreeSpecial};

const PROBLEMS_SHOWN: usize = 10;

/// One run: a database, or one archive per source tree.
#[derive(Debug, Serialize)]
pub struct BackupReport {
    pub backups: Vec<BackupDone>,
    /// Those of the run that were not made; of a run that made none there is
    /// no report, but an error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<BackupFailed>,
    /// What lies in the storage now; absent where it could not be counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageTotal>,
}

#[derive(Debug, Serialize)]
pub struct StorageTotal {
    pub backups: u64,
    pub stored_bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct Pruned {
    pub backups: u64,
    pub freed_bytes: u64,
}

#[derive(Debug, Serialize)]
pub struct BackupFailed {
    pub kind: Kind,
    pub name: String,
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct BackupDone {
    /// None of its series was there before.
    #[serde(skip)]
    pub is_first: bool,
    pub id: String,
    pub kind: Kind,
    pub name: String,
    pub created_at: Timestamp,
    /// Where the archive is, without secrets.
    pub location: String,
    /// The archive's name there.
    pub file: String,
    pub stored_bytes: u64,
    /// Before compression.
    pub raw_bytes: u64,
    pub codec: Codec,
    pub encrypted: bool,
    pub duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<TreeSummary>,
    /// Nothing was left out that should be in it.
    pub complete: bool,
    /// The first ones by name; `problem_count` has them all.
    pub problems: Vec<Problem>,
    pub problem_count: u64,
    /// All of them in words.
    #[serde(skip)]
    pub problem: Option<String>,
    /// What the dump's programs said by which nothing is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What the retention removed behind it, where it is configured to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Pruned>,
}

#[derive(Debug, Serialize)]
pub struct DatabaseSummary {
    pub server_version: String,
    pub tables: u64,
    pub rows: u64,
    /// Of a backup of what all databases share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct TreeSummary {
    pub root: String,
    pub files: u64,
    pub directories: u64,
    /// Fifos, sockets and devices: left out.
    pub special: u64,
    /// The first of them.
    pub specials: Vec<TreeSpecial>,
    /// Directories marked as caches, whose content was left out.
    pub caches: u64,
}

#[derive(Debug, Serialize)]
pub struct Problem {
    pub path: String,
    /// `changed`, `vanished`, `unreadable`; in a database `left out`.
    pub problem: String,
    pub detail: String,
}

impl Report for BackupReport {
    fn text(&self, _view: &View) -> String {
        let done = self.backups.iter().map(BackupDone::text);
        let texts: Vec<_> = done
            .chain(self.failed.iter().map(BackupFailed::text))
            .collect();
        let total = self.storage.iter().map(|total| {
            let backups = counted(total.backups, "backup", "backups");
            format!("\n{backups} in the storage, {}\n", size(total.stored_bytes))
        });
        texts.join("\n") + &total.collect::<String>()
    }
}

impl BackupFailed {
    fn text(&self) -> String {
        let mut fields = Fields::default();
        fields.line("error", &line(&self.error));
        fields.optional("hint", self.hint.as_deref());
        let failed = Style::Red.paint("FAILED, no backup was made");
        let (kind, name) = (kind_word(self.kind), line(&self.name));
        format!("{kind} {name}: {failed}\n{}", fields.into_text())
    }
}

impl BackupDone {
    fn text(&self) -> String {
        let done = match self.complete {
            true => Style::Green.paint("backed up"),
            false => Style::Yellow.paint("backed up, incomplete"),
        };
        let mut fields = Fields::default();
        fields.line("id", &self.id);
        fields.line("file", &self.file);
        let storage = self.location.strip_suffix(&self.file);
        fields.optional("in", storage.map(|place| place.trim_end_matches('/')));
        fields.line("size", &self.sizes());
        fields.line("time", &self.speed());
        if let Some(database) = &self.database {
            let tables = counted(database.tables, "table", "tables");
            let rows = counted(database.rows, "row", "rows");
            let roles = database.roles.map(|roles| counted(roles, "role", "roles"));
            fields.line("holds", &roles.unwrap_or(format!("{tables}, {rows}")));
            fields.line("server", &format!("PostgreSQL {}", database.server_version));
        }
        if let Some(tree) = &self.source {
            let files = counted(tree.files, "file", "files");
            let directories = counted(tree.directories, "directory", "directories");
            fields.line("holds", &format!("{files}, {directories} of {}", tree.root));
            let left_out = left_out_of_tree(tree.special, tree.caches);
            fields.optional("left out", left_out.as_deref());
        }
        if let Some(pruned) = self.pruned.as_ref().filter(|pruned| pruned.backups > 0) {
            let backups = counted(pruned.backups, "older backup", "older backups");
            let text = format!("{backups}, {} freed", size(pruned.freed_bytes));
            fields.line("pruned", &text);
        }
        let proof = format!("stored; kluis verify {} reads it back", short_id(&self.id));
        fields.line("proof", &proof);
        let name = line(&self.name);
        let heading = format!("{} {name}: {done}\n", kind_word(self.kind));
        format!("{heading}{}{}", fields.into_text(), self.problems())
    }

    fn sizes(&self) -> String {
        let encrypted = if self.encrypted {
            "encrypted"
        } else {
            "not encrypted"
        };
        // In tenths of a percent, so that no float is needed.
        let share = u128::from(self.stored_bytes) * 1_000 / u128::from(self.raw_bytes.max(1));
        format!(
            "{} of {} ({}.{}%), {}, {encrypted}",
            size(self.stored_bytes),
            size(self.raw_bytes),
            share / 10,
            share % 10,
            codec_word(self.codec)
        )
    }

    fn speed(&self) -> String {
        let time = Duration::from_millis(self.duration_ms);
        match rate(self.raw_bytes, time) {
            Some(rate) => format!("{}, {rate}", duration(time)),
            None => duration(time),
        }
    }

    fn problems(&self) -> String {
        if self.problem_count == 0 {
            return String::new();
        }
        let problems = counted(self.problem_count, "problem", "problems");
        let mut text =
            format!("  {problems}; the archive is valid and holds everything but these:\n");
        for problem in self.problems.iter().take(PROBLEMS_SHOWN) {
            let said = format!("{}: {} ({})", problem.problem, problem.path, problem.detail);
            text.push_str(&format!("    {}\n", line(&said)));
        }
        let shown = self.problems.len().min(PROBLEMS_SHOWN) as u64;
        let hidden = self.problem_count.saturating_sub(shown);
        if hidden > 0 {
            text.push_str(&format!("    and {hidden} more: kluis show {}\n", self.id));
        }
        text
    }
}
