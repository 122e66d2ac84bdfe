//! What `kluis key list` prints.

use serde::Serialize;

use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{count, counted};
use super::{Failure, Report, View};

/// Of the backups that no key opens so many are named; --json has them all.
const NAMED: usize = 10;

#[derive(Debug, Serialize)]
pub struct KeyListReport {
    /// The storage's place, without secrets.
    pub storage: String,
    /// Backups by what surrounds them; the legacy ones are among the encrypted.
    pub encrypted: u64,
    pub unencrypted: u64,
    pub legacy: u64,
    /// Configured ones first.
    pub keys: Vec<KeyRow>,
    pub unopened: Vec<UnopenedRow>,
    /// The public half of the key that this host signs with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signs_with: Option<String>,
    /// Of the keys by which signatures are believed, this host's own among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub believes: Vec<String>,
}

/// Which key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum KeyName {
    Key {
        key_id: String,
    },
    /// Which one nothing tells.
    Passphrase,
    Age {
        #[serde(skip_serializing_if = "Option::is_none")]
        recipient: Option<String>,
    },
}

#[derive(Debug, Serialize)]
pub struct KeyRow {
    #[serde(flatten)]
    pub key: KeyName,
    /// Where it is configured; absent where it is not, but archives want it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// New backups open with it.
    pub writes: bool,
    /// It can open backups here.
    pub opens: bool,
    /// That it opens, here or where it is.
    pub backups: u64,
}

#[derive(Debug, Serialize)]
pub struct UnopenedRow {
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The keys that would open it; empty where it is damaged.
    pub wants: Vec<String>,
    pub problem: String,
}

impl KeyName {
    /// Whether the name is that of one key and no other.
    pub fn is_one(&self) -> bool {
        !matches!(self, Self::Passphrase | Self::Age { recipient: None })
    }

    /// For a table: on a terminal long names lose their middle.
    pub(super) fn word(&self, view: &View) -> String {
        match self {
            Self::Key { key_id } => format!("key {key_id}"),
            Self::Passphrase => "a passphrase".to_owned(),
            Self::Age { recipient: None } => "an age identity".to_owned(),
            Self::Age {
                recipient: Some(recipient),
            } => match (view.columns, recipient.get(..12), recipient.get(56..)) {
                (Some(_), Some(begin), Some(end)) => format!("{begin}…{end}"),
                _ => recipient.clone(),
            },
        }
    }
}

impl KeyRow {
    fn cells(&self, encrypted: u64, view: &View) -> Vec<String> {
        let usage = match (self.writes, self.opens) {
            (true, true) => "writes and opens",
            (true, false) => "writes",
            (false, true) => "opens",
            (false, false) => "-",
        };
        vec![
            self.key.word(view),
            self.from
                .clone()
                .unwrap_or_else(|| "not configured".to_owned()),
            usage.to_owned(),
            format!("{} of {}", count(self.backups), count(encrypted)),
        ]
    }
}

impl Report for KeyListReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 4] = [
            Column::left("KEY"),
            Column::shrinking("FROM"),
            Column::left("USE"),
            Column::right("BACKUPS"),
        ];
        let mut text = match self.keys.is_empty() {
            true => "No key is configured.\n".to_owned(),
            false => {
                let rows = self.keys.iter();
                let rows: Vec<_> = rows.map(|row| row.cells(self.encrypted, view)).collect();
                table(&COLUMNS, &rows, view)
            }
        };
        text.push('\n');
        text.push_str(&unopened_text(&self.unopened));
        if self.encrypted == 0 {
            text.push_str("No backup is encrypted.\n");
        } else if self.unopened.is_empty() {
            let all = counted(self.encrypted, "encrypted backup", "encrypted backups");
            text.push_str(&format!("A configured key opens: {all}, which is all.\n"));
        }
        if self.unencrypted > 0 {
            let number = counted(self.unencrypted, "backup is", "backups are");
            text.push_str(&format!("{number} not encrypted.\n"));
        }
        if let Some(own) = &self.signs_with {
            text.push_str(&format!("Signs with the key of {own}.\n"));
        }
        let others = |key: &&String| Some(*key) != self.signs_with.as_ref();
        for key in self.believes.iter().filter(others) {
            text.push_str(&format!("Believes what {key} signed.\n"));
        }
        if self.legacy > 0 {
            let number = counted(self.legacy, "legacy backup", "legacy backups");
            text.push_str(&format!(
                "{number}: by the manifest's word; kluis verify tries the key.\n"
            ));
        }
        text
    }
}

