//! Directories in a container, for dumps that pg_dump writes as files there.
//!
//! Owns `/tmp/kluis-dump-<token>-<8 hex>`; pg_dump makes it. The token is that of
//! the run's keeper, a session on the container's own server. Invariant: one
//! whose keeper is gone belongs to a run that died, so the next run removes it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::docker::{ANSWER_MAX, Container};
use super::server::Access;
use super::sql::{literal, sql};
use super::watch::KEEPER;
use super::{PostgresError, Server, random_hex};
use crate::process::{Tool, run_captured};

const BASE: &str = "/tmp";
const PREFIX: &str = "kluis-dump-";
/// Hex digits of the token, and of what follows it.
const TOKEN_CHARS: usize = 8;

/// How long a pg_dump that was just ended may still make files.
const REMOVE_MAX: Duration = Duration::from_secs(5);
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// Where a pg_dump in the container may write; removed when this is dropped.
#[derive(Debug)]
pub struct ContainerDirectory {
    container: Container,
    path: PathBuf,
}

impl Server {
    /// A name for a directory where the server's client programs run, which is
    /// not made yet; `None` where they run on this machine. What runs that died
    /// have left there is removed first. `database`: the one to be dumped.
    pub fn container_directory(
        &self,
        database: &str,
    ) -> Result<Option<ContainerDirectory>, PostgresError> {
        let (Access::Docker(container), Some(token)) = (self.access(), self.watch_token()) else {
            return Ok(None);
        };
        self.sweep_container(container, database)?;
        let id = random_hex::<{ TOKEN_CHARS / 2 }>()?;
        Ok(Some(ContainerDirectory {
            container: container.clone(),
            path: Path::new(BASE).join(format!("{PREFIX}{token}-{id}")),
        }))
    }

    fn sweep_container(&self, container: &Container, database: &str) -> Result<(), PostgresError> {
        let ls = container.program(Path::new("ls")).args(["-A", BASE]);
        let ls = ls.answers_within(ANSWER_MAX);
        // An image without `ls` is not swept; that is no reason not to dump.
        let Ok(listed) = run_captured(&ls, b"") else {
            return Ok(());
        };
        let listed = String::from_utf8_lossy(&listed);
        let ours: Vec<(&str, &str)> = listed.lines().filter_map(with_token).collect();
        if ours.is_empty() {
            return Ok(());
        }
        // After the list: whoever is on it and alive has its keeper by now.
        let sql = sql!(
            "SELECT coalesce(json_agg(substr(application_name, {after})), '[]')
               FROM pg_stat_activity WHERE starts_with(application_name, {keeper});",
            after = KEEPER.len() + 1,
            keeper = literal(KEEPER),
        );
        let alive: Vec<String> = self.query_json(database, "list the runs that live", &sql)?;
        for (name, token) in ours {
            if !alive.iter().any(|living| living == token) {
                // What cannot be removed is left to the next sweep.
                let _ = run_captured(&remove(container, &Path::new(BASE).join(name)), b"");
            }
        }
        Ok(())
    }
}

impl ContainerDirectory {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Prints the directory's files as a tar.
    pub fn as_tar(&self) -> Tool {
        let tar = self.container.program(Path::new("tar"));
        tar.args(["-c", "-f", "-", "-C"]).arg(&self.path).arg(".")
    }
}

impl Drop for ContainerDirectory {
    fn drop(&mut self) {
        let patience = Instant::now();
        let tool = remove(&self.container, &self.path);
        // A container that is gone fails too; what stays is the next sweep's.
        while run_captured(&tool, b"").is_err() && patience.elapsed() < REMOVE_MAX {
            std::thread::sleep(POLL_PAUSE);
        }
    }
}

fn remove(container: &Container, path: &Path) -> Tool {
    let rm = container.program(Path::new("rm"));
    let rm = rm.args(["-r", "-f", "--"]).arg(path);
    rm.answers_within(ANSWER_MAX)
}

/// The name of one of our directories, with its token.
fn with_token(name: &str) -> Option<(&str, &str)> {
    let (token, id) = name.strip_prefix(PREFIX)?.split_once('-')?;
    let is_hex = |text: &str| {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.len() == TOKEN_CHARS && text.bytes().all(digit)
    };
    (is_hex(token) && is_hex(id)).then_some((name, token))
}

#[cfg(test)]
mod tests {
    use super::with_token;

    #[test]
    fn only_names_of_our_own_making_are_swept() {
        let name = "kluis-dump-0123abcd-4567cdef";
        assert_eq!(with_token(name), Some((name, "0123abcd")));
        for other in [
            "kluis-dump-0123abcd",
            "kluis-dump-0123abcd-4567cdef9",
            "kluis-dump-0123ABCD-4567cdef",
            "kluis-dump-../../etc-4567cdef",
            "kluis-dump--rf00000-4567cdef",
            "dump-0123abcd-4567cdef",
        ] {
            assert_eq!(with_token(other), None, "{other}");
        }
    }
}
