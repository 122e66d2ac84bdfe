//! Which of pg_dump's options an operator may add. Pure.
//!
//! Refuses what kluis sets itself, what would make a dump that does not restore
//! by itself, and abbreviations of these: pg_dump takes any unambiguous
//! beginning of a long option. Owns which options change what a dump holds.

use super::PostgresError;
use crate::checked::RecordedOption;

/// Refused options, and what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("binary-upgrade", "it is pg_upgrade's own"),
    ("clean", "a restore puts a whole new database in place"),
    ("compress", "use --codec and --level"),
    ("create", "a restore makes the database itself"),
    ("data-only", "such a dump restores nowhere by itself"),
    ("dbname", "use --url, or name the database"),
    ("encoding", "kluis dumps in the database's own"),
    ("exclude-schema", "use -N"),
    ("exclude-table", "use -T"),
    ("file", "kluis takes the dump from pg_dump's output"),
    ("filter", "use -n, -N, -t and -T"),
    ("format", "use --format"),
    ("help", "it makes no dump"),
    ("host", "use --url or PGHOST"),
    ("if-exists", "a restore puts a whole new database in place"),
    ("jobs", "use --jobs"),
    ("lock-wait-timeout", "set lock_wait_timeout"),
    ("no-password", "kluis says it itself"),
    ("no-schema", "such a dump restores nowhere by itself"),
    ("password", "set PGPASSWORD or a passfile"),
    ("port", "use --url or PGPORT"),
    ("restrict-key", "pg_dump makes a random one"),
    ("schema", "use -n"),
    ("section", "such a dump restores nowhere by itself"),
    (
        "snapshot",
        "the snapshot's session would have to be kluis' own",
    ),
    ("statistics-only", "such a dump restores nowhere by itself"),
    ("table", "use -t"),
    ("table-and-children", "use -t"),
    ("username", "use --url or PGUSER"),
    ("verbose", "kluis reads the dump's comments"),
    ("version", "it makes no dump"),
];

/// Allowed, though they begin like a refused one.
const ALLOWED: &[&str] = &["schema-only"];

/// With archive formats these count when the archive becomes text again, so
/// they have to be known by their whole names.
pub(super) const COUNT_AT_CONVERSION: &[&str] = &[
    "--no-owner",
    "--no-table-access-method",
    "--no-tablespaces",
    "--use-set-session-authorization",
];

/// They say how the dump is made, not what it holds.
const OF_THE_MAKING: &[&str] = &["--role", "--no-sync", "--sync-method"];

/// An option that a pg_dump may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpOption(String);

impl DumpOption {
    /// As an operator asks for it. Why it is refused is told with the way out.
    pub fn asked(option: &str) -> Result<Self, String> {
        check_dump_option(option)?;
        Ok(Self(option.to_owned()))
    }

    /// One that a flag of kluis stands for.
    pub fn of_flag(option: &'static str) -> Self {
        Self(option.to_owned())
    }

    /// As a manifest tells of it: only what is on the list of those that say what
    /// a dump holds.
    pub(super) fn again(option: &RecordedOption) -> Result<Self, PostgresError> {
        let argument = option.argument().ok_or_else(|| PostgresError::NotProvable {
            what: format!(
                "its manifest says that it was dumped with {:?}, which kluis gives to no program \
                 on a manifest's word",
                option.to_string()
            ),
            remedy: "if it is yours, move its .json away, and take the archive by its path"
                .to_owned(),
        })?;
        Ok(Self(argument.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why `option` is refused, with the way out.
fn check_dump_option(option: &str) -> Result<(), String> {
    let Some(long) = option.strip_prefix("--") else {
        return Err(format!(
            "{option:?} is no long option: write --name or --name=value"
        ));
    };
    let name = long.split_once('=').map_or(long, |(name, _)| name);
    let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(format!("{option:?} is no option of pg_dump"));
    }
    let refused = REFUSED
        .iter()
        .find(|(refused, _)| refused.starts_with(name));
    if let Some((refused, instead)) = refused
        && !ALLOWED.contains(&name)
    {
        return Err(match name == *refused {
            true => format!("--{name} is refused: {instead}"),
            false => format!("--{name} may mean --{refused}, which is refused: {instead}"),
        });
    }
    let shortened = |whole: &&&str| whole[2..].starts_with(name) && whole[2..] != *name;
    match COUNT_AT_CONVERSION
        .iter()
        .chain(OF_THE_MAKING)
        .find(shortened)
    {
        Some(whole) => Err(format!("--{name} is cut short: write {whole}")),
        None => Ok(()),
    }
}

/// Whether a dump to compare with needs `option`, too.
pub(super) fn changes_content(option: &str) -> bool {
    let name = option.split_once('=').map_or(option, |(name, _)| name);
    !OF_THE_MAKING.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::{changes_content, check_dump_option};

    #[test]
    fn what_kluis_sets_itself_is_refused_also_when_cut_short() {
        for option in [
            "--format=custom",
            "--form=c",
            "--f=x",
            "--file=/etc/passwd",
            "--jobs=4",
            "--j=4",
            "--compress=9",
            "--dbname=other",
            "--d=other",
            "--host=h",
            "--username=u",
            "--pass",
            "--no-pass",
            "--table=t",
            "--tab=t",
            "--schema=s",
            "--schem=s",
            "--exclude-table=t",
            "--exclude-t=t",
            "--lock-wait=1",
            "--create",
            "--clean",
            "--if-exists",
            "--data-only",
            "--section=data",
            "--verbose",
            "--help",
            "--version",
        ] {
            let refused = check_dump_option(option).unwrap_err();
            assert!(refused.contains("refused"), "{option}: {refused}");
        }
    }

    #[test]
    fn what_is_no_long_option_is_refused() {
        for option in [
            "-Fc",
            "-t",
            "shop",
            "",
            "--",
            "--=x",
            "- -x",
            "--no owner",
            "--NO-OWNER",
        ] {
            assert!(check_dump_option(option).is_err(), "{option}");
        }
    }

    #[test]
    fn other_options_pass() {
        for option in [
            "--inserts",
            "--rows-per-insert=100",
            "--column-inserts",
            "--no-owner",
            "--no-comments",
            "--no-privileges",
            "--exclude-table-data=log.*",
            "--schema-only",
            "--role=backup",
            "--quote-all-identifiers",
        ] {
            assert_eq!(check_dump_option(option), Ok(()), "{option}");
        }
    }

    #[test]
    fn an_option_that_must_be_known_is_written_out() {
        let refused = check_dump_option("--no-own").unwrap_err();
        assert!(refused.contains("write --no-owner"), "{refused}");
    }

    #[test]
    fn the_role_is_not_the_dumps_content() {
        assert!(changes_content("--inserts") && changes_content("--exclude-table-data=x"));
        assert!(!changes_content("--role=backup"));
    }
}
