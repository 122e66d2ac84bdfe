//! What `kluis show` prints.

use jiff::Timestamp;
use serde::Serialize;

use super::fields::Fields;
use super::list::kind_word;
use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{age, count, counted, size, when};
use super::{Proof, Report, View};
use crate::format::manifest::{
    Codec, DatabaseContent, Manifest, State, TreeContent, TreeProblem, TreeSpecial, Trigger,
};
use crate::ledger::TableLedger;
use crate::series::{Series, left_out_by_options};

/// The largest tables are shown, the others counted.
const TABLES_SHOWN: usize = 20;
const PROBLEMS_SHOWN: usize = 20;

#[derive(Debug, Serialize)]
pub struct ShowReport {
    pub manifest: Manifest,
    /// What it is counted with.
    pub series: String,
    /// All is in it that was to be backed up.
    pub complete: bool,
    pub state: State,
    /// Ours, with a seal or a signature.
    pub sealed: bool,
    /// Why it is not ours, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign: Option<String>,
    /// Where the archive is, without secrets.
    pub location: String,
    /// Whether the manifest's seal is right; absent without a key for it or for
    /// an unencrypted archive, which has no seal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seal_ok: Option<bool>,
    /// What opens the archive now, in the order of its slots; the manifest knows
    /// only what it was made with. Absent for an archive without slots.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub opens_with: Vec<String>,
    /// Its keys were changed: of the checksums of the stored file only that of
    /// the payload still holds.
    pub keys_changed: bool,
}

impl Report for ShowReport {
    fn text(&self, view: &View) -> String {
        let manifest = &self.manifest;
        let mut fields = Fields::default();
        fields.line("id", manifest.id.as_str());
        fields.line("created", &moment(manifest.created_at, view));
        fields.line(
            "by",
            &format!(
                "{} on {}, kluis {}",
                trigger_word(manifest.trigger),
                manifest.host,
                manifest.tool_version
            ),
        );
        fields.optional("note", manifest.note.as_deref());
        let made = Series::as_made(manifest);
        let moved = self.state.label.as_ref().filter(|it| **it != made.label);
        let series = match moved {
            Some(_) => format!("{}, moved; made as {made}", self.series),
            None => self.series.clone(),
        };
        fields.line("series", &line(&series));
        if let Some(lack) = manifest.lack() {
            fields.line("incomplete", &lack);
        }
        if manifest.is_adopted() {
            let text = "nothing tells whether all of it is in the archive";
            fields.line("adopted", text);
        }
        fields.line("file", &self.location);
        if let Some(why) = &self.foreign {
            let text = format!("not sealed by a key of ours: {why}; anybody may have written this");
            fields.line("foreign", &text);
        }
        self.sealing(&mut fields);
        self.proof(&mut fields, view);
        let heading = format!("{} {}", kind_word(manifest.kind), line(&manifest.name));
        let mut text = format!("{}\n", Style::Bold.paint(heading));
        if let Some(tree) = &manifest.source {
            tree_fields(&mut fields, tree);
        }
        match &manifest.database {
            Some(database) => {
                database_fields(&mut fields, database);
                text.push_str(&fields.into_text());
                text.push_str(&tables(database, view));
                text.push_str(&left_out(database));
                text.push_str(&warnings(database));
            }
            None => text.push_str(&fields.into_text()),
        }
        if let Some(tree) = &manifest.source {
            text.push_str(&problems(tree));
        }
        text
    }
}

