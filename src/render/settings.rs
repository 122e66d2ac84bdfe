//! What `kluis config show` prints.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::style::{line, wrapped};
use super::table::{Column, table};
use super::{Report, View};
use crate::config::SettingRow;

#[derive(Debug, Serialize)]
pub struct SettingsReport {
    /// The file that was read, if there is one.
    pub config_file: Option<PathBuf>,
    pub settings: Vec<SettingRow>,
    /// What the settings do not do, although one might think so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Report for SettingsReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 3] = [
            Column::left("SETTING"),
            Column::shrinking("VALUE"),
            Column::left("FROM"),
        ];
        let rows: Vec<_> = self
            .settings
            .iter()
            .map(|row| vec![row.key.to_owned(), plain(&row.value), row.from.clone()])
            .collect();
        let file = self.config_file.as_ref().map_or_else(
            || "No configuration file was found.".to_owned(),
            |path| format!("Configuration file: {}", line(&path.to_string_lossy())),
        );
        let note = self.note.as_deref().map_or_else(String::new, |note| {
            let width = view.columns.unwrap_or(usize::MAX);
            format!("\n{}\n", wrapped(&line(note), width, 0))
        });
        format!("{file}\n\n{}{note}", table(&COLUMNS, &rows, view))
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => {
            let set = fields.iter().filter(|(_, value)| !value.is_null());
            let field = |(name, value): (&String, &Value)| format!("{name}={}", plain(value));
            set.map(field).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}
