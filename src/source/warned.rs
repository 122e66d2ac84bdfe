//! What a dump's programs say although they succeed: which of it tells that
//! something is not in the dump.
//!
//! Decides by the words of pg_dump itself, which are the same everywhere, as it runs
//! in the locale C; the server's own words, in whatever language, are only shown.
//! Invariant: a warning that is not on the list of harmless ones counts as a lack. An
//! owner whose names hold line feeds can forge more warnings, but hide none.

use crate::format::manifest::{Warned, Warning};
use crate::process::Said;

/// As many are kept in a manifest,
const KEPT: usize = 50;
/// and so much of each.
const TEXT_BYTES_MAX: usize = 1_000;

/// How warnings of pg_dump, pg_dumpall and pg_restore 14 to 18 begin by which nothing
/// is missing. That a client knows no compression or order changes nothing in what is
/// dumped; grants to roles that are no more mean nothing; how many subscriptions are
/// missing the server itself tells.
const HARMLESS: &[&str] = &[
    "archive was made on a machine with larger integers",
    "compression option ",
    "could not resolve dependency loop among these items:",
    "found orphaned pg_auth_members entry for role ",
    "grant of role ",
    "ignoring role grant for missing role with OID ",
    "ignoring role grant to missing role with OID ",
    "invalid creation date in header",
    "requested compression not available in this installation",
    "subscriptions not dumped because current user is not a superuser",
    "there are circular foreign-key constraints among these tables:",
    "there are circular foreign-key constraints on this table:",
];

/// Adds what `program` said.
pub(super) fn add(warned: &mut Warned, program: &str, said: &Said) {
    let mut warnings = warnings(program, &said.text);
    if said.is_cut {
        warnings.push(Warning {
            text: format!("{program} said more than is kept of it"),
            lacks: true,
        });
    }
    warned.count += warnings.len() as u64;
    warned.lacking += warnings.iter().filter(|warning| warning.lacks).count() as u64;
    warned.warnings.append(&mut warnings);
    // A flood of harmless ones hides no other.
    warned.warnings.sort_by_key(|warning| !warning.lacks);
    warned.warnings.truncate(KEPT);
}

/// One for each line that begins a warning; the lines behind it belong to it. What
/// stands before the first is the server's or libpq's.
fn warnings(program: &str, text: &str) -> Vec<Warning> {
    let own = format!("{program}: ");
    let mut warnings: Vec<Warning> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let told = line.strip_prefix(&own);
        let begins = told.and_then(|told| {
            let warning = told.strip_prefix("warning: ");
            warning.or_else(|| told.strip_prefix("error: "))
        });
        match (begins, warnings.last_mut()) {
            (Some(words), _) => warnings.push(Warning {
                text: format!("{own}{words}"),
                lacks: !HARMLESS.iter().any(|known| words.starts_with(known)),
            }),
            (None, Some(last)) => {
                last.text.push(' ');
                last.text.push_str(told.unwrap_or(line).trim());
            }
            (None, None) => warnings.push(Warning {
                text: line.to_owned(),
                lacks: false,
            }),
        }
    }
    for warning in &mut warnings {
        let end = warning.text.floor_char_boundary(TEXT_BYTES_MAX);
        if end < warning.text.len() {
            warning.text.truncate(end);
            warning.text.push_str(" ..");
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(text: &str) -> Warned {
        let mut warned = Warned::default();
        let said = Said {
            text: text.to_owned(),
            is_cut: false,
        };
        add(&mut warned, "pg_dump", &said);
        warned
    }

    fn told(text: &str) -> Vec<(String, bool)> {
        let warnings = warned(text).warnings.into_iter();
        warnings
            .map(|warning| (warning.text, warning.lacks))
            .collect()
    }

    #[test]
    fn a_warning_comes_with_its_details_and_the_servers_are_shown() {
        let circular = "there are circular foreign-key constraints on this table:";
        for details in [
            "pg_dump: detail: t\npg_dump: hint: Think.\n",
            "pg_dump:   t\npg_dump: hint: Think.\n",
        ] {
            let [(text, lacks)] = &told(&format!("pg_dump: warning: {circular}\n{details}"))[..]
            else {
                panic!("one warning");
            };
            assert!(!lacks && text.starts_with(&format!("pg_dump: {circular} ")));
            assert!(text.ends_with("t hint: Think."), "{text}");
        }
        let server = "WARNUNG:  »x«\nDETAIL:  y\npg_dump: warning: invalid collation \"c\"\n";
        let expected = [
            ("pg_dump: invalid collation \"c\"".to_owned(), true),
            ("WARNUNG:  »x« DETAIL:  y".to_owned(), false),
        ];
        assert_eq!(told(server), expected);
    }

    #[test]
    fn what_nobody_knows_is_a_lack_and_a_flood_hides_none() {
        let flood = "pg_dump: warning: grant of role \"a\"\n".repeat(1_000);
        let text = format!("{flood}pg_dump: warning: something new\n");
        let warned = warned(&text);
        assert_eq!((warned.count, warned.lacking), (1_001, 1));
        assert_eq!(warned.warnings.len(), KEPT);
        assert_eq!(warned.warnings[0].text, "pg_dump: something new");
        let long = format!("pg_dump: warning: {}\n", "ü".repeat(5_000));
        assert!(told(&long)[0].0.len() < TEXT_BYTES_MAX + 10);
    }

    #[test]
    fn more_than_is_kept_is_a_lack() {
        let mut warned = Warned::default();
        let said = Said {
            text: String::new(),
            is_cut: true,
        };
        add(&mut warned, "pg_dump", &said);
        assert_eq!((warned.count, warned.lacking), (1, 1));
    }
}