impl ShowReport {
    fn sealing(&self, fields: &mut Fields) {
        let (stored, content) = (&self.manifest.stored, &self.manifest.content);
        let sizes = format!(
            "{} stored, {} raw, {}",
            size(stored.bytes),
            size(content.raw_bytes),
            codec_word(content.codec)
        );
        fields.line("size", &sizes);
        let encryption = self.manifest.encryption.as_ref().map_or_else(
            || "none".to_owned(),
            |encryption| match self.opens_with.is_empty() {
                true => format!("{}, key {}", encryption.format, encryption.key_id),
                false => format!("{}, {}", encryption.format, self.opens_with.join(" or ")),
            },
        );
        fields.line("encryption", &encryption);
        match (&stored.payload_sha256, self.keys_changed) {
            (Some(payload), true) => {
                let text = format!("{payload} (of bytes 8192..: its keys were changed)");
                fields.line("sha256", &text);
            }
            _ => fields.line("sha256", &stored.sha256),
        }
        let seal = self.seal_ok.map(|ok| match ok {
            true => "as it was written (its seal holds)",
            false => "CHANGED since it was written: its seal does not hold",
        });
        fields.optional("manifest", seal);
    }

    fn proof(&self, fields: &mut Fields, view: &View) {
        let text = match &self.state.verification {
            None => Proof::Stored.word().to_owned(),
            Some(proof) => {
                let level = Proof::from(proof.standing());
                let detail = proof.detail.as_ref().map(|detail| format!(": {detail}"));
                let at = moment(proof.at, view);
                format!("{}, {at}{}", level.word(), detail.unwrap_or_default())
            }
        };
        fields.line("proof", &text);
        if self.state.pinned {
            fields.line("kept", "yes, whatever the retention says");
        }
    }
}

pub fn codec_word(codec: Codec) -> &'static str {
    match codec {
        Codec::Gzip => "gzip",
        Codec::Zstd => "zstd",
        Codec::None => "uncompressed",
    }
}

fn trigger_word(trigger: Trigger) -> &'static str {
    match trigger {
        Trigger::Manual => "hand",
        Trigger::Scheduled => "schedule",
        Trigger::External => "another program",
    }
}

fn moment(at: Timestamp, view: &View) -> String {
    format!("{} ({})", when(at, view), age(at, view.now))
}

/// An adopted dump tells less than one that kluis made.
fn known(text: &str) -> &str {
    match text {
        "" => "not known",
        text => text,
    }
}

fn database_fields(fields: &mut Fields, database: &DatabaseContent) {
    fields.line("server", known(&database.server_version));
    fields.line("client", known(&database.client_version));
    let format = format!("{} format", database.format);
    let made = match database.mode.as_str() {
        "" => format,
        mode => format!("{mode}, {format}"),
    };
    fields.line("dump", &made);
    if let Some(container) = &database.container {
        fields.line("container", container);
    }
    if let Some(reason) = &database.mode_reason {
        fields.line("way", reason);
    }
    let locale = match database.locale.as_str() {
        "" => "locale not known",
        locale => locale,
    };
    let encoding = known(&database.encoding);
    fields.line("encoding", &format!("{encoding}, {locale}"));
    let extensions = database.extensions.iter();
    let extensions: Vec<_> = extensions
        .map(|(name, version)| format!("{name} {version}").trim_end().to_owned())
        .collect();
    fields.list("extensions", &extensions);
    fields.list("roles", &database.roles);
    let part = left_out_by_options(database);
    if !part.is_empty() {
        fields.line("part", &format!("not the whole database: pg_dump{part}"));
    }
    let selection = &database.selection;
    fields.list("schemas", &selection.schemas);
    fields.list("without", &selection.exclude_schemas);
    fields.list("tables", &selection.tables);
    fields.list("without", &selection.exclude_tables);
    let objects = database.ledger.objects.iter();
    let objects: Vec<_> = objects
        .map(|(object, number)| format!("{number} {object}"))
        .collect();
    fields.list("objects", &objects);
}

