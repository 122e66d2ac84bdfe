//! What other programs read of `kluis check`: a Nagios plugin's line, metrics in
//! the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::Timestamp;

use super::console::messages;
use super::style::line;
use crate::format::manifest::Kind;
use crate::health::{FAILURE_DAYS, Facts, Finding, Level, Room};

/// One line as the Monitoring Plugins guidelines have it, and its exit code.
pub fn nagios(findings: &[Finding]) -> (String, u8) {
    let worst = findings.iter().map(|finding| finding.level).max();
    let (word, code) = match worst.unwrap_or(Level::Ok) {
        Level::Ok => ("OK", 0),
        Level::Warning => ("WARNING", 1),
        Level::Critical => ("CRITICAL", 2),
    };
    let wrong = findings.iter().filter(|it| it.level > Level::Ok);
    let wrong: Vec<String> = wrong
        .map(|it| format!("{}: {}", it.subject, it.text))
        .collect();
    let text = match wrong.is_empty() {
        true => "all backups are as they should be".to_owned(),
        false => wrong.join("; "),
    };
    // A bar would begin the performance data.
    let text = line(&text).replace('|', "/");
    let data: Vec<String> = findings.iter().filter_map(performance).collect();
    (
        format!("KLUIS {word} - {text} | {}\n", data.join(" ")),
        code,
    )
}

/// The line of a plugin that could not look; its exit code is 3. What was said in
/// several lines, such as of a configuration file, becomes one.
pub fn nagios_unknown(error: &anyhow::Error) -> String {
    let text = messages(error).join(": ");
    let text: Vec<&str> = text.split_whitespace().collect();
    let text = line(&text.join(" ")).replace('|', "/");
    format!("KLUIS UNKNOWN - {text}\n")
}

/// `'label'=value[unit];warn`. Limits from below are ranges.
fn performance(finding: &Finding) -> Option<String> {
    let value = finding.value?;
    let unit = match finding.unit {
        unit @ ("s" | "%" | "B") => unit,
        _ => "",
    };
    let label = format!("{} {}", finding.check, finding.subject);
    let label = line(&label).replace(['\'', '='], "_");
    let limit = match (finding.check, finding.limit) {
        (_, None) => String::new(),
        ("free" | "inodes" | "growth", Some(limit)) => format!("{limit:.0}:"),
        ("size", Some(limit)) => format!("-{limit:.0}:{limit:.0}"),
        (_, Some(limit)) => format!("{limit:.0}"),
    };
    Some(format!("'{label}'={value:.0}{unit};{limit}"))
}

