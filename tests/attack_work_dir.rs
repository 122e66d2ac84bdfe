//! Another user puts things into the shared work directory that are named like
//! ours.
//!
//! `a_fifo_named_like_a_lock_holds_nobody_up` succeeds on 861f450: every backup
//! waits at the fifo for ever, and no signal ends it. So does
//! `root_does_not_work_where_another_user_could_exchange_everything`: it works
//! there. The others hold what closes them.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::house;
use crate::support::house::House;
use crate::support::stopping;

/// A house with a tree, and a work directory as `/var/tmp` is.
fn house() -> (House, PathBuf) {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "x").unwrap();
    let work = house.path("work");
    fs::create_dir(&work).unwrap();
    fs::set_permissions(&work, Permissions::from_mode(0o1777)).unwrap();
    (house, work)
}

/// The exit code, or `None` if it had to be ended after 30 s.
fn run(house: &House, arguments: &[&str]) -> Option<i32> {
    let mut child = house
        .kluis()
        .args(arguments)
        .env("TMPDIR", house.path("work"))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if begun.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn make_fifo(path: &std::path::Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_fifo_named_like_a_lock_holds_nobody_up() {
    let (house, work) = house();
    make_fifo(&work.join("kluis-proof-0123456789abcdef.lock"));
    symlink("/dev/zero", work.join("kluis-dump-0123456789abcdef.lock")).unwrap();
    assert_eq!(run(&house, &["backup", "source", "tree"]), Some(0));
    assert_eq!(run(&house, &["verify", "--all", "--restore"]), Some(0));
    let mut expected = vec![
        "kluis-dump-0123456789abcdef.lock",
        "kluis-proof-0123456789abcdef.lock",
    ];
    expected.sort_unstable();
    assert_eq!(house::names(&work), expected);
}

#[test]
fn whatever_has_the_name_of_our_own_directory_is_no_obstacle_and_is_not_used() {
    let own = format!("kluis-{}", rustix::process::geteuid().as_raw());
    for kind in ["fifo", "link", "file", "directory"] {
        let (house, work) = house();
        let taken = work.join(&own);
        let outside = house.path("outside");
        fs::create_dir(&outside).unwrap();
        match kind {
            "fifo" => make_fifo(&taken),
            "link" => symlink(&outside, &taken).unwrap(),
            "file" => fs::write(&taken, "x").unwrap(),
            _ => {
                // One in which others can make names is as bad as another's.
                fs::create_dir(&taken).unwrap();
                fs::set_permissions(&taken, Permissions::from_mode(0o777)).unwrap();
            }
        }
        assert_eq!(
            run(&house, &["backup", "source", "tree"]),
            Some(0),
            "{kind}"
        );
        let proved = run(&house, &["verify", "--all", "--restore"]);
        assert_eq!(proved, Some(0), "{kind}");
        assert_eq!(house::names(&work), [own.as_str()], "{kind}");
        assert_eq!(house::names(&outside), [""; 0], "{kind}");
    }
}

#[test]
fn root_does_not_work_where_another_user_could_exchange_everything() {
    if !stopping::can_attack() {
        return;
    }
    let (house, work) = house();
    run(&house, &["backup", "source", "tree"]);
    std::os::unix::fs::chown(&work, Some(65534), Some(65534)).unwrap();
    assert_eq!(run(&house, &["verify", "--all", "--restore"]), Some(1));
    assert_eq!(house::names(&work), [""; 0]);
}

#[test]
fn a_fifo_in_place_of_the_storages_lock_is_an_error_at_once() {
    let (house, _) = house();
    run(&house, &["backup", "source", "tree"]);
    let lock = house.storage().join("kluis.lock");
    fs::remove_file(&lock).unwrap();
    make_fifo(&lock);
    assert_eq!(run(&house, &["backup", "source", "tree"]), Some(1));
}
