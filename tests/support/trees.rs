//! Trees, and whether two are the same.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

/// Everything that must come back of each file below a root, whoever restores:
/// kind and mode, time of change in seconds and nanoseconds, length, and a hash
/// of the content or of a link's target.
pub type Seen = BTreeMap<PathBuf, (u32, i64, i64, u64, u128)>;

pub fn seen(root: &Path) -> Seen {
    let mut all = Seen::new();
    for entry in walkdir::WalkDir::new(root) {
        let entry = entry.unwrap();
        let status = entry.path().symlink_metadata().unwrap();
        let kind = status.file_type();
        let bytes = if kind.is_dir() { 0 } else { status.len() };
        let hash = if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            xxhash_rust::xxh3::xxh3_128(target.as_os_str().as_bytes())
        } else if kind.is_file() {
            hash_of(entry.path())
        } else {
            0
        };
        let path = entry.path().strip_prefix(root).unwrap().to_owned();
        let time = (status.mtime(), status.mtime_nsec());
        all.insert(path, (status.mode(), time.0, time.1, bytes, hash));
    }
    all
}

/// Panics with the first path that differs, not with all of both trees.
pub fn assert_same(before: &Seen, after: &Seen) {
    let differs = before
        .iter()
        .find(|(path, seen)| after.get(*path) != Some(seen));
    assert_eq!(differs.map(|(path, seen)| (path, Some(seen))), None);
    let added = after.keys().find(|path| !before.contains_key(*path));
    assert_eq!((added, after.len()), (None, before.len()));
}

fn hash_of(path: &Path) -> u128 {
    let mut file = File::open(path).unwrap();
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => return hash.digest128(),
            count => hash.update(&buffer[..count]),
        }
    }
}
