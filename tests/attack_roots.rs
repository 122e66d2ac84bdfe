//! Links and fifos in the way of a backup of a tree. Both succeed on 861f450: what a
//! link in another user's directory leads to is read as root, and a fifo holds up the
//! backup for ever.

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