fn tables(database: &DatabaseContent, view: &View) -> String {
    const COLUMNS: [Column; 3] = [
        Column::shrinking("TABLE"),
        Column::right("ROWS"),
        Column::right("DATA"),
    ];
    let mut largest: Vec<&TableLedger> = database.ledger.tables.iter().collect();
    if largest.is_empty() {
        return String::new();
    }
    largest.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let rows: Vec<_> = largest
        .iter()
        .take(TABLES_SHOWN)
        .map(|table| {
            vec![
                format!("{}.{}", table.schema, table.name),
                count(table.rows),
                size(table.bytes),
            ]
        })
        .collect();
    let mut text = format!("\n{}", table(&COLUMNS, &rows, view));
    let hidden = largest.len().saturating_sub(TABLES_SHOWN) as u64;
    if hidden > 0 {
        let more = counted(hidden, "smaller table", "smaller tables");
        text.push_str(&format!("and {more}; --json has them all\n"));
    }
    text
}

fn tree_fields(fields: &mut Fields, tree: &TreeContent) {
    fields.line("root", known(&tree.root));
    let entries = [
        counted(tree.files, "file", "files"),
        counted(tree.directories, "directory", "directories"),
        counted(tree.symlinks, "symlink", "symlinks"),
        counted(tree.hard_links, "hard link", "hard links"),
    ];
    fields.line(
        "holds",
        &format!("{}, {}", entries.join(", "), size(tree.bytes)),
    );
    let left_out = left_out_of_tree(tree.special, tree.caches);
    fields.optional("left out", left_out.as_deref());
    let special = |it: &TreeSpecial| format!("{} ({})", it.path, it.kind);
    let specials: Vec<String> = tree.specials.iter().map(special).collect();
    fields.list("special", &specials);
    fields.list("excludes", &tree.excludes);
}

/// What no tree that is backed up holds.
pub(super) fn left_out_of_tree(special: u64, caches: u64) -> Option<String> {
    let words = [
        (
            special,
            "fifo, socket or device",
            "fifos, sockets or devices",
        ),
        (caches, "cache's content", "caches' content"),
    ];
    let words = words.iter().filter(|(number, ..)| *number > 0);
    let words = words.map(|(number, one, many)| counted(*number, one, many));
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn problems(tree: &TreeContent) -> String {
    let total = tree
        .changed
        .saturating_add(tree.vanished)
        .saturating_add(tree.unreadable);
    if total == 0 {
        return String::new();
    }
    let of = |it: &TreeProblem| format!("{}: {} ({})", it.problem, it.path, it.detail);
    let heading = counted(total, "problem", "problems");
    listed(heading, total, tree.problems.iter().map(of))
}

fn left_out(database: &DatabaseContent) -> String {
    let left = database.left_out.named();
    let left = left.map(|(object, why)| format!("left out: {object} ({why})"));
    let lacks = database.warned.warnings.iter().filter(|it| it.lacks);
    let all: Vec<String> = left.chain(lacks.map(|it| it.text.clone())).collect();
    let total = database.left_out.count + database.warned.lacking;
    match total {
        0 => String::new(),
        total => listed(
            counted(total, "problem", "problems"),
            total,
            all.into_iter(),
        ),
    }
}

/// What pg_dump said by which nothing is missing.
fn warnings(database: &DatabaseContent) -> String {
    let warned = &database.warned;
    let harmless: Vec<String> = warned.harmless().map(str::to_owned).collect();
    match warned.count.saturating_sub(warned.lacking) {
        0 => String::new(),
        total => {
            let heading = counted(total, "warning", "warnings");
            let heading = format!("{heading} of pg_dump, by which nothing is missing");
            listed(heading, total, harmless.into_iter())
        }
    }
}

/// Problems, the first of them by name.
fn listed(heading: String, total: u64, named: impl ExactSizeIterator<Item = String>) -> String {
    let mut text = format!("\n{heading}\n");
    let shown = named.len().min(PROBLEMS_SHOWN) as u64;
    for said in named.take(PROBLEMS_SHOWN) {
        text.push_str(&format!("  {}\n", line(&said)));
    }
    let hidden = total.saturating_sub(shown);
    if hidden > 0 {
        text.push_str(&format!("  and {} more\n", count(hidden)));
    }
    text
}
