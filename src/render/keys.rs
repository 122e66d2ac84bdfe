//! What `kluis key` prints.

use serde::Serialize;

use super::style::line;
use super::{Report, View};

#[derive(Debug, Serialize)]
pub struct KeyGenerateReport {
    pub file: String,
    #[serde(flatten)]
    pub key: GeneratedKey,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum GeneratedKey {
    Key { key_id: String },
    Age { recipient: String },
}

impl Report for KeyGenerateReport {
    fn text(&self, _view: &View) -> String {
        let file = line(&self.file);
        let (what, next) = match &self.key {
            GeneratedKey::Key { key_id } => (
                format!("key {key_id}"),
                format!("BACKUP_ENCRYPTION_KEY_FILE={file} makes backups open with it."),
            ),
            GeneratedKey::Age { recipient } => (
                format!("the age identity of {recipient}"),
                format!(
                    "BACKUP_AGE_RECIPIENTS={recipient}\nmakes backups open with it, on hosts \
                     that do not have the file."
                ),
            ),
        };
        format!(
            "{file} is new: {what}\n{next}\nCopy the file to where the backups are not: \
             without it they are lost.\n"
        )
    }
}
