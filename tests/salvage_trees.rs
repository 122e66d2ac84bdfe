//! Damaged archives of trees with `restore --keep-going`: every file that the damage did
//! not meet comes back as it was, and none comes back otherwise without being named.
//! A soak has 100 damages.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use kluis::format::tar::{TarReader, display_path};
use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::house::House;
use crate::support::salvaged::rounds;
use crate::support::trees;
use crate::support::trees::{Seen, seen};

const HEADS: usize = 8192;
const CHUNK: usize = 1 << 16;
const BLOCK: u64 = 1 << 20;

/// Text that shrinks to a half or so.
fn content(dice: &mut Dice, bytes: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes + 40);
    while text.len() < bytes {
        text.extend_from_slice(
            format!("{:x} line {}\n", dice.below(1 << 31), text.len()).as_bytes(),
        );
    }
    text.truncate(bytes);
    text
}

fn make_tree(root: &Path) {
    let mut dice = Dice(11);
    for number in 0..60 {
        let directory = root.join(format!("d{}", number % 7));
        fs::create_dir_all(&directory).unwrap();
        let bytes = match number % 20 {
            0 => 1_500_000,
            1 => 0,
            _ => dice.below(90_000),
        };
        fs::write(
            directory.join(format!("f{number:02}")),
            content(&mut dice, bytes),
        )
        .unwrap();
    }
    fs::hard_link(root.join("d3/f03"), root.join("d6/further-name")).unwrap();
    std::os::unix::fs::symlink("f04", root.join("d4/link")).unwrap();
    // An archive in the tree, whose headers are none of the tree's.
    let packed = Command::new("tar")
        .args(["cf", "d5/inner.tar", "d0", "d1"])
        .current_dir(root)
        .status();
    assert!(packed.unwrap().success());
}

struct Case {
    house: House,
    archive: String,
    whole: Vec<u8>,
    /// Where each entry stands in the raw stream, with its path.
    entries: Vec<(Vec<u8>, Range<u64>)>,
    /// Where each block of it begins in the compressed stream.
    members: Vec<u64>,
    before: Seen,
    sealed: bool,
}

