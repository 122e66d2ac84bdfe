//! Another user leaves sparse files of the largest size there is in a tree that
//! is backed up.
//!
//! Succeeds on 861f450: the sizes' sum wraps round, the backup exits 0, and its
//! restore exits 4 with nothing restored.

use std::fs::{self, File};

use crate::support::house;
use crate::support::house::House;
use serde_json::Value;

const LARGEST: u64 = i64::MAX as u64;

/// A tree with three of them, on a file system that can hold them.
fn tree() -> Option<tempfile::TempDir> {
    let tree = tempfile::tempdir_in("/dev/shm").ok()?;
    for name in ["a", "c", "d"] {
        let file = File::create(tree.path().join(name)).unwrap();
        if file.set_len(LARGEST).is_err() {
            let reason = "no file system here (/dev/shm) holds files of 2^63-1 bytes";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
            eprintln!("skipped: {reason}");
            return None;
        }
    }
    fs::hard_link(tree.path().join("a"), tree.path().join("e")).unwrap();
    fs::write(tree.path().join("b"), "another's file").unwrap();
    Some(tree)
}

#[test]
fn what_a_file_system_cannot_hold_is_named_and_all_else_comes_back() {
    let Some(tree) = tree() else {
        return;
    };
    let house = House::new();
    let root = tree.path().to_str().unwrap();
    house.run(&["backup", "source", root, "--name", "sizes"]);
    house.run(&["verify", "--all"]);
    let there = tempfile::tempdir_in("/dev/shm").unwrap();
    let to = there.path().join("back");
    house.run(&["restore", "latest", "--to", to.to_str().unwrap()]);
    assert_eq!(house::names(&to), ["a", "b", "c", "d", "e"]);
    assert_eq!(fs::metadata(to.join("d")).unwrap().len(), LARGEST);

    let here = house.kluis();
    let mut here = here;
    let output = here
        .args(["restore", "latest", "--to", "back", "--json"])
        .output()
        .unwrap();
    if output.status.code() == Some(0) {
        return eprintln!("skipped: the temporary directory holds such files too");
    }
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(house::names(&house.path("back")), ["b"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["left_out"], 4, "{report}");
    let warnings = report["warnings"].to_string();
    for name in ["a", "c", "d", "e"] {
        assert!(
            warnings.contains(&format!("\\\"{name}\\\" left out")),
            "{warnings}"
        );
    }

    // A copy that cannot be made here proves nothing against the archive.
    let mut verify = house.kluis();
    let output = verify
        .args(["verify", "--all", "--restore"])
        .env("TMPDIR", house.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_ne!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("work_dir"), "{said}");
}
