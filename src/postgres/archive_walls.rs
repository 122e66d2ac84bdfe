//! What a `pg_restore` on this machine is held in. An archive names the files that
//! it is made of, in words of whoever wrote it, and pg_restore opens what is named:
//! the operator's keys, a device that never ends.
//!
//! Invariant: where the kernel has Landlock, it reads nothing but the archive's own
//! directory and what the program itself is made of.

use std::fs;
use std::path::{Path, PathBuf};

use super::enclosure::LIBRARIES;
use crate::process::{Confinement, ReachableFiles, Tool, knows_file_walls, run_captured};

/// Where a distribution's own `pg_restore` looks for the real one.
const CHOICE_OF_PROGRAM: [&str; 4] = [
    "/etc/postgresql",
    "/etc/postgresql-common",
    "/usr/bin",
    "/dev/null",
];
/// What an installation of its own has beside its programs. Not all that is there:
/// its databases may be.
const BESIDE_PROGRAMS: [&str; 3] = ["lib", "lib64", "share"];

#[derive(Clone, Debug)]
pub(super) struct ArchiveWalls {
    of_program: Vec<PathBuf>,
    files: bool,
    calls: bool,
}

impl ArchiveWalls {
    /// The most within which `program` still runs.
    pub(super) fn around(program: &Path) -> Self {
        let knows_files = knows_file_walls();
        let choices = [(true, true), (true, false), (false, true)];
        let choices = choices.map(|(files, calls)| Self {
            of_program: parts_of(program),
            files,
            calls,
        });
        let runs = |walls: &Self| {
            let asked = walls.hold(Tool::new(program).arg("--version"), None);
            (knows_files || !walls.files) && run_captured(&asked, b"").is_ok()
        };
        choices.into_iter().find(runs).unwrap_or(Self {
            of_program: Vec::new(),
            files: false,
            calls: false,
        })
    }

    /// Whether it reads no file but what it is told to.
    pub(super) fn hold_files(&self) -> bool {
        self.files
    }

    /// `archive`: the directory that it reads, if it reads one.
    pub(super) fn hold(&self, tool: Tool, archive: Option<&Path>) -> Tool {
        let libraries = LIBRARIES.iter().chain(&CHOICE_OF_PROGRAM);
        let readable = libraries.map(PathBuf::from);
        let readable = readable.chain(self.of_program.iter().cloned());
        let files = ReachableFiles {
            readable: readable.chain(archive.map(Path::to_owned)).collect(),
            writable: Vec::new(),
        };
        tool.confined(Confinement {
            files: self.files.then_some(files),
            calls: self.calls,
            ..Confinement::default()
        })
    }
}

fn parts_of(program: &Path) -> Vec<PathBuf> {
    let real = fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
    let above = real.parent().and_then(Path::parent).map(Path::to_owned);
    let beside = above.iter().flat_map(|above| {
        let parts = BESIDE_PROGRAMS.iter();
        parts.map(|part| above.join(part))
    });
    let mut parts: Vec<PathBuf> = beside.collect();
    parts.push(real);
    parts
}