impl Case {
    fn new(sealed: bool, codec: &str) -> Self {
        let house = if sealed {
            House::new()
        } else {
            House::keyless()
        };
        let root = house.path("tree");
        make_tree(&root);
        let more: &[&str] = if sealed { &[] } else { &["--no-encrypt"] };
        let plain = ["backup", "source", "tree", "--codec", codec];
        house.run(&[&plain[..], more].concat());
        let archive = house.listed().remove(0);
        let whole = fs::read(house.storage().join(&archive)).unwrap();
        let manifest = house.storage().join(format!("{archive}.json"));
        let manifest: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
        let offsets = manifest["manifest"]["content"]["gzip_index"]["offsets"].clone();
        let offsets = if offsets.is_null() {
            manifest["manifest"]["gzip_index"]["offsets"].clone()
        } else {
            offsets
        };
        let members = offsets
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| it.as_u64().unwrap());
        let compressed = match sealed {
            true => {
                house
                    .run(&[
                        "decrypt",
                        house.storage().join(&archive).to_str().unwrap(),
                        "-o",
                        "-",
                    ])
                    .stdout
            }
            false => whole.clone(),
        };
        let mut raw = Vec::new();
        match codec {
            "gzip" => drop(
                std::io::Read::read_to_end(
                    &mut flate2::read::MultiGzDecoder::new(&compressed[..]),
                    &mut raw,
                )
                .unwrap(),
            ),
            "zstd" => raw = zstd::decode_all(&compressed[..]).unwrap(),
            _ => raw = compressed,
        }
        let entries = entries(&raw);
        Self {
            before: seen(&root),
            archive,
            whole,
            entries,
            members: members.collect(),
            house,
            sealed,
        }
    }

    /// Stretches of the raw stream that a change of the stored bytes takes with it.
    fn lost(&self, stored: Range<usize>) -> Vec<Range<u64>> {
        let content = match self.sealed {
            false => stored.start as u64..stored.end as u64,
            true => {
                let chunk = |at: usize| (at.saturating_sub(HEADS) / (CHUNK + 16)) as u64;
                let (first, last) = (chunk(stored.start), chunk(stored.end - 1));
                first * CHUNK as u64..(last + 1) * CHUNK as u64
            }
        };
        if self.members.is_empty() {
            return vec![content];
        }
        let ends = self.members.iter().skip(1).copied().chain([u64::MAX]);
        let members = self.members.iter().copied().zip(ends).enumerate();
        let hit = members.filter(|(_, (start, end))| *start < content.end && content.start < *end);
        hit.map(|(at, _)| at as u64 * BLOCK..(at as u64 + 1) * BLOCK)
            .collect()
    }

    /// Damages the archive, restores what is left, looks at each file.
    fn round(&self, dice: &mut Dice) {
        let first = if self.sealed { HEADS } else { 0 };
        let mut bytes = self.whole.clone();
        let at = first + dice.below(bytes.len() - first);
        let len = [1, 1, 700, 70_000, 900_000][dice.below(5)].min(bytes.len() - at);
        let (what, hit) = match dice.below(4) {
            0 => {
                bytes.truncate(at);
                ("cut", at..self.whole.len())
            }
            1 => {
                bytes[at..at + len].fill(0);
                ("zeros", at..at + len)
            }
            _ => {
                bytes[at..at + len]
                    .iter_mut()
                    .for_each(|byte| *byte ^= 0x5a);
                ("changed", at..at + len)
            }
        };
        let name = format!("{what} {hit:?} of {}", self.archive);
        fs::write(self.house.storage().join(&self.archive), &bytes).unwrap();
        let to = self.house.path("left");
        let restored = self.restore(&["--keep-going"]);
        let report: Value = serde_json::from_slice(&restored.stdout)
            .unwrap_or_else(|_| panic!("{name}: {restored:?}"));
        let is_same = bytes == self.whole;
        let code = if is_same { 0 } else { 3 };
        assert_eq!(restored.status.code(), Some(code), "{name}: {restored:?}");
        let named: BTreeSet<&str> = report["not_whole"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        let lost = self.lost(hit);
        let after = seen(&to);
        for (path, place) in &self.entries {
            let is_hit = lost
                .iter()
                .any(|lost| lost.start < place.end && place.start < lost.end);
            let key = Path::new(std::ffi::OsStr::from_bytes(path));
            let (was, is) = (self.before.get(key), after.get(key));
            if !is_hit && key != Path::new("d6/further-name") {
                let content = |it: Option<&(u32, i64, i64, u64, u128)>| it.map(|it| (it.3, it.4));
                assert_eq!(content(was), content(is), "{name}: {key:?} was not hit");
            }
            if let (Some(was), Some(is)) = (was, is)
                && (was.3, was.4) != (is.3, is.4)
            {
                assert!(
                    named.contains(&*display_path(path)),
                    "{name}: {key:?} differs, unnamed"
                );
            }
        }
        let known = |path: &&std::path::PathBuf| !self.before.contains_key(*path);
        let added: Vec<_> = after.keys().filter(known).collect();
        let is_told = report["not_whole"].to_string().contains("doubtful");
        assert!(
            added.is_empty() || is_told,
            "{name}: {added:?} came from nowhere"
        );
        fs::remove_dir_all(&to).unwrap();
        fs::write(self.house.storage().join(&self.archive), &self.whole).unwrap();
    }

    fn restore(&self, more: &[&str]) -> Output {
        let archive = self.house.storage().join(&self.archive);
        let mut command = self.house.kluis();
        command.args([
            "--json",
            "restore",
            archive.to_str().unwrap(),
            "--to",
            "left",
        ]);
        command.args(more).output().unwrap()
    }
}

fn entries(raw: &[u8]) -> Vec<(Vec<u8>, Range<u64>)> {
    let mut entries: Vec<(Vec<u8>, Range<u64>)> = Vec::new();
    let mut rest = raw;
    loop {
        let start = (raw.len() - rest.len()) as u64;
        let mut reader = TarReader::new(&mut rest);
        let Some(entry) = reader.next_entry().unwrap() else {
            return entries;
        };
        let mut bytes = 0;
        loop {
            let more = reader.data().unwrap().len();
            if more == 0 {
                break;
            }
            bytes += more;
            reader.consume(more);
        }
        let padding = bytes.next_multiple_of(512) - bytes;
        rest = &rest[padding..];
        entries.push((entry.path, start..(raw.len() - rest.len()) as u64));
    }
}

