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
    Signing { verify_key: String },
}

impl Report for KeyGenerateReport {
    fn text(&self, _view: &View) -> String {
        let file = line(&self.file);
        let (what, next) = match &self.key {
            GeneratedKey::Key { key_id } => (
                format!("key {key_id}"),
                format!("To use it, set BACKUP_ENCRYPTION_KEY_FILE={file}."),
            ),
            GeneratedKey::Age { recipient } => (
                format!("the age identity of {recipient}"),
                format!(
                    "To use it on hosts that do not have the file, set\n\
                     BACKUP_AGE_RECIPIENTS={recipient}"
                ),
            ),
            GeneratedKey::Signing { verify_key } => {
                return format!(
                    "{file} is new: the signing key of {verify_key}\n\
                     BACKUP_SIGNING_KEY_FILE={file} signs what this host makes. Other hosts take \
                     that for theirs\nwith verify_keys = [\"{verify_key}\"] in [encryption] of \
                     kluis.toml.\n"
                );
            }
        };
        format!(
            "{file} is new: {what}\n{next}\nCopy the file to where the backups are not: \
             without it they cannot be read.\n"
        )
    }
}
