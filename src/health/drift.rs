//! How far the newest backup is from those before it, in size and in rows.

use super::{BackupFact, Finding, Level, Thresholds, warning_if};

/// Fewer backups than this make no median that says something.
const MEDIAN_OF_AT_LEAST: usize = 2;
/// Tables that are named; the others are counted.
const TABLES_NAMED: usize = 5;

pub(super) fn size(
    newest: &BackupFact,
    against: &[&BackupFact],
    thresholds: &Thresholds,
) -> Option<Finding> {
    let limit = f64::from(thresholds.size_drift_percent?);
    let median = median(against.iter().map(|backup| backup.raw_bytes))?;
    let drift = percent(newest.raw_bytes, median);
    let text = format!("the newest backup's content is {drift:+.0}% against the median before it");
    let finding = Finding::ok("size", &newest.title, text).measured(drift, Some(limit), "%");
    // A database that became empty is the reason for this check.
    let level = match drift {
        drift if drift <= -90.0 && drift.abs() > limit => Level::Critical,
        drift => warning_if(drift.abs() > limit),
    };
    Some(finding.at(
        level,
        "compare them: kluis show latest:NAME lists the tables".replace("NAME", &newest.title),
    ))
}

pub(super) fn tables(
    newest: &BackupFact,
    against: &[&BackupFact],
    thresholds: &Thresholds,
) -> Option<Finding> {
    let limit = f64::from(thresholds.table_drift_percent?);
    let older = against.iter().flat_map(|backup| backup.tables.keys());
    let mut names: Vec<&String> = older.collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let mut drifted: Vec<(f64, &str)> = Vec::new();
    for name in names {
        let of = |backup: &&BackupFact| backup.tables.get(name).copied();
        let Some(median) = median(against.iter().filter_map(of)) else {
            continue;
        };
        // A table that is gone has no rows.
        let rows = newest.tables.get(name).copied().unwrap_or(0);
        let drift = percent(rows, median);
        if drift.abs() > limit && rows.max(median) >= thresholds.table_drift_rows {
            drifted.push((drift, name));
        }
    }
    drifted.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()).then(a.1.cmp(b.1)));
    let named = drifted.iter().take(TABLES_NAMED);
    let named: Vec<String> = named
        .map(|(drift, name)| format!("{name} {drift:+.0}%"))
        .collect();
    let text = match drifted.len() {
        0 => "no table's rows are far from the median before".to_owned(),
        number if number > TABLES_NAMED => {
            format!(
                "rows of {number} tables are far off: {}, ...",
                named.join(", ")
            )
        }
        _ => format!("rows are far from the median before: {}", named.join(", ")),
    };
    let finding = Finding::ok("table", &newest.title, text);
    let measured = finding.measured(drifted.len() as f64, Some(0.0), "");
    Some(measured.at(
        warning_if(!drifted.is_empty()),
        "ask who changed them; the earlier backups still have the rows",
    ))
}

/// The lower of the middle ones, so that it is a number that was there.
fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    match values.len() {
        few if few < MEDIAN_OF_AT_LEAST => None,
        number => values.get((number - 1) / 2).copied(),
    }
}

/// How far `value` is from `from`, in percent of `from`.
fn percent(value: u64, from: u64) -> f64 {
    match (value, from) {
        (0, 0) => 0.0,
        (_, 0) => 100.0,
        (value, from) => (value as f64 - from as f64) * 100.0 / from as f64,
    }
}
