//! One thing that was looked at, for people and for scripts.

use serde::Serialize;

use crate::format::manifest::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warning,
    Critical,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// "age", "size", "table", "failures", "running", "messages", "proof", "free", "inodes",
    /// "growth", "unverified", "damaged", "restores", "complete",
    /// "encrypted", "covered", "key", "server": names for scripts.
    pub check: &'static str,
    /// A series' name, or more where another has that name too, or "storage".
    pub subject: String,
    /// Of a series; absent for the storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    pub level: Level,
    /// What was found, in `unit`; `None` where there is no number.
    pub value: Option<f64>,
    /// From here on it is not healthy.
    pub limit: Option<f64>,
    /// "s", "%", "B", "d" or "".
    pub unit: &'static str,
    /// For people.
    pub text: String,
    /// What to do about it; empty where all is well.
    pub remedy: String,
}

impl Finding {
    pub(super) fn ok(check: &'static str, subject: &str, text: impl Into<String>) -> Self {
        Self {
            check,
            subject: subject.to_owned(),
            kind: None,
            series: None,
            level: Level::Ok,
            value: None,
            limit: None,
            unit: "",
            text: text.into(),
            remedy: String::new(),
        }
    }

    pub(super) fn measured(self, value: f64, limit: Option<f64>, unit: &'static str) -> Self {
        Self {
            value: Some(value),
            limit,
            unit,
            ..self
        }
    }

    pub(super) fn at(self, level: Level, remedy: impl Into<String>) -> Self {
        match level {
            Level::Ok => self,
            level => Self {
                level,
                remedy: remedy.into(),
                ..self
            },
        }
    }
}
