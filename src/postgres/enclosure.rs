//! What a throwaway server is held in: whom it runs as, what it can reach. Takes
//! the most that this machine allows, and says what could not be had.
//!
//! initdb runs before anything of a dump is there, and needs a shell: it has the
//! user and no walls. The server, which runs what stands in dumps, has both.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::PostgresError;
use crate::process::{
    self, Confinement, ProcessError, ReachableFiles, Tool, User, knows_file_walls, run_captured,
};

/// Who runs the server where no user of its own can be had; the first that is
/// there. `postgres` comes last: it may own the machine's real databases.
const SHARED_USERS: [&str; 2] = ["nobody", "postgres"];
/// Backends, workers and helpers of a server with 10 connections stay below.
const PROCESSES_MAX: u64 = 200;
/// PostgreSQL's own files are of 1 GiB at most.
const FILE_BYTES_MIN: u64 = 2 << 30;

/// Libraries, what they read, and data of extensions.
pub(super) const LIBRARIES: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/share",
    "/usr/share",
    "/nix/store",
    "/gnu/store",
    "/var/cache/postgresql",
    "/etc/alternatives",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/perl",
    "/etc/pki/tls/openssl.cnf",
    "/etc/python3",
    "/etc/ssl/openssl.cnf",
];
const DEVICES: &[&str] = &["/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];
const WRITABLE: &[&str] = &["/dev/null", "/dev/zero"];

/// The walls around one server.
pub(super) struct Enclosure {
    user: Option<User>,
    passwd: Option<PathBuf>,
    walls: Walls,
    /// What could not be had, for people.
    missing: Vec<String>,
}

#[derive(Clone, Copy)]
struct Walls {
    processes: bool,
    files: bool,
    calls: bool,
}

impl Enclosure {
    /// Tries what can be had for the server program `postgres`. `directory` is
    /// ours, and takes a file.
    pub(super) fn around(postgres: &Path, directory: &Path) -> Result<Self, PostgresError> {
        let mut enclosure = Self {
            user: None,
            passwd: None,
            walls: Walls {
                processes: false,
                files: false,
                calls: false,
            },
            missing: Vec::new(),
        };
        if process::is_root() {
            enclosure.take_user(&postgres.with_file_name("initdb"), directory)?;
        }
        enclosure.take_walls(postgres, directory);
        Ok(enclosure)
    }

    pub(super) fn user(&self) -> Option<User> {
        self.user
    }

    /// What the operator should know, if something is missing.
    pub(super) fn warning(&self) -> Option<String> {
        (!self.missing.is_empty()).then(|| {
            format!(
                "the throwaway server is not held in wholly: {}; prove only dumps of databases \
                 that you trust here",
                self.missing.join("; ")
            )
        })
    }

    /// Whether the server's user gets to `directory`.
    pub(super) fn reaches(&self, directory: &Path) -> Result<(), PostgresError> {
        let Some(user) = self.user else {
            return Ok(());
        };
        // initdb needs the shell too; without one it will say so.
        let enters = Tool::new("/bin/sh").args(["-c", "cd \"$1\"", "sh"]);
        match run_captured(&self.making(enters.arg(directory)), b"") {
            Err(ProcessError::Failed(_)) => Err(PostgresError::Throwaway {
                what: format!(
                    "{} is closed to uid {}, as whom the server runs; choose another directory \
                     with work_dir or TMPDIR, or use --in-server",
                    closed(directory).display(),
                    user.uid
                ),
            }),
            _ => Ok(()),
        }
    }

    /// A user whom nobody else has, else one that others may have too.
    fn take_user(&mut self, initdb: &Path, directory: &Path) -> Result<(), PostgresError> {
        if let Some(user) = process::unused_user() {
            self.user = Some(user);
            self.passwd = Some(passwd_of(user, directory)?);
            let asked = self.making(Tool::new(initdb).arg("--version"));
            // A program that is not there is told of when it is needed.
            if !matches!(run_captured(&asked, b""), Err(ProcessError::Start { .. })) {
                return Ok(());
            }
        }
        self.passwd = None;
        let shared = SHARED_USERS.iter();
        let shared = shared.filter_map(|name| Some((name, process::user(name)?)));
        let Some((name, user)) = shared.into_iter().next() else {
            return Err(PostgresError::Throwaway {
                what: "a server does not run as root, and there is no user nobody or postgres \
                       here; run kluis as another user, or use --in-server"
                    .to_owned(),
            });
        };
        self.user = Some(user);
        self.missing.push(format!(
            "it runs as {name}, as others may (a user of its own needs CAP_SYS_ADMIN)"
        ));
        Ok(())
    }

    /// The most walls within which the server program still runs.
    fn take_walls(&mut self, postgres: &Path, directory: &Path) {
        let runs = |it: &Self| {
            let asked = it.holding(Tool::new(postgres).arg("--version"), &[directory], 0);
            run_captured(&asked, b"").is_ok()
        };
        self.walls.processes = true;
        self.walls.processes = runs(self);
        let knows_files = knows_file_walls();
        let choices = [(true, true), (false, true), (true, false), (false, false)];
        let choices = choices
            .into_iter()
            .filter(|(files, _)| knows_files || !files);
        for (files, calls) in choices {
            self.walls = Walls {
                files,
                calls,
                ..self.walls
            };
            if runs(self) {
                break;
            }
        }
        if !self.walls.processes {
            let what = "what it starts may go on when it has ended (no PID namespace; it needs \
                        CAP_SYS_ADMIN or user namespaces)";
            self.missing.push(what.to_owned());
        }
        if !self.walls.files {
            let what = "it can read what its user can (no Landlock, Linux 5.13, or not for this \
                        program)";
            self.missing.push(what.to_owned());
        }
        if !self.walls.calls {
            let what = "it can start programs and reach the network (no seccomp)";
            self.missing.push(what.to_owned());
        }
    }

    /// A program that makes the cluster.
    pub(super) fn making(&self, tool: Tool) -> Tool {
        bare(tool).confined(Confinement {
            user: self.user,
            passwd: self.passwd.clone(),
            yields: true,
            ..Confinement::default()
        })
    }

    /// The server itself; it writes below `directories`, and no file of more than
    /// `bytes`.
    pub(super) fn holding(&self, tool: Tool, directories: &[&Path], bytes: u64) -> Tool {
        let readable = LIBRARIES.iter().chain(DEVICES).map(PathBuf::from);
        let mut readable: Vec<PathBuf> = readable.collect();
        readable.extend(installation(tool.program()));
        let writable = WRITABLE.iter().map(Path::new);
        let writable = writable.chain(directories.iter().copied());
        let files = ReachableFiles {
            readable,
            writable: writable.map(Path::to_owned).collect(),
        };
        let has_own_user = self.passwd.is_some();
        bare(tool).confined(Confinement {
            user: self.user,
            passwd: None,
            files: self.walls.files.then_some(files),
            calls: self.walls.calls,
            own_processes: self.walls.processes,
            yields: true,
            file_bytes_max: Some(bytes.max(FILE_BYTES_MIN)),
            processes_max: has_own_user.then_some(PROCESSES_MAX),
        })
    }
}

/// The first directory on the way that others may not pass.
fn closed(directory: &Path) -> &Path {
    let way: Vec<&Path> = directory.ancestors().skip(1).collect();
    let is_closed = |it: &&&Path| {
        let mode = fs::metadata(it).map(|it| it.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o001 == 0)
    };
    way.iter().rev().find(is_closed).unwrap_or(&directory)
}

/// Nothing of our environment is its business.
fn bare(tool: Tool) -> Tool {
    tool.env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
}

/// initdb looks up its own name.
fn passwd_of(user: User, directory: &Path) -> Result<PathBuf, PostgresError> {
    let path = directory.join("passwd");
    let User { uid, gid } = user;
    let text = format!("root:x:0:0::/:/bin/false\nkluis-proof:x:{uid}:{gid}::/:/bin/false\n");
    let made = fs::write(&path, text)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)));
    made.map_err(|error| PostgresError::Throwaway {
        what: format!("cannot make {}: {error}", path.display()),
    })?;
    Ok(path)
}

/// The programs' directory and, where they are an installation of their own, all
/// of it.
fn installation(program: &Path) -> Vec<PathBuf> {
    let real = fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
    let directory = real.parent().map(Path::to_owned);
    let above = directory
        .as_deref()
        .and_then(Path::parent)
        .map(Path::to_owned);
    let shared = ["/", "/usr", "/usr/local"].map(Path::new);
    match above {
        Some(above) if !shared.contains(&above.as_path()) => vec![above],
        _ => vec![real],
    }
}
