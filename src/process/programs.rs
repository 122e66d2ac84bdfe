//! Where a program is: PATH and directories are searched here and nowhere else.
//!
//! Invariant: what is found is an executable file in a directory that was named
//! by an absolute path. A PATH entry that is empty or relative would mean the
//! current directory, which may be anybody's.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `which` takes it for names with a slash in them, which never come so far.
const NO_DIRECTORY: &str = "/";
const WRITABLE_BY_ALL: u32 = 0o002;

/// The directories of a PATH that may be searched. Root passes over those where
/// everybody, or another user, can put a program.
pub fn search_path(path: &OsStr) -> Vec<PathBuf> {
    let directories = std::env::split_paths(path).filter(|directory| directory.is_absolute());
    directories
        .filter(|directory| !super::is_root() || is_roots(directory))
        .collect()
}

fn is_roots(directory: &Path) -> bool {
    // One that is not there holds no program.
    directory
        .metadata()
        .is_ok_and(|it| it.uid() == 0 && it.mode() & WRITABLE_BY_ALL == 0)
}

/// Every executable of this name in these directories, in their order.
pub fn programs_in(name: &str, directories: &[PathBuf]) -> Vec<PathBuf> {
    let absolute = directories.iter().filter(|it| it.is_absolute());
    // A directory with a colon in its name cannot stand in a list.
    let Ok(list) = std::env::join_paths(absolute) else {
        return Vec::new();
    };
    if name.contains('/') {
        return Vec::new();
    }
    which::which_in_all(name, Some(list), NO_DIRECTORY)
        .map(Iterator::collect)
        .unwrap_or_default()
}

/// The path of a program that was named as an operator does: with a slash it is
/// a path already, else it is looked for in `path`.
pub(super) fn located(program: &OsStr, path: Option<&OsStr>) -> Option<OsString> {
    let Some(name) = program.to_str().filter(|name| !name.contains('/')) else {
        return Some(program.to_owned());
    };
    let directories = search_path(path.unwrap_or_default());
    let found = programs_in(name, &directories).into_iter().next();
    found.map(PathBuf::into_os_string)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn place(directory: &Path, mode: u32) -> PathBuf {
        let program = directory.join("kluis-test-program");
        fs::write(&program, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        program
    }

    #[test]
    fn only_executables_of_named_directories_are_found() {
        let [one, two] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        place(one.path(), 0o644);
        let program = place(two.path(), 0o755);
        let directories = [".".into(), "".into(), one.path().into(), two.path().into()];
        assert_eq!(programs_in("kluis-test-program", &directories), [program]);
        assert!(programs_in("../x", &directories).is_empty());
    }

    #[test]
    fn a_relative_or_empty_entry_of_path_is_no_place_for_programs() {
        let path = OsStr::new(":.:bin:/usr/bin:");
        assert_eq!(search_path(path), [Path::new("/usr/bin")]);
    }

    #[test]
    fn root_finds_no_program_where_everybody_can_put_one() {
        let directory = tempfile::tempdir().unwrap();
        let name = OsStr::new("kluis-test-program");
        let program = place(directory.path(), 0o755);
        let path = Some(directory.path().as_os_str());
        assert_eq!(located(name, path), Some(program.into_os_string()));
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(located(name, path).is_none(), super::super::is_root());
    }
}
