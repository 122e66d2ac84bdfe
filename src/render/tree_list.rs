//! What `kluis restore --list` prints of a tree.

use jiff::Timestamp;
use serde::Serialize;

use super::style::{Style, line};
use super::units::{counted, size, when};
use super::{Report, View};
use crate::format::tar::{Entry, EntryKind, listed_path};

#[derive(Debug, Serialize)]
pub struct TreeListReport {
    /// `-` for an archive without a manifest.
    pub id: String,
    pub name: String,
    pub file: String,
    /// In the archive's order: a directory before what is in it.
    pub entries: Vec<TreeListRow>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct TreeListRow {
    /// `.` is the root.
    pub path: String,
    /// "directory", "file", "symlink" or "hard link".
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Octal.
    pub mode: String,
    pub uid: u64,
    pub gid: u64,
    /// Of a file, with its holes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// `None` for a time that no calendar has.
    pub modified: Option<Timestamp>,
    /// Where a link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl From<Entry> for TreeListRow {
    fn from(entry: Entry) -> Self {
        let (kind, bytes, target) = match &entry.kind {
            EntryKind::Directory => ("directory", None, None),
            EntryKind::File { bytes } | EntryKind::SparseFile { bytes, .. } => {
                ("file", Some(*bytes), None)
            }
            EntryKind::Symlink { target } => ("symlink", None, Some(target)),
            EntryKind::HardLink { target } => ("hard link", None, Some(target)),
        };
        let attributes = &entry.attributes;
        Self {
            path: listed_path(&entry.path),
            kind,
            mode: format!("{:04o}", attributes.mode),
            uid: attributes.uid,
            gid: attributes.gid,
            bytes,
            modified: Timestamp::from_second(attributes.mtime.seconds).ok(),
            target: target.map(|target| listed_path(target)),
        }
    }
}

impl Report for TreeListReport {
    /// A line for each, without a table: there may be millions.
    fn text(&self, view: &View) -> String {
        let mut text = String::new();
        for row in &self.entries {
            text.push_str(&row.line(view));
        }
        let entries = counted(self.entries.len() as u64, "entry", "entries");
        let (name, file) = (line(&self.name), line(&self.file));
        text.push_str(&format!("\n{name}: {entries} of {file}\n"));
        for warning in &self.warnings {
            let note = Style::Yellow.paint("note:");
            text.push_str(&format!("{note} {}\n", line(warning)));
        }
        text
    }
}

impl TreeListRow {
    fn line(&self, view: &View) -> String {
        let path = line(&self.path);
        let shown = match (self.kind, &self.target) {
            ("directory", _) => format!("{path}/"),
            ("hard link", Some(target)) => format!("{path} = {}", line(target)),
            (_, Some(target)) => format!("{path} -> {}", line(target)),
            _ => path.to_string(),
        };
        let owner = format!("{}:{}", self.uid, self.gid);
        let bytes = self.bytes.map_or_else(String::new, size);
        let modified = self.modified.map_or_else(String::new, |it| when(it, view));
        let mode = &self.mode;
        format!("{mode} {owner:>11} {bytes:>10} {modified:16} {shown}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tar::Attributes;

    #[test]
    fn each_entry_is_a_line_and_says_where_links_lead() {
        let entry = |path: &str, kind| {
            TreeListRow::from(Entry {
                path: path.as_bytes().to_vec(),
                kind,
                attributes: Attributes {
                    mode: 0o644,
                    uid: 1000,
                    gid: 1000,
                    ..Attributes::default()
                },
            })
        };
        let target = || b"a".to_vec();
        let report = TreeListReport {
            id: "0123".to_owned(),
            name: "app".to_owned(),
            file: "app.tar.gz".to_owned(),
            entries: vec![
                entry("", EntryKind::Directory),
                entry("a", EntryKind::File { bytes: 12_345 }),
                entry("b", EntryKind::Symlink { target: target() }),
                entry("c\x1b[2J", EntryKind::HardLink { target: target() }),
            ],
            warnings: Vec::new(),
        };
        let text = anstream::adapter::strip_str(&report.text(&View::for_tests())).to_string();
        assert!(text.contains("1970-01-01 00:00 ./\n"), "{text}");
        assert!(
            text.contains("0644   1000:1000   12.1 KiB 1970-01-01 00:00 a\n"),
            "{text}"
        );
        assert!(
            text.contains(" b -> a\n") && text.contains(" = a\n"),
            "{text}"
        );
        assert!(text.ends_with("\napp: 4 entries of app.tar.gz\n"), "{text}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }
}
