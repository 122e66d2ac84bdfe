//! Somebody whose file has several names removes it while the tree is read; the next
//! file of somebody else gets its inode.
//!
//! Succeeds on bf79b37: the other's file became a hard link to the attacker's, the
//! exit code was 0, and verify found all right.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use kluis::cancel::Cancel;
use kluis::source::{DirectorySource, Produced, Source, TreeOptions};

/// A file here with the inode, and with a second name; false where the file system
/// gives no number twice.
fn takes_over(directory: &Path, inode: u64) -> bool {
    for number in 0..2_000 {
        let path = directory.join(format!("alice-{number}"));
        fs::write(&path, "alice's").unwrap();
        if fs::metadata(&path).unwrap().ino() == inode {
            fs::rename(&path, directory.join("alice")).unwrap();
            fs::hard_link(directory.join("alice"), directory.join("bob")).unwrap();
            return true;
        }
    }
    false
}

#[test]
fn a_file_with_the_inode_of_a_removed_one_is_kept_as_itself() {
    let root = tempfile::tempdir().unwrap();
    let [first, last] = ["a", "z"].map(|name| root.path().join(name));
    fs::create_dir(&first).unwrap();
    fs::create_dir(&last).unwrap();
    fs::write(first.join("mallory-1"), "mallory").unwrap();
    for name in ["mallory-2", "mallory-3"] {
        fs::hard_link(first.join("mallory-1"), first.join(name)).unwrap();
    }
    let inode = fs::metadata(first.join("mallory-1")).unwrap().ino();
    let options = TreeOptions::default();
    let mut source = DirectorySource::new(root.path(), options, Cancel::default()).unwrap();
    let mut archive = Vec::new();
    // Its first name is in, and nobody holds it open.
    while !archive.windows(9).any(|it| it == b"mallory-2") {
        let mut block = [0; 512];
        source.read_exact(&mut block).unwrap();
        archive.extend_from_slice(&block);
    }
    for number in 1..=3 {
        fs::remove_file(first.join(format!("mallory-{number}"))).unwrap();
    }
    if !takes_over(&last, inode) {
        eprintln!("skipped: this file system gives no inode a second time");
        return;
    }
    source.read_to_end(&mut archive).unwrap();
    let mut found = Vec::new();
    for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let (path, link) = (
            entry.path().unwrap().into_owned(),
            entry.link_name().unwrap(),
        );
        let link = link.map(|it| it.display().to_string());
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        if ["z/alice", "z/bob"]
            .map(Path::new)
            .contains(&path.as_path())
        {
            found.push((path.display().to_string(), link, text));
        }
    }
    let of = |name: &str, link: Option<&str>, text: &str| {
        (name.to_owned(), link.map(str::to_owned), text.to_owned())
    };
    let wanted = [
        of("z/alice", None, "alice's"),
        of("z/bob", Some("z/alice"), ""),
    ];
    assert_eq!(found, wanted);
    let Produced::Tree(content) = Box::new(source).finish() else {
        panic!("no tree");
    };
    assert_eq!(content.hard_links, 2);
}
