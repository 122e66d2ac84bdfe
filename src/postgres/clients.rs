//! Finds the client programs that match a server. A `pg_dump` of the server's
//! own major is wanted; a newer one is taken with a warning; an older one
//! never, because it may not know what it should dump.

use std::path::{Path, PathBuf};

use super::PostgresError;
use crate::process::{Tool, programs_in, run_captured, search_path};

/// Where Debian and the PostgreSQL project's packages put each major.
const VERSIONED_ROOT: &str = "/usr/lib/postgresql";

/// Minor releases since when psql knows `\restrict` (August 2025). Majors
/// above the last always do, majors below the first never.
const FIRST_WITH_RESTRICT: &[(u32, u32)] = &[(13, 22), (14, 19), (15, 14), (16, 10), (17, 6)];

/// Where to look, in this order: the configured directory, the server major's
/// versioned directory, PATH.
#[derive(Clone, Debug)]
pub struct ClientSearch {
    configured: Option<PathBuf>,
    path: Vec<PathBuf>,
    versioned_root: PathBuf,
}

/// A client program that was found and asked for its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    pub path: PathBuf,
    pub major: u32,
    pub minor: u32,
    /// As the program says it: "15.18 (Debian 15.18-0+deb12u1)".
    pub version: String,
}

impl ClientSearch {
    /// `configured`: a directory that is looked into first. `path`: the value
    /// of PATH.
    pub fn new(configured: Option<PathBuf>, path: Option<&str>) -> Self {
        // A configured directory may be relative to where we are.
        let absolute = |directory: PathBuf| std::path::absolute(&directory).unwrap_or(directory);
        Self {
            configured: configured.map(absolute),
            path: search_path(path.unwrap_or_default().as_ref()),
            versioned_root: PathBuf::from(VERSIONED_ROOT),
        }
    }

    /// The program for a server of `major`.
    pub fn find(&self, program: &str, major: u32) -> Result<Client, PostgresError> {
        let mut looked = Vec::new();
        let mut newer: Option<Client> = None;
        for path in self.candidates(program, major) {
            match probe(&path) {
                Ok(client) if client.major == major => return Ok(client),
                Ok(client) => {
                    looked.push(format!("{} is {}", path.display(), client.version));
                    let nearer = newer.as_ref().is_none_or(|n| client.major < n.major);
                    if client.major > major && nearer {
                        newer = Some(client);
                    }
                }
                Err(why) => looked.push(format!("{}: {why}", path.display())),
            }
        }
        newer.ok_or_else(|| PostgresError::ClientMissing {
            program: program.to_owned(),
            major,
            package: match program {
                // The one program that comes with the server.
                "postgres" => format!("postgresql-{major}"),
                _ => format!("postgresql-client-{major}"),
            },
            looked: if looked.is_empty() {
                "none at all".to_owned()
            } else {
                looked.join("; ")
            },
        })
    }

    /// The newest one: for archives that do not say who made them.
    pub fn newest(&self, program: &str) -> Result<Client, PostgresError> {
        let found = self.all(program).into_iter();
        found
            .max_by_key(|client| (client.major, client.minor))
            .ok_or_else(|| PostgresError::ClientMissing {
                program: program.to_owned(),
                major: 0,
                package: "postgresql-client".to_owned(),
                looked: "none at all".to_owned(),
            })
    }

    /// Every one that can be run, in no order.
    pub fn all(&self, program: &str) -> Vec<Client> {
        let candidates = self.candidates(program, 0).into_iter();
        candidates.filter_map(|path| probe(&path).ok()).collect()
    }

    /// Any one, the newest first: to ask a server what it is.
    pub(super) fn find_any(&self, program: &str) -> Option<PathBuf> {
        let versioned = self.versioned_directories().into_iter().rev();
        let directories: Vec<PathBuf> = self
            .configured
            .iter()
            .cloned()
            .chain(versioned.map(|(_, directory)| directory))
            .chain(self.path.iter().cloned())
            .collect();
        programs_in(program, &directories).into_iter().next()
    }

    fn candidates(&self, program: &str, major: u32) -> Vec<PathBuf> {
        let versioned = self.versioned_directories();
        let own = versioned.iter().filter(|(number, _)| *number == major);
        let newer = versioned.iter().filter(|(number, _)| *number > major);
        let directories: Vec<PathBuf> = self
            .configured
            .iter()
            .chain(own.map(|(_, directory)| directory))
            .chain(self.path.iter())
            .chain(newer.map(|(_, directory)| directory))
            .cloned()
            .collect();
        programs_in(program, &directories)
    }

