//! Lines of a label and a value, the labels aligned.

use super::style::{Style, line};

/// The labels stand in one column of this width.
const LABEL_COLUMNS: usize = 13;
/// What is left of 80 columns beside the labels and their indent.
const VALUE_COLUMNS: usize = 80 - 2 - LABEL_COLUMNS;

/// Collects the lines; values are tamed.
#[derive(Default)]
pub struct Fields(String);

impl Fields {
    pub fn line(&mut self, label: &str, value: &str) {
        let label = Style::Dim.paint(format!("{label:<LABEL_COLUMNS$}"));
        self.0.push_str(&format!("  {label}{}\n", line(value)));
    }

    /// Nothing where there is no value.
    pub fn optional(&mut self, label: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(label, value);
        }
    }

    /// A list, nothing where it is empty.
    pub fn list(&mut self, label: &str, values: &[impl AsRef<str>]) {
        if !values.is_empty() {
            let mut label = label;
            for text in wrapped(values) {
                self.line(label, &text);
                label = "";
            }
        }
    }

    pub fn into_text(self) -> String {
        self.0
    }
}

/// The values with commas between them, in lines that fit beside the labels.
fn wrapped(values: &[impl AsRef<str>]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (index, value) in values.iter().map(AsRef::as_ref).enumerate() {
        let comma = if index + 1 < values.len() { "," } else { "" };
        let fits = |line: &&mut String| {
            let columns = line.chars().count() + value.chars().count() + comma.len() + 1;
            columns <= VALUE_COLUMNS
        };
        match lines.last_mut().filter(fits) {
            Some(line) => line.push_str(&format!(" {value}{comma}")),
            None => lines.push(format!("{value}{comma}")),
        }
    }
    lines
}
