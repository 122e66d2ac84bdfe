//! Where root restores into a directory of another user: the tree grows out of
//! his reach, or not at all.
//!
//! Each succeeds on 861f450: there the staging directory lies in his own
//! directory, where he can rename it, and a link of his leads root anywhere.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::support::house;
use crate::support::house::House;
use crate::support::stopping;

const ALICE: u32 = 65534;

/// A house with a backup of a tree of alice's, and a home of hers that root can
/// reach by `place/alice`.
fn house() -> Option<(House, tempfile::TempDir, PathBuf)> {
    if !stopping::can_attack() {
        return None;
    }
    let house = House::new();
    fs::create_dir_all(house.path("tree/sub")).unwrap();
    fs::write(house.path("tree/sub/file"), "x").unwrap();
    for part in ["tree", "tree/sub", "tree/sub/file"] {
        chown(house.path(part), Some(ALICE), Some(ALICE)).unwrap();
    }
    house.run(&["backup", "source", "tree", "--codec", "none"]);
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let alice = place.path().join("alice");
    fs::create_dir(&alice).unwrap();
    chown(&alice, Some(ALICE), Some(ALICE)).unwrap();
    Some((house, place, alice))
}

fn arguments(to: &std::path::Path) -> Vec<String> {
    let to = to.display().to_string();
    ["restore", "latest", "--to", &to].map(String::from).into()
}

#[test]
fn until_it_is_whole_nobody_else_sees_or_reaches_anything_of_it() {
    let Some((house, place, alice)) = house() else {
        return;
    };
    let out = alice.join("out");
    let mut seen = Vec::new();
    // Before the tree gets its place, and when it has just got it.
    // The first is that of the run's record.
    let at = ("renameat,renameat2", 2);
    let ran = stopping::run(&house, &arguments(&out), at, &["syncfs"], |trace| {
        if trace.matches("renameat").count() < 2 {
            seen.extend(house::names(&alice));
            stopping::as_nobody(place.path(), "ls .out.kluis-*/* && touch alice/reached");
        } else {
            seen.extend(house::names(&out.join("sub")));
        }
    });
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(seen, ["file"]);
    assert_eq!(house::names(&alice), ["out"]);
    assert_eq!(house::names(place.path()), ["alice"]);
    assert_eq!(fs::metadata(&out).unwrap().uid(), ALICE);
}

#[test]
fn what_a_killed_run_left_above_goes_with_the_next_one() {
    let Some((house, place, alice)) = house() else {
        return;
    };
    let out = alice.join("out");
    let at = ("syncfs", 1);
    let ran = stopping::run(&house, &arguments(&out), at, &[], |trace| {
        let pid = trace.split(' ').next().unwrap();
        let kill = Command::new("kill").args(["-KILL", pid]).status();
        assert!(kill.unwrap().success());
    });
    assert_eq!((ran.stops, ran.code), (1, None), "{}", ran.said);
    let left = house::names(place.path());
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left[0].starts_with(".out.kluis-"), "{left:?}");
    let mode = fs::metadata(place.path().join(&left[0])).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o700);
    house.run(&["restore", "latest", "--to", out.to_str().unwrap()]);
    assert_eq!(house::names(place.path()), ["alice"]);
    assert_eq!(house::names(&out), ["sub"]);
}

#[test]
fn a_link_of_another_user_leads_root_nowhere() {
    let Some((house, place, alice)) = house() else {
        return;
    };
    fs::create_dir(place.path().join("roots")).unwrap();
    symlink("../roots", alice.join("link")).unwrap();
    let output = restore(&house, &alice.join("link/out"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("symbolic link"), "{said}");
    assert_eq!(house::names(&place.path().join("roots")), [""; 0]);
}

fn restore(house: &House, to: &std::path::Path) -> Output {
    house.kluis().args(arguments(to)).output().unwrap()
}

#[test]
fn a_file_system_that_another_user_owns_whole_is_refused_with_the_remedy() {
    let Some((house, _place, alice)) = house() else {
        return;
    };
    fs::create_dir(alice.join("mounted")).unwrap();
    let mount = format!(
        "mount -t tmpfs -o uid={ALICE},mode=755 none {} && exec \"$@\"",
        alice.join("mounted").display()
    );
    // Below the mount point, and in it as it stands.
    for out in [alice.join("mounted/out"), alice.join("mounted")] {
        let mut command = house.command("unshare");
        command.args(["-m", "sh", "-c", &mount, "sh"]);
        let output = command
            .arg(house::program())
            .args(arguments(&out))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("unshare") || said.contains("mount:") {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{said}");
            return eprintln!("skipped: nothing can be mounted here: {said}");
        }
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("restore as the user"), "{said}");
    }
}
