//! Links and fifos in the way of a backup of a tree, and links in the way of a storage.
//! The former succeed on 861f450, where what a link in another user's directory leads to
//! is read as root, and a fifo holds up the backup for ever; the latter on ecbc211.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::house::House;

const NOBODY: Option<u32> = Some(65534);

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(
        root || std::env::var("CI").as_deref() != Ok("true"),
        "only root can become another user"
    );
    root
}

#[test]
fn a_link_in_the_way_to_a_source_leads_nowhere_else() {
    if !is_root() {
        return eprintln!("skipped: only root can become another user");
    }
    let house = House::new();
    fs::create_dir_all(house.path("safe/app")).unwrap();
    fs::write(house.path("safe/app/secret"), "secret").unwrap();
    fs::set_permissions(house.path("safe"), Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(house.path("theirs")).unwrap();
    symlink(house.path("safe"), house.path("theirs/home")).unwrap();
    symlink(house.path("safe/app"), house.path("theirs/app")).unwrap();
    chown(house.path("theirs"), NOBODY, NOBODY).unwrap();
    for link in ["theirs/home", "theirs/app"] {
        std::os::unix::fs::lchown(house.path(link), NOBODY, NOBODY).unwrap();
    }
    for source in ["theirs/home/app", "theirs/app"] {
        let mut backup = house.kluis();
        let output = backup.args(["backup", "source", source]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{source}: {output:?}");
        assert!(said.contains("is a symbolic link"), "{said}");
    }
    assert!(!house.storage().exists() || house.listed().is_empty());
}

#[test]
fn a_fifo_as_a_list_of_excludes_holds_nothing_up() {
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    let made = Command::new("mkfifo").arg(house.path("list")).status();
    assert!(made.unwrap().success());
    let mut backup = house.kluis();
    backup
        .args(["backup", "source", "tree", "--exclude-from", "list"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = backup.spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it waits at the fifo");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(2));
}

/// As root, where `link` is somebody else's and leads to `to`.
fn theirs(house: &House, link: &str, to: &str) {
    fs::create_dir_all(house.path(to)).unwrap();
    fs::set_permissions(house.path(to), Permissions::from_mode(0o700)).unwrap();
    fs::create_dir_all(house.path("theirs")).unwrap();
    chown(house.path("theirs"), NOBODY, NOBODY).unwrap();
    symlink(house.path(to), house.path(link)).unwrap();
    std::os::unix::fs::lchown(house.path(link), NOBODY, NOBODY).unwrap();
}

fn back_up_into(house: &House, storage: &str) -> (Option<i32>, String) {
    let mut backup = house.kluis();
    let output = backup.args(["-s", storage, "backup", "source", "tree"]);
    let output = output.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said)
}

#[test]
fn a_link_of_somebody_elses_leads_to_no_other_storage() {
    if !is_root() {
        return eprintln!("skipped: only root can become another user");
    }
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/file"), "a file").unwrap();
    theirs(&house, "theirs/link", "safe");
    for storage in ["theirs/link", "theirs/link/new", "theirs/link/new/deeper"] {
        let (code, said) = back_up_into(&house, storage);
        assert_eq!(code, Some(2), "{storage}: {said}");
        assert!(said.contains("theirs/link is a symbolic link"), "{said}");
    }
    assert!(fs::read_dir(house.path("safe")).unwrap().next().is_none());
    // Whose directory it is could name it himself, and root's own links are meant.
    theirs(&house, "theirs/own_link", "own");
    chown(house.path("own"), NOBODY, NOBODY).unwrap();
    symlink(house.path("own"), house.path("theirs/roots")).unwrap();
    for storage in ["theirs/own_link", "theirs/roots"] {
        let (code, said) = back_up_into(&house, storage);
        assert_eq!(code, Some(0), "{storage}: {said}");
    }
}

#[test]
fn a_storage_that_others_can_exchange_is_told_by_doctor() {
    if !is_root() {
        return eprintln!("skipped: only root can become another user");
    }
    let house = House::new();
    fs::create_dir(house.path("tree")).unwrap();
    fs::create_dir(house.path("open")).unwrap();
    fs::set_permissions(house.path("open"), Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(house.path("theirs")).unwrap();
    chown(house.path("theirs"), NOBODY, NOBODY).unwrap();
    let told = |storage: &str| {
        fs::create_dir(house.path(storage)).unwrap();
        let mut doctor = house.kluis();
        let output = doctor.args(["-s", storage, "doctor"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let everybody = format!("everybody can write to {}", house.path("open").display());
    assert!(!told("storage").contains("everybody can write"));
    assert!(told("open/storage").contains(&everybody));
    let of_another = format!("{} is of user 65534", house.path("theirs").display());
    assert!(told("theirs/storage").contains(&of_another));
}
