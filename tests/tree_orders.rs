//! Trees whose archive comes back to a directory that it had left, or names one
//! after what is in it: other programs write such.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::support::only;
use kluis::cancel::Cancel;
use kluis::reached::Reached;
use kluis::target::{DirectoryTarget, RestoreTreeOptions, Target};

struct Archive(tar::Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn entry(&mut self, path: &str, kind: tar::EntryType, mode: u32, mtime: u64) {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(mtime);
        header.set_uid(rustix::process::geteuid().as_raw().into());
        header.set_gid(rustix::process::getegid().as_raw().into());
        header.set_size(0);
        self.0.append_data(&mut header, path, &[][..]).unwrap();
    }

    fn directory(&mut self, path: &str, mode: u32, mtime: u64) {
        self.entry(path, tar::EntryType::Directory, mode, mtime);
    }

    fn file(&mut self, path: &str) {
        self.entry(path, tar::EntryType::Regular, 0o644, 7);
    }

    fn hard_link(&mut self, path: &str, to: &str) {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Link);
        header.set_size(0);
        self.0.append_link(&mut header, path, to).unwrap();
    }
}

/// Everything an archive can do to the order, and what must come of it.
fn archive() -> Vec<u8> {
    let mut archive = Archive::new();
    archive.file("before/file");
    archive.directory("left", 0o555, 1_000);
    archive.file("left/1");
    archive.directory("left/in", 0o500, 2_000);
    archive.file("left/in/1");
    archive.directory("other", 0o750, 3_000);
    archive.file("other/1");
    // Back twice, once deep.
    archive.file("left/2");
    archive.file("other/2");
    archive.file("left/in/2");
    archive.directory("shut", 0o000, 4_000);
    archive.file("shut/1");
    archive.file("left/in/3");
    archive.hard_link("other/linked", "shut/1");
    archive.directory("before", 0o710, 5_000);
    archive.directory("late/deep", 0o711, 6_000);
    archive.directory("late", 0o511, 7_000);
    archive.0.into_inner().unwrap()
}

fn restored(to: &Path) {
    let bytes = archive();
    let options = RestoreTreeOptions::default();
    let mut target = DirectoryTarget::new(to, options, Cancel::default()).unwrap();
    target.receive(&mut &bytes[..]).unwrap();
    target.commit(&mut Reached::default()).unwrap();
    for (path, mode, mtime) in [
        ("before", 0o710, 5_000),
        ("left", 0o555, 1_000),
        ("left/in", 0o500, 2_000),
        ("other", 0o750, 3_000),
        ("shut", 0o000, 4_000),
        ("late", 0o511, 7_000),
        ("late/deep", 0o711, 6_000),
    ] {
        let stat = fs::metadata(to.join(path)).unwrap();
        assert_eq!(
            (stat.mode() & 0o7777, stat.mtime()),
            (mode, mtime),
            "{path}"
        );
    }
    for file in ["before/file", "left/1", "left/2", "left/in/3", "other/2"] {
        assert!(to.join(file).is_file(), "{file}");
    }
    assert_eq!(fs::metadata(to.join("other/linked")).unwrap().nlink(), 2);
}

#[test]
fn a_directory_that_is_come_back_to_has_in_the_end_what_it_was_given() {
    let place = tempfile::tempdir().unwrap();
    restored(&place.path().join("back"));
}

#[test]
fn so_has_it_for_a_user_whom_its_mode_keeps_out() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: the test above is this one then");
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let child = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(std::env::current_exe().unwrap())
        .args(only(module_path!(), "restores_as_it_is_told"))
        .args(["--ignored", "--nocapture"])
        .env("KLUIS_TEST_PLACE", place.path())
        .output();
    let Ok(output) = child else {
        let reason = "setpriv is not installed";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        return eprintln!("skipped: {reason}");
    };
    let passed = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(output.status.success() && passed, "{output:?}");
}

/// The other user's half of the test above.
#[test]
#[ignore = "started by so_has_it_for_a_user_whom_its_mode_keeps_out"]
fn restores_as_it_is_told() {
    let place = std::env::var_os("KLUIS_TEST_PLACE").unwrap();
    restored(&Path::new(&place).join("back"));
}