/// The backups that no configured key opens, by name; nothing where there are none.
pub(super) fn unopened_text(unopened: &[UnopenedRow]) -> String {
    if unopened.is_empty() {
        return String::new();
    }
    let number = counted(unopened.len() as u64, "backup opens", "backups open");
    let head = Style::Red.paint(format!("{number} with no configured key:"));
    let mut text = format!("{head}\n");
    for row in unopened.iter().take(NAMED) {
        let problem = match row.wants.is_empty() {
            true => row.problem.clone(),
            false => format!("wants {}", row.wants.join(" or ")),
        };
        let (file, problem) = (line(&row.file), line(&problem));
        text.push_str(&format!("  {file}\n    {problem}\n"));
    }
    let more = unopened.len().saturating_sub(NAMED) as u64;
    if more > 0 {
        text.push_str(&format!(
            "  and {} more; --json has them all\n",
            count(more)
        ));
    }
    text
}

#[derive(Debug, Serialize)]
pub struct KeySlotsReport {
    pub backups: Vec<SlotsRow>,
}

#[derive(Debug, Serialize)]
pub struct SlotsRow {
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `KLUIS1`, `kanbu` or `not encrypted`.
    pub format: String,
    /// Whether a key was there to check the header with. If not, the slots are
    /// what the file says.
    pub checked: bool,
    pub slots: Vec<SlotRow>,
    /// Of header copies A and B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generations: Option<[u32; 2]>,
    /// The header copy that did not open, and why, where the other one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unused_copy: Option<String>,
    /// Why it does not open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct SlotRow {
    #[serde(flatten)]
    pub key: KeyName,
    /// Where the configured keys that open it come from.
    pub opened_by: Vec<String>,
}

impl Report for KeySlotsReport {
    fn text(&self, view: &View) -> String {
        let texts: Vec<String> = self.backups.iter().map(|row| row.text(view)).collect();
        texts.join("\n")
    }

    fn failure(&self) -> Option<Failure> {
        let problem = |row: &SlotsRow| Some(format!("{}: {}", row.file, row.problem.as_ref()?));
        let error = self.backups.iter().find_map(problem)?;
        Some(Failure { error, hint: None })
    }
}

impl SlotsRow {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 3] = [
            Column::right("SLOT"),
            Column::left("KEY"),
            Column::shrinking("OPENED BY"),
        ];
        let state = match (self.format.as_str(), self.checked) {
            ("KLUIS1", true) => "KLUIS1, its header is right",
            ("KLUIS1", false) => "KLUIS1, its header not checked for want of a key",
            ("kanbu", _) => "Kanbu's format, one key, by its manifest",
            (other, _) => other,
        };
        let mut text = format!("{}\n{state}\n", Style::Bold.paint(line(&self.file)));
        if let Some([a, b]) = self.generations.filter(|[a, b]| a != b) {
            text.push_str(&format!(
                "copy A of the header is of generation {a}, copy B of {b}: a change of keys was \
                 interrupted\n"
            ));
        }
        if let Some(unused) = &self.unused_copy {
            text.push_str(&format!("{}\n", line(unused)));
        }
        let slots = self.slots.iter().enumerate();
        let rows: Vec<_> = slots
            .map(|(at, slot)| {
                let opened_by = match slot.opened_by.is_empty() {
                    true => "no configured key".to_owned(),
                    false => slot.opened_by.join(", "),
                };
                vec![(at + 1).to_string(), slot.key.word(view), opened_by]
            })
            .collect();
        if !rows.is_empty() {
            text.push_str(&table(&COLUMNS, &rows, view));
        }
        if let Some(problem) = &self.problem {
            let wrong = Style::Red.paint("does not open:");
            text.push_str(&format!("{wrong} {}\n", line(problem)));
        }
        text
    }
}
