//! What a message about a run says: on the first line all that matters at night,
//! then the reasons, and what to type next. One line each, without control
//! characters: names and a server's words come from outside.

use std::time::Duration;

use super::style::line;
use super::units::{counted, duration, size};
use crate::event::{Event, EventKind};
use crate::notify::Wording;

/// Events and next steps that are told one by one.
const TOLD_MAX: usize = 20;
/// A reason that is longer is cut; the record has all of it.
const REASON_CHARS_MAX: usize = 600;

/// Words what a run came to. `command` and `host` are the run's own; `problem` is
/// the error that it ended with, which counts where no event tells of it.
pub fn run_wording(events: &[Event], command: &str, host: &str, problem: Option<&str>) -> Wording {
    let host = one_line(host);
    let failed: Vec<&Event> = events.iter().filter(|it| !it.kind.is_success()).collect();
    let well: Vec<&Event> = events.iter().filter(|it| it.kind.is_success()).collect();
    // The worst first.
    let sorted = failed.iter().chain(&well);
    let mut lines: Vec<String> = sorted.take(TOLD_MAX).map(|event| told(event)).collect();
    let untold = problem.filter(|_| events.is_empty());
    lines.extend(untold.map(reason));
    if events.len() > TOLD_MAX {
        lines.push(format!("and {} more", events.len() - TOLD_MAX));
    }
    let mut commands: Vec<String> = Vec::new();
    for command in failed.iter().flat_map(|event| next(event)) {
        if !commands.contains(&command) && commands.len() < TOLD_MAX {
            commands.push(command);
        }
    }
    let headline = match untold {
        Some(_) => format!("{command} FAILED"),
        None => headline(&failed, &well, command),
    };
    Wording {
        title: format!("kluis on {host}: {headline}"),
        lines,
        facts: facts(events, &host),
        commands,
    }
}

/// Words that a run begins.
pub fn begin_wording(command: &str, host: &str) -> Wording {
    Wording {
        title: format!("kluis on {}: {command} begins", one_line(host)),
        ..Wording::default()
    }
}

/// Words a test.
pub fn test_wording(host: &str) -> Wording {
    Wording {
        title: format!("kluis on {}: a test message", one_line(host)),
        lines: vec!["Messages of this kluis arrive here. Nothing has happened.".to_owned()],
        ..Wording::default()
    }
}

fn headline(failed: &[&Event], well: &[&Event], command: &str) -> String {
    let all = (failed.len() + well.len()) as u64;
    match (failed, well) {
        ([], []) => format!("{command} is done"),
        ([], [one]) => format!("{}{} is done", noun(one.kind), of(one)),
        ([], [one, ..]) => format!(
            "{} are done",
            counted(all, noun(one.kind), plural(one.kind))
        ),
        ([one], []) => match one.kind {
            EventKind::CheckUnhealthy => "the backups are NOT HEALTHY".to_owned(),
            // It was made, and lacks something.
            kind if one.backup.is_some() && kind == EventKind::BackupFailed => {
                format!("{}{} is INCOMPLETE", noun(kind), of(one))
            }
            kind => format!("{}{} FAILED", noun(kind), of(one)),
        },
        ([one, ..], _) => {
            let named: Vec<String> = failed.iter().filter_map(|it| name(it)).take(4).collect();
            let more = if failed.len() > named.len() {
                ", ..."
            } else {
                ""
            };
            let names = match named.is_empty() {
                true => String::new(),
                false => format!(": {}{more}", named.join(", ")),
            };
            let number = failed.len();
            format!(
                "{number} of {} FAILED{names}",
                counted(all, noun(one.kind), plural(one.kind))
            )
        }
    }
}

fn noun(kind: EventKind) -> &'static str {
    match kind {
        EventKind::BackupCompleted | EventKind::BackupFailed => "backup",
        EventKind::RestoreCompleted | EventKind::RestoreFailed => "restore",
        EventKind::VerifyFailed => "verification",
        EventKind::CheckUnhealthy => "check",
    }
}