    /// `<root>/<major>/bin`, ascending. A root that is not there has none.
    fn versioned_directories(&self) -> Vec<(u32, PathBuf)> {
        let entries = std::fs::read_dir(&self.versioned_root)
            .into_iter()
            .flatten();
        let mut found: Vec<(u32, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let number = entry.file_name().to_str()?.parse().ok()?;
                Some((number, entry.path().join("bin")))
            })
            .collect();
        found.sort();
        found
    }
}

impl Client {
    /// Whether this psql can be kept from running meta-commands.
    pub fn knows_restrict(&self) -> bool {
        let known = FIRST_WITH_RESTRICT.iter();
        let newest = FIRST_WITH_RESTRICT.last().map_or(0, |(major, _)| *major);
        self.major > newest
            || known
                .filter(|(major, _)| *major == self.major)
                .any(|(_, first_minor)| self.minor >= *first_minor)
    }

    /// What to tell the operator when this client serves a server of `major`.
    pub fn warning(&self, program: &str, major: u32) -> Option<String> {
        (self.major != major).then(|| {
            format!(
                "{program} is {}, the server is PostgreSQL {major}: the dump may not restore into \
                 a server of that major; install postgresql-client-{major}",
                self.version
            )
        })
    }
}

fn probe(path: &Path) -> Result<Client, String> {
    let tool = Tool::new(path).arg("--version").env("LC_ALL", "C");
    let output = run_captured(&tool, b"").map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output);
    parse_version(path, &text).ok_or_else(|| format!("says no version: {:?}", text.trim()))
}

/// "pg_dump (PostgreSQL) 15.18 (Debian ...)"; of a beta "19beta1".
pub(super) fn parse_version(path: &Path, text: &str) -> Option<Client> {
    let (_, version) = text.trim().split_once("(PostgreSQL) ")?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    Some(Client {
        path: path.to_owned(),
        major,
        minor,
        version: version.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{ClientSearch, parse_version};
    use crate::postgres::PostgresError;

    /// A `pg_dump` that only knows its version.
    fn place(directory: &Path, version: &str) {
        fs::create_dir_all(directory).unwrap();
        let program = directory.join("pg_dump");
        let script = format!("#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn search(root: &Path, path: &Path) -> ClientSearch {
        ClientSearch {
            configured: None,
            path: vec![path.to_owned()],
            versioned_root: root.to_owned(),
        }
    }

    #[test]
    fn the_servers_own_major_wins_over_newer_ones() {
        let root = tempfile::tempdir().unwrap();
        place(&root.path().join("16/bin"), "16.3");
        place(&root.path().join("15/bin"), "15.18");
        place(&root.path().join("path"), "17.1");
        let search = search(root.path(), &root.path().join("path"));
        assert_eq!(search.find("pg_dump", 15).unwrap().version, "15.18");
    }

    #[test]
    fn a_newer_client_is_taken_with_a_warning_the_nearest_first() {
        let root = tempfile::tempdir().unwrap();
        place(&root.path().join("14/bin"), "14.2");
        place(&root.path().join("17/bin"), "17.2");
        place(&root.path().join("16/bin"), "16.3");
        let found = search(root.path(), Path::new("/nowhere")).find("pg_dump", 15);
        let client = found.unwrap();
        assert_eq!(client.major, 16);
        let warning = client.warning("pg_dump", 15).unwrap();
        assert!(warning.contains("postgresql-client-15"), "{warning}");
    }

    #[test]
    fn an_older_client_is_never_taken() {
        let root = tempfile::tempdir().unwrap();
        place(&root.path().join("14/bin"), "14.2");
        let error = search(root.path(), &root.path().join("14/bin"))
            .find("pg_dump", 15)
            .unwrap_err();
        let PostgresError::ClientMissing {
            package, looked, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(package, "postgresql-client-15");
        assert!(looked.contains("14.2"), "{looked}");
    }

    #[test]
    fn restrict_is_known_since_august_2025() {
        for (text, known) in [
            ("psql (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)", false),
            ("psql (PostgreSQL) 15.14", true),
            ("psql (PostgreSQL) 12.99", false),
            ("psql (PostgreSQL) 17.5", false),
            ("psql (PostgreSQL) 18.0", true),
            ("psql (PostgreSQL) 19beta1", true),
        ] {
            let client = parse_version(Path::new("psql"), text).unwrap();
            assert_eq!(client.knows_restrict(), known, "{text}");
        }
    }
}
