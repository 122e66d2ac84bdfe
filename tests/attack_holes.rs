//! Somebody who can write to the storage makes an archive of terabytes out of holes,
//! or gives its name to another file. Each of these attacks succeeds on 1b39f1b.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use kluis::storage::{LocalStorage, Storage};

use crate::support::house;
use crate::support::planting::{archives, genuine, house};

/// Nothing here could be read to its end.
const TERABYTES: u64 = 8 << 40;

fn lengthen(path: &Path) -> bool {
    let file = File::options().write(true).open(path).unwrap();
    let done = file.set_len(TERABYTES).is_ok();
    if !done {
        let reason = "the temporary directory holds no file of 8 TiB";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
    }
    done
}

#[test]
fn an_archive_that_is_longer_than_its_manifest_says_is_damaged_and_is_not_read() {
    let house = house();
    genuine(&house);
    let plain = ["backup", "source", "app", "--no-encrypt", "--codec", "none"];
    house.run(&plain);
    let all = archives(&house);
    for archive in &all {
        if !lengthen(&house.storage().join(archive)) {
            return;
        }
    }
    for command in [
        &["verify", "--all"][..],
        &["verify", "--all", "--quick"],
        &["key", "drill"],
        &["restore", &all[0], "--to", "out", "--yes"],
    ] {
        let output = house.kluis().args(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(4), "{command:?}: {said}");
        let told = format!("it has {TERABYTES} bytes");
        assert!(
            said.contains(&told) || shown.contains(&told),
            "{command:?}: {said}{shown}"
        );
    }
}

/// Its header would be written into a file that has another name elsewhere.
#[test]
fn a_file_of_several_names_gets_no_new_header() {
    let house = house();
    let archive = house.storage().join(genuine(&house));
    let elsewhere = house.path("elsewhere");
    fs::hard_link(&archive, &elsewhere).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    house.run(&["key", "generate", "-o", "new.key"]);
    let mut kluis = house.kluis();
    let output = kluis
        .args(["key", "add", "--key-file", "new.key", "--all"])
        .output();
    let output = output.unwrap();
    let said = format!("{output:?}");
    assert!(
        !output.status.success() && said.contains("2 hard links"),
        "{said}"
    );
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
    fs::remove_file(&elsewhere).unwrap();
    house.run(&["key", "add", "--key-file", "new.key", "--all"]);
    assert_ne!(fs::read(&archive).unwrap(), before);
}

/// Between the look at a header and its writing the name went to another file.
#[test]
fn what_was_not_read_is_not_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let storage = LocalStorage::open(directory.path(), false).unwrap();
    let path = directory.path().join("archive");
    for found in [&b"another's"[..], b"short"] {
        fs::write(&path, found).unwrap();
        let error = storage.overwrite("archive", 2, b"was here", b"is here.");
        error.unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), found);
    }
    fs::write(&path, "x was here").unwrap();
    storage
        .overwrite("archive", 2, b"was here", b"is here.")
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x is here.");
}

/// Each of its pieces is a block of the disk; between them there are 8 TiB to read.
#[test]
fn a_hollow_archive_of_very_many_pieces_is_not_read() {
    let house = house();
    genuine(&house);
    let archive = house.storage().join("a_source_2026-01-01T00-00-00.tar");
    let file = File::create_new(&archive).unwrap();
    for piece in 0..10_100 {
        file.write_all_at(b"x", piece << 20).unwrap();
    }
    if !lengthen(&archive) {
        return;
    }
    let mut verify = house.command("timeout");
    verify
        .args(["-k", "5", "60"])
        .arg(house::program())
        .args(["verify", "--all"]);
    let output = verify.output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains("all others a hole"), "{said}");
}

/// More of them than a map of an archive has: the holes between some have to be read.
const PIECES: u64 = 33_000;

#[test]
fn a_hollow_file_of_very_many_pieces_is_left_out_of_a_tree_and_the_others_are_not() {
    let house = house();
    // Each piece is a block: in memory where that is to be had.
    let in_memory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let app = in_memory.unwrap();
    fs::write(app.path().join("file"), "genuine").unwrap();
    let path = app.path().join("hollow");
    let hollow = File::create_new(&path).unwrap();
    for piece in 0..PIECES {
        let at = piece * (TERABYTES / PIECES);
        hollow.write_all_at(b"x", at).unwrap();
    }
    if !lengthen(&path) {
        return;
    }
    let mut backup = house.command("timeout");
    backup.args(["-k", "5", "60"]).arg(house::program());
    let output = backup.args(["backup", "source"]).arg(app.path()).output();
    let output = output.unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("hollow") && said.contains("more holes than"),
        "{said}"
    );
    house.run(&["restore", "latest:source", "--to", "out", "--yes"]);
    assert!(house.path("out/file").exists() && !house.path("out/hollow").exists());
}

/// A block of 128 KiB is four bytes of zstd's: zeros, which a tar may end with.
fn bomb(stored_bytes: usize) -> Vec<u8> {
    const BEGIN: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let block = |last: u32| (((128 << 10) << 3) | (1 << 1) | last).to_le_bytes();
    let mut bomb = BEGIN.to_vec();
    while bomb.len() + 8 <= stored_bytes {
        bomb.extend_from_slice(&[&block(0)[..3], &[0]].concat());
    }
    bomb.extend_from_slice(&[&block(1)[..3], &[0]].concat());
    bomb
}

/// What its manifest tells of its length, and a key of ours sealed, ends its reading.
#[test]
fn an_archive_that_swells_beyond_its_manifest_is_damaged_and_is_not_read_on() {
    let house = house();
    let mut noise = vec![0; 4 << 20];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut noise)
        .unwrap();
    fs::write(house.path("app/noise"), &noise).unwrap();
    house.run(&["backup", "source", "app", "--no-encrypt", "--codec", "zstd"]);
    let archive = &archives(&house)[0];
    let path = house.storage().join(archive);
    let stored_bytes = fs::metadata(&path).unwrap().len() as usize;
    fs::write(&path, bomb(stored_bytes)).unwrap();
    for command in [
        &["verify", "--all"][..],
        &["restore", archive, "--to", "out", "--yes"],
    ] {
        let mut kluis = house.command("timeout");
        kluis
            .args(["-k", "5", "20"])
            .arg(house::program())
            .args(command);
        let output = kluis.output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(4), "{command:?}: {said}");
        assert!(said.contains("longer than"), "{command:?}: {said}");
    }
}
