//! What `kluis serve --next` prints.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::table::{Column, table};
use super::units::{age, when_in};
use super::{Report, View};

#[derive(Debug, Serialize)]
pub struct ScheduleReport {
    /// "internal", "external" or "both".
    pub mode: &'static str,
    /// In the order of their next runs; those that are off come last.
    pub schedules: Vec<ScheduleRow>,
}

#[derive(Debug, Serialize)]
pub struct ScheduleRow {
    pub name: String,
    /// "db", "source", "verify", "prune" or "check".
    pub what: String,
    pub cron: String,
    pub time_zone: String,
    /// The same, for the times of the text.
    #[serde(skip)]
    pub zone: TimeZone,
    pub enabled: bool,
    pub catch_up: bool,
    /// The next times, whether it is enabled or not.
    pub next: Vec<Timestamp>,
    /// When its last run began, as the storage's records tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_started: Option<Timestamp>,
    /// A run was missed, and would be made up for at once.
    pub missed: bool,
    /// The arguments of kluis that run it now, or from another scheduler.
    pub command: Vec<String>,
}

impl ScheduleRow {
    fn cells(&self, view: &View) -> Vec<String> {
        let next = match (self.enabled, self.missed) {
            (false, _) => "off".to_owned(),
            (true, true) => "at once: missed".to_owned(),
            (true, false) => {
                let next = self.next.first().map(|next| when_in(*next, &self.zone));
                next.unwrap_or_default()
            }
        };
        let last = self.last_started.map(|last| age(last, view.now));
        vec![
            next,
            self.name.clone(),
            self.what.clone(),
            self.cron.clone(),
            self.time_zone.clone(),
            last.unwrap_or_else(|| "never".to_owned()),
        ]
    }
}

impl Report for ScheduleReport {
    fn text(&self, view: &View) -> String {
        const COLUMNS: [Column; 6] = [
            Column::left("NEXT"),
            Column::shrinking("NAME"),
            Column::left("WHAT"),
            Column::left("CRON"),
            Column::left("ZONE"),
            Column::left("LAST"),
        ];
        if self.schedules.is_empty() {
            return "There is no [[schedule]] in the configuration.\n".to_owned();
        }
        let rows: Vec<_> = self.schedules.iter().map(|row| row.cells(view)).collect();
        let mut text = table(&COLUMNS, &rows, view);
        if self.mode == "external" {
            text.push_str("\nThe mode is external: kluis serve runs none of them.\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, enabled: bool, missed: bool) -> ScheduleRow {
        ScheduleRow {
            name: name.to_owned(),
            what: "source".to_owned(),
            cron: "*/15 3 * * 1-5".to_owned(),
            time_zone: "Europe/Amsterdam".to_owned(),
            zone: TimeZone::get("Europe/Amsterdam").unwrap(),
            enabled,
            catch_up: true,
            next: vec![Timestamp::constant(1_768_800_000, 0)],
            last_started: missed.then(|| Timestamp::constant(1_768_600_000, 0)),
            missed,
            command: Vec::new(),
        }
    }

    #[test]
    fn each_row_tells_when_and_fits_80_columns() {
        let report = ScheduleReport {
            mode: "internal",
            schedules: vec![
                row("late", true, true),
                row("nightly", true, false),
                row("x", false, false),
            ],
        };
        let text = report.text(&View::for_tests());
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("at once: missed   late"), "{text}");
        assert!(text.contains("2026-01-19 06:20"), "{text}");
        assert!(text.contains("\noff"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }
}
