//! Which files `pg_restore` is going to open for an archive in directory format: its table
//! of contents names them, and lists of its large objects do.
//!
//! Refuses a name that is none of a plain file beside them, wherever a planted archive
//! has it: pg_restore would follow it. The walls around pg_restore are another matter,
//! and not to be had everywhere.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::TargetError;
use crate::format::pg_archive::{
    CONTENTS_FILE, DataKind, Form, ONE_LIST, Toc, TocError, is_file_name, listed_file,
};
use crate::pipeline::Unbroken;
use crate::postgres::PostgresError;

/// pg_restore reads a list in lines of so much.
const LINE_BYTES_MAX: u64 = 1024;

/// `directory` holds the archive's files, and nothing else. `is_walled`: nothing else can be
/// read. Then one of a version that a later pg_dump writes passes unread.
pub(super) fn check(directory: &Path, is_walled: bool) -> Result<(), TargetError> {
    let open = |name: &str| File::open(directory.join(name)).map_err(|error| unread(name, &error));
    let mut toc = Unbroken::new(BufReader::new(open(CONTENTS_FILE)?));
    let toc = match Toc::read(&mut toc, Form::Directory) {
        Err(TocError::UnknownVersion) if is_walled => return Ok(()),
        Err(TocError::UnknownVersion) => return Err(unknown_version()),
        toc => toc.map_err(|error| unread(CONTENTS_FILE, &error))?,
    };
    let mut has_large_objects = false;
    for entry in &toc.data {
        let name = match &entry.file[..] {
            b"" => continue,
            name => plain(name)?,
        };
        if entry.kind == DataKind::LargeObjects && !toc.has_one_list {
            check_list(&name, open(&name)?)?;
        }
        has_large_objects |= entry.kind == DataKind::LargeObjects;
    }
    match has_large_objects && toc.has_one_list {
        true => check_list(ONE_LIST, open(ONE_LIST)?),
        false => Ok(()),
    }
}

/// Each line is a number, a blank, and the name of a file.
fn check_list(name: &str, list: impl Read) -> Result<(), TargetError> {
    let mut list = BufReader::new(list);
    loop {
        let mut line = Vec::new();
        let mut limited = list.by_ref().take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut line);
        if read.map_err(|error| unread(name, &error))? == 0 {
            return Ok(());
        }
        match line.strip_suffix(b"\n").and_then(listed_file) {
            Some(file) => plain(file).map(drop)?,
            None => return Err(refused(format!("{name} is no list of large objects"))),
        }
    }
}

fn plain(name: &[u8]) -> Result<String, TargetError> {
    // Its words are a stranger's, and this is written down.
    match is_file_name(name) {
        true => Ok(String::from_utf8_lossy(name).into_owned()),
        false => Err(refused(
            "the dump names a file that is none of its own".to_owned(),
        )),
    }
}

/// No fault of the archive's.
fn unknown_version() -> TargetError {
    PostgresError::Obstacle {
        what: "the dump is of a version of pg_dump's archives that this kluis does not know, and \
               this machine cannot hold pg_restore to the dump's own files"
            .to_owned(),
        remedy: "restore it where the kernel has Landlock (Linux 5.13 and later), or with a newer \
                 kluis"
            .to_owned(),
    }
    .into()
}

fn unread(name: &str, error: &dyn std::fmt::Display) -> TargetError {
    refused(format!("the dump's {name} cannot be read: {error}"))
}

fn refused(what: String) -> TargetError {
    TargetError::Hostile { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A newer pg_dump's backup is no damage, and restores where walls hold.
    #[test]
    fn an_archive_of_a_later_version_passes_where_walls_hold() {
        let directory = tempfile::tempdir().unwrap();
        let toc = [b"PGDMP".as_slice(), &[1, 17, 0, 4, 8, 3], &[0; 200]].concat();
        std::fs::write(directory.path().join(CONTENTS_FILE), toc).unwrap();
        assert!(check(directory.path(), true).is_ok());
        let refused = check(directory.path(), false).unwrap_err();
        let is_obstacle = matches!(
            &refused,
            TargetError::Postgres(PostgresError::Obstacle { .. })
        );
        assert!(is_obstacle, "{refused}");
    }

    #[test]
    fn only_plain_names_are_passed() {
        for name in ["3456.dat", "blobs_9.toc", "blob_16400.dat", "a-b_c.d"] {
            assert!(plain(name.as_bytes()).is_ok(), "{name}");
        }
        for name in [
            "",
            "../x",
            "/etc/passwd",
            "a/b",
            "..",
            ".x",
            "a\nb",
            "a b",
            "é",
        ] {
            assert!(plain(name.as_bytes()).is_err(), "{name}");
        }
    }

    #[test]
    fn a_list_of_large_objects_names_plain_files() {
        let check = |list: &str| check_list("blobs.toc", list.as_bytes());
        assert!(check("").is_ok());
        assert!(check("16400 blob_16400.dat\n7 blob_7.dat\n").is_ok());
        let long = format!("7 {}\n", "a".repeat(2000));
        let odd = [
            "7 ../x\n",
            "7 /etc/passwd\n",
            "7\n",
            "x y\n",
            "7 a",
            " 7 a\n",
        ];
        for list in odd.into_iter().chain([long.as_str()]) {
            assert!(check(list).is_err(), "{list}");
        }
    }
}
