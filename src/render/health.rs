//! What `kluis check` prints.

use std::fmt::Write;

use serde::Serialize;

use super::style::{Style, line};
use super::units::counted;
use super::{Report, View};
use crate::health::{Finding, Level};

#[derive(Debug, Serialize)]
pub struct CheckReport {
    pub healthy: bool,
    pub findings: Vec<Finding>,
}

impl Report for CheckReport {
    fn text(&self, _view: &View) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let (word, subject) = (level_word(finding.level), line(&finding.subject));
            let _ = writeln!(text, "{word} {subject}: {}", line(&finding.text));
            if !finding.remedy.is_empty() {
                let _ = writeln!(text, "     {}", line(&finding.remedy));
            }
        }
        let _ = writeln!(text, "\n{}", verdict(&self.findings));
        text
    }
}

pub(super) fn level_word(level: Level) -> String {
    match level {
        Level::Ok => Style::Green.paint("ok  ").to_string(),
        Level::Warning => Style::Yellow.paint("warn").to_string(),
        Level::Critical => Style::Red.paint("FAIL").to_string(),
    }
}

pub(super) fn verdict(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|it| it.level == level).count() as u64;
    match (count(Level::Critical), count(Level::Warning)) {
        (0, 0) => Style::Green.paint("Healthy.").to_string(),
        (0, warnings) => {
            let number = counted(warnings, "warning", "warnings");
            format!("{}: {number}.", Style::Yellow.paint("NOT HEALTHY"))
        }
        (critical, warnings) => {
            let number = counted(warnings, "warning", "warnings");
            format!(
                "{}: {critical} critical, {number}.",
                Style::Red.paint("NOT HEALTHY")
            )
        }
    }
}