fn plural(kind: EventKind) -> &'static str {
    match kind {
        EventKind::BackupCompleted | EventKind::BackupFailed => "backups",
        EventKind::RestoreCompleted | EventKind::RestoreFailed => "restores",
        EventKind::VerifyFailed => "verifications",
        EventKind::CheckUnhealthy => "checks",
    }
}

fn of(event: &Event) -> String {
    name(event).map_or_else(String::new, |name| format!(" of {name}"))
}

fn name(event: &Event) -> Option<String> {
    event.name.as_deref().map(one_line)
}

/// One event on a line: its name, what came of it, and why.
fn told(event: &Event) -> String {
    let name = name(event);
    let mut text = name.map_or_else(String::new, |name| format!("{name}: "));
    match event.kind.is_success() {
        true => {
            let mut parts = vec![format!("{} done", noun(event.kind))];
            if let Some(backup) = &event.backup {
                parts.push(format!(
                    "{}, {}",
                    size(backup.stored_bytes),
                    one_line(&backup.file)
                ));
            }
            if let Some(took) = event.duration_ms {
                parts.push(format!("in {}", duration(Duration::from_millis(took))));
            }
            text.push_str(&parts.join(", "));
            if let Some(problem) = &event.problem {
                text.push_str(&format!("; {}", reason(problem)));
            }
        }
        false => match &event.problem {
            Some(problem) => text.push_str(&reason(problem)),
            None => text.push_str("it failed"),
        },
    }
    text
}

fn reason(text: &str) -> String {
    let words = one_line(text);
    match words.chars().count() > REASON_CHARS_MAX {
        true => format!(
            "{}…",
            words.chars().take(REASON_CHARS_MAX).collect::<String>()
        ),
        false => words,
    }
}

/// A message of several lines becomes one.
fn one_line(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(str::trim);
    let joined = lines.filter(|it| !it.is_empty()).collect::<Vec<_>>();
    line(&joined.join(" ")).into_owned()
}

fn facts(events: &[Event], host: &str) -> Vec<(&'static str, String)> {
    let mut facts = vec![("host", host.to_owned())];
    let Some(event) = events.first() else {
        return facts;
    };
    if !event.storage.is_empty() {
        facts.push(("storage", one_line(&event.storage)));
    }
    if let Some(schedule) = &event.schedule {
        facts.push(("schedule", one_line(schedule)));
    }
    facts.push(("time", format!("{:.0}", event.at)));
    facts
}

