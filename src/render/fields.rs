//! Lines of a label and a value, the labels aligned.

use super::style::{Style, line};

/// The labels stand in one column of this width.
const LABEL_COLUMNS: usize = 13;

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
    pub fn list(&mut self, label: &str, values: &[String]) {
        if !values.is_empty() {
            self.line(label, &values.join(", "));
        }
    }

    pub fn into_text(self) -> String {
        self.0
    }
}
