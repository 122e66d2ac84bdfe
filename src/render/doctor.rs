//! What `kluis doctor` prints: areas, and below each what was found.

use serde::Serialize;

use super::style::{Style, lines, wrapped};
use super::{Report, View};

/// What is left of 80 columns beside the verdicts.
const INDENT: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    Ok,
    /// It works, but not as well or as safely as it could.
    Warn,
    /// Backups or restores will not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Check {
    /// "server", "storage", ...
    pub area: &'static str,
    pub health: Health,
    pub found: String,
    /// What to do about it, where it is not ok.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    pub fn ok(area: &'static str, found: impl Into<String>) -> Self {
        Self {
            area,
            health: Health::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    pub fn warn(area: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            health: Health::Warn,
            remedy: Some(remedy.into()),
            ..Self::ok(area, found)
        }
    }

    pub fn fail(area: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            health: Health::Fail,
            ..Self::warn(area, found, remedy)
        }
    }
}

#[derive(Debug, Serialize)]
pub struct DoctorReport {
    /// The worst of the checks.
    pub health: Health,
    pub checks: Vec<Check>,
}

impl DoctorReport {
    pub fn new(checks: Vec<Check>) -> Self {
        let worst = checks.iter().map(|check| check.health).max();
        Self {
            health: worst.unwrap_or(Health::Ok),
            checks,
        }
    }

    fn verdict(&self) -> String {
        let count = |health| self.checks.iter().filter(|c| c.health == health).count();
        match (count(Health::Fail), count(Health::Warn)) {
            (0, 0) => Style::Green.paint("All is well.").to_string(),
            (0, warn) => format!("{}: {warn} to look at.", Style::Yellow.paint("Usable")),
            (fail, warn) => format!(
                "{}: {fail} to mend, {warn} to look at.",
                Style::Red.paint("NOT USABLE")
            ),
        }
    }
}

impl Report for DoctorReport {
    fn text(&self, view: &View) -> String {
        let width = view.columns.unwrap_or(usize::MAX).max(INDENT + 20) - INDENT;
        let mut text = String::new();
        let mut area = "";
        for check in &self.checks {
            if check.area != area {
                area = check.area;
                text.push_str(&format!("{}\n", Style::Bold.paint(area)));
            }
            let word = match check.health {
                Health::Ok => Style::Green.paint("ok  "),
                Health::Warn => Style::Yellow.paint("warn"),
                Health::Fail => Style::Red.paint("FAIL"),
            };
            let found = wrapped(&lines(&check.found), width, INDENT);
            text.push_str(&format!("  {word}  {found}\n"));
            if let Some(remedy) = &check.remedy {
                let remedy = wrapped(&lines(remedy), width - 2, INDENT);
                let remedy = remedy.replace('\n', "\n  ");
                let arrow = Style::Cyan.paint(">");
                text.push_str(&format!("{:INDENT$}{arrow} {remedy}\n", ""));
            }
        }
        format!("{text}\n{}\n", self.verdict())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> DoctorReport {
        DoctorReport::new(vec![
            Check::ok("server", "PostgreSQL 15.18 at db:5432"),
            Check::warn("server", "one", "do this"),
            Check::fail(
                "storage",
                "word ".repeat(40).trim(),
                "turn ".repeat(40).trim(),
            ),
        ])
    }

    #[test]
    fn the_worst_check_is_the_verdict() {
        let text = report().text(&View::for_tests());
        assert_eq!(report().health, Health::Fail);
        assert!(
            text.ends_with("NOT USABLE\x1b[0m: 1 to mend, 1 to look at.\n"),
            "{text}"
        );
        let fine = DoctorReport::new(vec![Check::ok("key", "there")]);
        assert!(fine.text(&View::for_tests()).contains("All is well."));
    }

    #[test]
    fn long_texts_stay_within_the_terminal_and_behind_their_indent() {
        let text = anstream::adapter::strip_str(&report().text(&View::for_tests())).to_string();
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(text.contains("\n        word"), "{text}");
        assert!(text.contains("\n        > turn"), "{text}");
        assert!(text.contains("\n          turn"), "{text}");
    }
}