/// What to type on the host. A name that a shell could misread is left out.
fn next(event: &Event) -> Vec<String> {
    let plain = |text: &&String| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-./:@".contains(c);
        !text.starts_with('-') && text.chars().all(fits)
    };
    let storage = match plain(&&event.storage) && !event.storage.is_empty() {
        true => format!("-s {} ", event.storage),
        false => String::new(),
    };
    let backup = event.backup.as_ref().map(|backup| &backup.id);
    let kluis = |rest: String| format!("kluis {storage}{rest}");
    match event.kind {
        EventKind::BackupFailed => {
            let database = event.name.as_ref().filter(|_| event.command == "backup db");
            let name = database
                .filter(plain)
                .map_or_else(String::new, |name| format!(" {name}"));
            vec![
                kluis(format!("doctor{name}")),
                kluis("history --result failed --since 7d".to_owned()),
            ]
        }
        EventKind::RestoreFailed => vec![
            kluis("list".to_owned()),
            kluis("history --command restore".to_owned()),
        ],
        EventKind::VerifyFailed => match backup.filter(plain) {
            Some(id) => vec![kluis(format!("show {id}")), kluis(format!("verify {id}"))],
            None => vec![kluis("list".to_owned())],
        },
        EventKind::CheckUnhealthy => vec![kluis("check".to_owned())],
        EventKind::BackupCompleted | EventKind::RestoreCompleted => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventBackup;
    use crate::format::manifest::{Kind, Trigger};

    fn event(kind: EventKind, name: &str) -> Event {
        Event {
            kind,
            at: "2026-01-18T03:00:00.25Z".parse().unwrap(),
            command: "backup db".to_owned(),
            trigger: Trigger::Scheduled,
            schedule: Some("nightly".to_owned()),
            host: "db1".to_owned(),
            storage: "/var/backups/kluis".to_owned(),
            subject: Some(Kind::Db),
            name: Some(name.to_owned()),
            backup: None,
            duration_ms: None,
            problem: None,
        }
    }

    fn made(name: &str) -> Event {
        Event {
            backup: Some(EventBackup {
                id: "838f989f5836d33d".to_owned(),
                file: format!("{name}_backup_2026-01-18T03-00-00.sql.gz"),
                stored_bytes: 31_142_707,
            }),
            duration_ms: Some(3_800),
            ..event(EventKind::BackupCompleted, name)
        }
    }

    fn broken(name: &str) -> Event {
        Event {
            problem: Some("pg_dump: error:\n  no space left; free some".to_owned()),
            ..event(EventKind::BackupFailed, name)
        }
    }

    fn wording(events: &[Event]) -> Wording {
        run_wording(events, "backup db", "db1", None)
    }

    #[test]
    fn a_failure_says_what_where_why_and_what_next() {
        let text = wording(&[broken("shop")]);
        assert_eq!(text.title, "kluis on db1: backup of shop FAILED");
        assert_eq!(
            text.plain(),
            "shop: pg_dump: error: no space left; free some\n\n\
             host: db1\nstorage: /var/backups/kluis\nschedule: nightly\n\
             time: 2026-01-18T03:00:00Z\n\n    \
             kluis -s /var/backups/kluis doctor shop\n    \
             kluis -s /var/backups/kluis history --result failed --since 7d\n"
        );
    }

    #[test]
    fn several_are_one_message_with_the_failures_first() {
        let text = wording(&[made("a"), broken("b"), made("c")]);
        assert_eq!(text.title, "kluis on db1: 1 of 3 backups FAILED: b");
        assert!(text.lines[0].starts_with("b: pg_dump"));
        assert_eq!(
            text.lines[1],
            "a: backup done, 29.7 MiB, a_backup_2026-01-18T03-00-00.sql.gz, in 3.8 s"
        );
        let well = wording(&[made("a"), made("b")]);
        assert_eq!(well.title, "kluis on db1: 2 backups are done");
        assert_eq!(well.commands, [""; 0]);
        let many: Vec<Event> = (0..30).map(|number| made(&number.to_string())).collect();
        assert_eq!(wording(&many).lines.last().unwrap(), "and 10 more");
    }

    #[test]
    fn a_hostile_name_makes_no_second_line_and_is_not_offered_to_a_shell() {
        for name in [
            "x\nBcc: all@example.org",
            "x\r\n\r\nhello",
            "$(reboot)",
            "-x",
            "a b",
        ] {
            let text = wording(&[broken(name)]);
            assert!(!text.title.contains(['\n', '\r']), "{}", text.title);
            assert!(text.lines.iter().all(|it| !it.contains(['\n', '\r'])));
            assert_eq!(text.commands[0], "kluis -s /var/backups/kluis doctor");
        }
        let turned = wording(&[broken("in\u{202e}txt")]);
        assert!(!turned.title.contains('\u{202e}'));
    }

    #[test]
    fn a_run_without_events_is_done_or_failed_by_how_it_ended() {
        assert_eq!(wording(&[]).title, "kluis on db1: backup db is done");
        let broken = run_wording(&[], "backup db", "db1", Some("no such directory"));
        assert_eq!(broken.title, "kluis on db1: backup db FAILED");
        assert_eq!(broken.lines, ["no such directory"]);
    }
}