/// Metrics in the text format of Prometheus.
///
/// `storage`: where it is, so that the metrics of several can stand side by side.
pub fn prometheus(facts: &Facts, findings: &[Finding], storage: &str, now: Timestamp) -> String {
    let mut metrics = Metrics::default();
    for (series, group) in facts.by_series() {
        let labels = labels(&[
            ("storage", storage),
            ("kind", series.kind.word()),
            ("name", &series.name),
            ("series", &series.to_string()),
        ]);
        let Some(newest) = group.first() else {
            continue;
        };
        let at = newest.created_at.as_second() as f64;
        metrics.gauge(
            "backup_last_timestamp_seconds",
            "When the newest backup was made.",
            &labels,
            at,
        );
        let stored = newest.stored_bytes as f64;
        metrics.gauge(
            "backup_last_stored_bytes",
            "Stored size of the newest backup.",
            &labels,
            stored,
        );
        let raw = newest.raw_bytes as f64;
        metrics.gauge(
            "backup_last_content_bytes",
            "Content of the newest backup.",
            &labels,
            raw,
        );
        metrics.gauge(
            "backup_last_lacks",
            "What could not be read or dumped of the newest backup; 0 is a complete one.",
            &labels,
            newest.lacks as f64,
        );
        let number = group.len() as f64;
        metrics.gauge("backups", "Backups that are there.", &labels, number);
        let total: u64 = group.iter().map(|backup| backup.stored_bytes).sum();
        metrics.gauge(
            "backups_stored_bytes",
            "Stored size of all of them.",
            &labels,
            total as f64,
        );
        if let Some(proven) = group.iter().filter_map(|backup| backup.proven_at).max() {
            let at = proven.as_second() as f64;
            metrics.gauge(
                "backup_last_proof_timestamp_seconds",
                "When one was last proven.",
                &labels,
                at,
            );
        }
    }
    let of_storage = labels(&[("storage", storage)]);
    if let Some(Room {
        free_bytes,
        total_bytes,
    }) = facts.room
    {
        metrics.gauge(
            "storage_free_bytes",
            "Free on the storage's disk.",
            &of_storage,
            free_bytes as f64,
        );
        metrics.gauge(
            "storage_size_bytes",
            "Size of the storage's disk.",
            &of_storage,
            total_bytes as f64,
        );
    }
    for (proof, number) in [
        ("verified", facts.totals.verified),
        ("pending", facts.totals.pending),
        ("failed", facts.totals.failed),
    ] {
        let of_proof = labels(&[("storage", storage), ("proof", proof)]);
        let help = "Backups of the storage by their proof.";
        metrics.gauge("storage_backups", help, &of_proof, number as f64);
    }
    metrics.gauge(
        "storage_backups_stored_bytes",
        "Stored size of all backups.",
        &of_storage,
        facts.totals.stored_bytes as f64,
    );
    let failures = facts.failures.len() as f64;
    let help = format!("Runs of the last {FAILURE_DAYS} days that failed or broke off.");
    metrics.gauge("runs_failed_recently", &help, &of_storage, failures);
    for finding in findings {
        let kind = finding.kind.map_or("", Kind::word);
        let labels = labels(&[
            ("storage", storage),
            ("check", finding.check),
            ("subject", &finding.subject),
            ("kind", kind),
            ("series", finding.series.as_deref().unwrap_or_default()),
        ]);
        let level = f64::from(finding.level as u8);
        metrics.gauge(
            "check_level",
            "0 ok, 1 warning, 2 critical.",
            &labels,
            level,
        );
    }
    metrics.gauge(
        "check_timestamp_seconds",
        "When this was written.",
        &of_storage,
        now.as_second() as f64,
    );
    metrics.text()
}

/// Samples by metric: all of one stand together, behind its help and type.
#[derive(Default)]
struct Metrics(BTreeMap<String, (String, Vec<String>)>);

impl Metrics {
    fn gauge(&mut self, name: &str, help: &str, labels: &str, value: f64) {
        let name = format!("kluis_{name}");
        let sample = format!("{name}{labels} {value}");
        let entry = self
            .0
            .entry(name)
            .or_insert_with(|| (help.to_owned(), Vec::new()));
        entry.1.push(sample);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, (help, samples)) in &self.0 {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for sample in samples {
                let _ = writeln!(text, "{sample}");
            }
        }
        text
    }
}

/// One that is empty is as good as none.
fn labels(labels: &[(&str, &str)]) -> String {
    let given = labels.iter().filter(|(_, value)| !value.is_empty());
    let texts = given.map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(check: &'static str, level: Level, value: f64) -> Finding {
        Finding {
            check,
            subject: "shop|1".to_owned(),
            kind: None,
            series: None,
            level,
            value: Some(value),
            limit: Some(26.0),
            unit: "s",
            text: "too | old".to_owned(),
            remedy: String::new(),
        }
    }

    #[test]
    fn a_plugins_line_has_one_bar_and_the_worst_exit_code() {
        let (line, code) = nagios(&[
            finding("age", Level::Warning, 90.0),
            finding("free", Level::Critical, 3.0),
        ]);
        assert_eq!(code, 2);
        let (text, data) = line.split_once(" | ").unwrap();
        assert!(
            text.starts_with("KLUIS CRITICAL - ") && !text.contains('|'),
            "{text}"
        );
        assert_eq!(data, "'age shop|1'=90s;26 'free shop|1'=3s;26:\n");
        assert_eq!(nagios(&[]).1, 0);
    }

    #[test]
    fn a_name_with_a_newline_leaves_a_plugins_line_one_line() {
        let mut old = finding("age", Level::Critical, 90.0);
        old.subject = "a\nb\x1b".to_owned();
        let (said, _) = nagios(&[old]);
        assert_eq!(
            said,
            "KLUIS CRITICAL - a\\nb\\u{1b}: too / old | 'age a\\nb\\u{1b}'=90s;26\n"
        );
        let error = anyhow::anyhow!("kluis.toml:\n  |\n1 | x\x07");
        let said = nagios_unknown(&error);
        assert_eq!(said, "KLUIS UNKNOWN - kluis.toml: / 1 / x\\u{7}\n");
    }

    #[test]
    fn a_metrics_label_is_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