fn damaged(sealed: bool, codec: &str, seed: u64) {
    let case = Case::new(sealed, codec);
    let mut dice = Dice(seed);
    for _ in 0..rounds() {
        case.round(&mut dice);
    }
}

#[test]
fn of_a_damaged_sealed_tree_every_whole_file_comes_back() {
    damaged(true, "gzip", 1);
}

#[test]
fn of_a_damaged_tree_without_encryption_every_whole_file_comes_back() {
    damaged(false, "gzip", 2);
}

#[test]
fn of_a_damaged_tree_in_zstd_every_whole_file_comes_back() {
    damaged(true, "zstd", 3);
}

#[test]
fn of_a_damaged_tree_that_is_not_compressed_every_whole_file_comes_back() {
    damaged(true, "none", 4);
}

#[test]
fn a_whole_tree_is_whole_with_keep_going_too() {
    let case = Case::new(true, "gzip");
    let done = case.restore(&["--keep-going"]);
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    trees::assert_same(&case.before, &seen(&case.house.path("left")));
}

#[test]
fn where_nothing_tells_what_is_hurt_that_is_said() {
    let case = Case::new(false, "none");
    let mut bytes = case.whole.clone();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(case.house.storage().join(&case.archive), &bytes).unwrap();
    let done = case.restore(&["--keep-going"]);
    assert_eq!(done.status.code(), Some(3), "{done:?}");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.contains("nothing tells which files"), "{said}");
}

#[test]
fn keep_going_takes_nothings_place() {
    let house = House::new();
    for more in [
        &["--replace"][..],
        &["--in-place"],
        &["--as-superuser", "--into", "x"],
    ] {
        let mut command = house.kluis();
        let output = command
            .args(["restore", "x", "--keep-going"])
            .args(more)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {output:?}");
    }
}

/// A tar of `files`, by somebody else.
fn packed(directory: &Path, files: &[&str]) -> Vec<u8> {
    let mut tar = Command::new("tar");
    let tar = tar.args(["--format=ustar", "-cf", "-"]).args(files);
    let output = tar.current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Before, all of it was restored, and a length that a header told was filled with
/// zeros, whatever it was.
#[test]
fn what_goes_on_beyond_what_the_manifest_tells_is_told_and_no_part_of_the_tree() {
    let house = House::keyless();
    fs::create_dir(house.path("tree")).unwrap();
    fs::write(house.path("tree/own"), vec![7; 9000]).unwrap();
    let backup = ["backup", "source", "tree", "--codec", "none"];
    house.run(&[&backup[..], &["--no-encrypt"]].concat());
    let archive = house.storage().join(house.listed().remove(0));
    let whole = fs::read(&archive).unwrap();
    let end = entries(&whole).last().unwrap().1.end;
    let begin = &whole[..usize::try_from(end).unwrap()];
    fs::create_dir(house.path("more")).unwrap();
    fs::write(house.path("more/foreign"), vec![8; 300_000]).unwrap();
    let large = fs::File::create(house.path("more/large")).unwrap();
    large.set_len(200 << 20).unwrap();
    let more = packed(&house.path("more"), &["foreign"]);
    let large = &packed(&house.path("more"), &["large"])[..1024];
    let restore = [
        "restore",
        archive.to_str().unwrap(),
        "--keep-going",
        "--json",
    ];
    for (behind, word) in [
        (&more[..], "beyond the"),
        (large, "longer than all that was backed up"),
    ] {
        fs::write(&archive, [begin, behind].concat()).unwrap();
        let mut kluis = house.kluis();
        let done = kluis.args(restore).args(["--to", "left"]).output();
        let done = done.unwrap();
        assert_eq!(done.status.code(), Some(3), "{word}: {done:?}");
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert!(report["not_whole"].to_string().contains(word), "{report}");
        let names: Vec<_> = seen(&house.path("left")).into_keys().collect();
        let own: Vec<_> = names.iter().filter(|it| it.ends_with("own")).collect();
        let foreign = names
            .iter()
            .filter(|it| it.ends_with("foreign") || it.ends_with("large"));
        assert_eq!((own.len(), foreign.count()), (1, 0), "{names:?}");
        fs::remove_dir_all(house.path("left")).unwrap();
    }
}
