//! Archives made to do harm: each is refused, or restored without a byte
//! outside the target.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use kluis::cancel::Cancel;
use kluis::reached::Reached;
use kluis::target::{DirectoryTarget, RestoreTreeOptions, Target, TargetError, TreeCheck};

/// Builds tar streams that no honest program would.
#[derive(Default)]
struct Evil(Vec<u8>);

impl Evil {
    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn entry(self, kind: u8, name: &[u8], link: &[u8], data: &[u8]) -> Self {
        let header = header(
            kind,
            name,
            link,
            format!("{:011o}\0", data.len()).as_bytes(),
        );
        let fill = vec![0; data.len().next_multiple_of(512) - data.len()];
        self.raw(&header).raw(data).raw(&fill)
    }

    fn file(self, name: &[u8]) -> Self {
        self.entry(b'0', name, b"", b"evil")
    }

    fn directory(self, name: &[u8]) -> Self {
        self.entry(b'5', name, b"", b"")
    }

    fn symlink(self, name: &[u8], target: &[u8]) -> Self {
        self.entry(b'2', name, target, b"")
    }

    fn hard_link(self, name: &[u8], target: &[u8]) -> Self {
        self.entry(b'1', name, target, b"")
    }

    fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..)
                .map(|digits| rest + digits)
                .find(|length| length.to_string().len() == length - rest);
            let length = length.expect("there is one");
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.entry(b'x', b"pax", b"", &body)
    }

    fn sparse(self, real_bytes: &str, map: &str, data: &[u8]) -> Self {
        let mut body = map.as_bytes().to_vec();
        body.resize(body.len().next_multiple_of(512), 0);
        body.extend_from_slice(data);
        let evil = self.pax(&[
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"sparse"),
            ("GNU.sparse.realsize", real_bytes.as_bytes()),
        ]);
        evil.entry(b'0', b"placeholder", b"", &body)
    }

    fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).0
    }
}

fn header(kind: u8, name: &[u8], link: &[u8], size: &[u8]) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..124 + size.len()].copy_from_slice(size);
    block[136..148].copy_from_slice(b"00000000000\0");
    block[148..156].fill(b' ');
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn evil() -> Evil {
    Evil::default().directory(b"./")
}

fn base_256(top: u8, rest: u8) -> [u8; 12] {
    let mut field = [rest; 12];
    field[0] = top;
    field
}

/// What must happen to a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The restore and the check both refuse it.
    Refused,
    /// The restore refuses it; a reader without a file system cannot know.
    RefusedByRestore,
    /// It is restored, but the harmful part is not.
    Harmless,
    /// It ends early: an error of the stream.
    CutOff,
}

use Fate::{CutOff, Harmless, Refused, RefusedByRestore};

fn paths_that_leave() -> Vec<(&'static str, Fate, Vec<u8>)> {
    let long = |kind, name: &[u8]| evil().entry(kind, b"long", b"", name);
    vec![
        ("absolute path", Refused, evil().file(b"/outside/x").end()),
        (
            "absolute directory",
            Refused,
            evil().directory(b"/outside/x/").end(),
        ),
        ("dotdot first", Refused, evil().file(b"../outside/x").end()),
        (
            "dotdot in the middle",
            Refused,
            evil().file(b"a/../../outside/x").end(),
        ),
        (
            "dotdot at the end",
            Refused,
            evil().directory(b"a/..").end(),
        ),
        (
            "dotdot after a dot",
            Refused,
            evil().file(b"./../outside/x").end(),
        ),
        (
            "doubled slash before",
            Refused,
            evil().file(b"//outside/x").end(),
        ),
        (
            "PAX path with dotdot",
            Refused,
            evil().pax(&[("path", b"../outside/x")]).file(b"ok").end(),
        ),
        (
            "PAX path absolute",
            Refused,
            evil().pax(&[("path", b"/outside/x")]).file(b"ok").end(),
        ),
        (
            "PAX path empty",
            Refused,
            evil().pax(&[("path", b"")]).file(b"ok").end(),
        ),
        (
            "PAX path with NUL",
            Refused,
            evil().pax(&[("path", b"ok\0../x")]).file(b"ok").end(),
        ),
        (
            "GNU long name with dotdot",
            Refused,
            long(b'L', b"../outside/x\0").file(b"ok").end(),
        ),
        (
            "GNU long name with NUL",
            Refused,
            long(b'L', b"a\0/../../x\0").file(b"ok").end(),
        ),
        (
            "sparse name with dotdot",
            Refused,
            evil()
                .pax(&[
                    ("GNU.sparse.major", b"1"),
                    ("GNU.sparse.minor", b"0"),
                    ("GNU.sparse.realsize", b"4"),
                    ("GNU.sparse.name", b"../outside/x"),
                ])
                .file(b"ok")
                .end(),
        ),
        ("prefix with dotdot", Refused, {
            let mut block = header(b'0', b"x", b"", b"00000000000\0");
            block[345..355].copy_from_slice(b"../outside");
            evil().raw(&with_checksum(block)).end()
        }),
        ("empty name", Refused, evil().file(b"").end()),
        ("a file named dot", Refused, evil().file(b".").end()),
        (
            "a file with a slash at the end",
            Refused,
            evil().file(b"a/").end(),
        ),
        (
            "a file named like the root",
            Refused,
            evil().file(b"./").end(),
        ),
        ("100,000 nested directories", Refused, {
            let path = b"d/".repeat(100_000);
            evil().pax(&[("path", &path)]).directory(b"d").end()
        }),
    ]
}

fn links_that_leave() -> Vec<(&'static str, Fate, Vec<u8>)> {
    vec![
        ("write through an outside symlink", Harmless, {
            evil().symlink(b"s", b"../outside").file(b"s/x").end()
        }),
        ("write through an absolute symlink", Harmless, {
            evil().symlink(b"s", b"/tmp").file(b"s/kluis-hostile").end()
        }),
        ("write through an inside symlink", RefusedByRestore, {
            evil()
                .directory(b"d/")
                .symlink(b"s", b"d")
                .file(b"s/x")
                .end()
        }),
        ("write through a chain of symlinks", RefusedByRestore, {
            let chain = evil()
                .directory(b"d/")
                .symlink(b"d/up", b"..")
                .symlink(b"s", b"d/up");
            chain.file(b"s/x").end()
        }),
        ("a chain that climbs step by step", Harmless, {
            let chain = evil()
                .directory(b"p/")
                .directory(b"p/q/")
                .symlink(b"p/q/up", b"../..");
            chain.symlink(b"x", b"p/q/up/../outside").file(b"x/y").end()
        }),
        ("directory entry over a symlink", RefusedByRestore, {
            evil()
                .symlink(b"s", b"d")
                .directory(b"s/")
                .file(b"s/x")
                .end()
        }),
        (
            "file over a symlink",
            RefusedByRestore,
            evil().symlink(b"s", b"d").file(b"s").end(),
        ),
        ("symlink over a directory", RefusedByRestore, {
            evil()
                .directory(b"d/")
                .symlink(b"d", b"../outside")
                .symlink(b"d", b"x")
                .end()
        }),
        ("symlink loop", RefusedByRestore, {
            evil()
                .symlink(b"a", b"b")
                .symlink(b"b", b"a")
                .file(b"a/x")
                .end()
        }),
        (
            "symlink without a target",
            Refused,
            evil().symlink(b"s", b"").end(),
        ),
        (
            "symlink with data",
            Refused,
            evil().entry(b'2', b"s", b"d", b"data").end(),
        ),
        ("symlink target with NUL", Refused, {
            evil()
                .pax(&[("linkpath", b"a\0b")])
                .symlink(b"s", b"a")
                .end()
        }),
        (
            "hard link outside",
            Refused,
            evil().hard_link(b"h", b"../outside/file").end(),
        ),
        (
            "hard link absolute",
            Refused,
            evil().hard_link(b"h", b"/etc/passwd").end(),
        ),
        ("PAX linkpath outside", Refused, {
            evil()
                .pax(&[("linkpath", b"../outside/file")])
                .hard_link(b"h", b"ok")
                .end()
        }),
        ("GNU long link outside", Refused, {
            evil()
                .entry(b'K', b"long", b"", b"../outside/file\0")
                .hard_link(b"h", b"ok")
                .end()
        }),
        ("hard link to an outside symlink", RefusedByRestore, {
            evil()
                .symlink(b"s", b"../outside/file")
                .hard_link(b"h", b"s")
                .end()
        }),
        ("hard link to an inside symlink", RefusedByRestore, {
            evil()
                .file(b"f")
                .symlink(b"s", b"f")
                .hard_link(b"h", b"s")
                .end()
        }),
        ("hard link through a symlink", RefusedByRestore, {
            evil()
                .directory(b"d/")
                .file(b"d/f")
                .symlink(b"s", b"d")
                .hard_link(b"h", b"s/f")
                .end()
        }),
        ("hard link to a directory", RefusedByRestore, {
            evil().directory(b"d/").hard_link(b"h", b"d").end()
        }),
        (
            "hard link to itself",
            RefusedByRestore,
            evil().hard_link(b"h", b"h").end(),
        ),
        ("hard link to what comes later", RefusedByRestore, {
            evil().hard_link(b"h", b"f").file(b"f").end()
        }),
        (
            "hard link to the root",
            Refused,
            evil().hard_link(b"h", b"./").end(),
        ),
        ("hard link with data", Refused, {
            evil().file(b"f").entry(b'1', b"h", b"f", b"data").end()
        }),
    ]
}

fn kinds_and_replacements() -> Vec<(&'static str, Fate, Vec<u8>)> {
    let of_kind = |kind| evil().entry(kind, b"x", b"", b"").end();
    vec![
        ("character device", Refused, of_kind(b'3')),
        ("block device", Refused, of_kind(b'4')),
        ("fifo", Refused, of_kind(b'6')),
        ("GNU volume header", Refused, of_kind(b'V')),
        ("GNU multi-volume", Refused, of_kind(b'M')),
        ("GNU old sparse", Refused, of_kind(b'S')),
        ("GNU dump directory", Refused, of_kind(b'D')),
        ("unknown kind", Refused, of_kind(b'Z')),
        (
            "global PAX path",
            Refused,
            evil().entry(b'g', b"g", b"", b"16 path=../../x\n").end(),
        ),
        (
            "same file twice",
            RefusedByRestore,
            evil().file(b"f").file(b"f").end(),
        ),
        ("same file by another spelling", RefusedByRestore, {
            evil().file(b"f").file(b".//f").end()
        }),
        (
            "directory over a file",
            RefusedByRestore,
            evil().file(b"f").directory(b"f/").end(),
        ),
        ("file over a directory", RefusedByRestore, {
            evil().directory(b"d/").file(b"d/x").file(b"d").end()
        }),
        (
            "file below a file",
            RefusedByRestore,
            evil().file(b"f").file(b"f/x").end(),
        ),
        (
            "directory with data",
            Refused,
            evil().entry(b'5', b"d/", b"", b"data").end(),
        ),
        ("root replaced by a symlink", Refused, {
            Evil::default()
                .symlink(b"./", b"../outside")
                .file(b"x")
                .end()
        }),
        ("owner beyond 32 bits", RefusedByRestore, {
            evil().pax(&[("uid", b"4294967296")]).file(b"f").end()
        }),
    ]
}

fn sizes_and_streams() -> Vec<(&'static str, Fate, Vec<u8>)> {
    let sized = |size: &[u8]| evil().raw(&header(b'0', b"x", b"", size)).end();
    let huge = |kind| evil().raw(&header(kind, b"x", b"", b"77777777777\0")).end();
    let mut bad_sum = header(b'0', b"x", b"", b"00000000000\0");
    bad_sum[0] = b'y';
    vec![
        ("bad checksum", Refused, evil().raw(&bad_sum).end()),
        ("negative size", Refused, sized(&base_256(0xff, 0xff))),
        ("size over 63 bits", Refused, sized(&base_256(0x80, 0xff))),
        ("size of i64::MAX", Refused, {
            let mut field = base_256(0x80, 0xff);
            field[1..5].copy_from_slice(&[0, 0, 0, 0x7f]);
            sized(&field)
        }),
        ("size that is no number", Refused, sized(b"0000000000z\0")),
        (
            "PAX size negative",
            Refused,
            evil().pax(&[("size", b"-1")]).file(b"f").end(),
        ),
        ("PAX size overflow", Refused, {
            evil()
                .pax(&[("size", b"18446744073709551616")])
                .file(b"f")
                .end()
        }),
        (
            "size larger than the stream",
            CutOff,
            sized(b"77777777777\0"),
        ),
        ("huge PAX header", Refused, huge(b'x')),
        ("huge global header", Refused, huge(b'g')),
        ("huge GNU long name", Refused, huge(b'L')),
        ("huge GNU long link", Refused, huge(b'K')),
        ("endless extended headers", Refused, {
            (0..1000)
                .fold(evil(), |evil, _| evil.pax(&[("comment", b"x")]))
                .end()
        }),
        (
            "PAX header for nothing",
            Refused,
            evil().pax(&[("path", b"x")]).end(),
        ),
        ("PAX record length lies", Refused, {
            evil()
                .entry(b'x', b"p", b"", b"99 path=x\n")
                .file(b"f")
                .end()
        }),
        ("ACL that is none", Refused, {
            evil()
                .pax(&[("SCHILY.acl.access", b"king::rwx")])
                .file(b"f")
                .end()
        }),
        (
            "cut in a header",
            CutOff,
            evil().file(b"f").0[..1200].to_vec(),
        ),
        ("cut in data", CutOff, {
            let data = evil().entry(b'0', b"f", b"", &[1; 4096]).0;
            data[..2048].to_vec()
        }),
        ("no end", CutOff, evil().file(b"f").0),
        ("nothing at all", CutOff, Vec::new()),
        (
            "a single zero block",
            Refused,
            evil().raw(&[0; 512]).file(b"f").end(),
        ),
        (
            "data after the end",
            Refused,
            [evil().file(b"f").end(), b"more".to_vec()].concat(),
        ),
        ("no tar at all", Refused, b"#!/bin/sh\nexit 0\n".repeat(100)),
        (
            "sparse segment outside",
            Refused,
            evil().sparse("100", "1\n0\n512\n", &[1; 512]).end(),
        ),
        ("sparse segments overlap", Refused, {
            evil()
                .sparse("9999", "2\n0\n512\n256\n512\n", &[1; 1024])
                .end()
        }),
        ("sparse offset overflows", Refused, {
            evil()
                .sparse("9999", "1\n18446744073709551615\n512\n", &[1; 512])
                .end()
        }),
        ("sparse map larger than its data", Refused, {
            evil().sparse("9999", "1\n0\n5120\n", &[1; 512]).end()
        }),
        (
            "sparse map of a billion",
            Refused,
            evil().sparse("9999", "1000000000\n", b"").end(),
        ),
        ("sparse map without end", Refused, {
            evil().sparse("9999", &"0".repeat(19), &[b'\n'; 0]).end()
        }),
        ("sparse size over 63 bits", Refused, {
            evil().sparse("9223372036854775808", "0\n", b"").end()
        }),
        ("sparse of another version", Refused, {
            evil()
                .pax(&[("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"9")])
                .file(b"f")
                .end()
        }),
    ]
}

fn with_checksum(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn corpus() -> Vec<(&'static str, Fate, Vec<u8>)> {
    let mut all = paths_that_leave();
    all.extend(links_that_leave());
    all.extend(kinds_and_replacements());
    all.extend(sizes_and_streams());
    all
}

/// Inode, mode, time, links and content: a write changes one of them.
type Seen = (u64, u32, (i64, i64), u64, Vec<u8>);

/// All that a write outside the target would change.
fn outside(place: &Path) -> BTreeMap<PathBuf, Seen> {
    let entries = walkdir::WalkDir::new(place).into_iter();
    let not_target = entries.filter_entry(|entry| entry.path() != place.join("target"));
    not_target
        .map(|entry| entry.expect("readable"))
        .filter(|entry| entry.path() != place)
        .map(|entry| {
            let status = entry.metadata().expect("status");
            let content = fs::read(entry.path()).unwrap_or_default();
            let time = (status.mtime(), status.mtime_nsec());
            let seen = (status.ino(), status.mode(), time, status.nlink(), content);
            (entry.into_path(), seen)
        })
        .collect()
}

fn place_with_bait() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a directory");
    fs::create_dir(place.path().join("outside")).expect("mkdir");
    fs::write(place.path().join("outside/file"), b"precious").expect("write");
    symlink("outside", place.path().join("bait")).expect("symlink");
    place
}

fn restore(place: &Path, archive: &[u8], links_outside: bool) -> Result<(), TargetError> {
    let options = RestoreTreeOptions {
        links_outside,
        ..RestoreTreeOptions::default()
    };
    let to = place.join("target");
    let mut target = DirectoryTarget::new(&to, options, Cancel::default())?;
    target.receive(&mut &archive[..])?;
    target.commit(&mut Reached::default()).map(drop)
}

fn assert_fate(name: &str, fate: Fate, result: &Result<(), TargetError>) {
    match fate {
        Refused | RefusedByRestore => {
            let refused = matches!(result, Err(TargetError::Hostile { .. }));
            assert!(refused, "{name}: {result:?}");
        }
        CutOff => {
            let broken = matches!(result, Err(TargetError::Stream(_)));
            assert!(broken, "{name}: {result:?}");
        }
        Harmless => assert!(result.is_ok(), "{name}: {result:?}"),
    }
}

#[test]
fn no_archive_of_the_corpus_writes_outside_the_target() {
    let corpus = corpus();
    assert!(corpus.len() >= 25, "{}", corpus.len());
    for (name, fate, archive) in corpus {
        let place = place_with_bait();
        let before = outside(place.path());
        let result = restore(place.path(), &archive, false);
        assert_eq!(before, outside(place.path()), "{name}");
        assert_fate(name, fate, &result);
        if result.is_err() {
            assert!(
                !place.path().join("target").exists(),
                "{name} left something"
            );
        }
    }
}

#[test]
fn links_outside_allow_links_but_no_write_through_them() {
    for (name, fate, archive) in corpus() {
        let place = place_with_bait();
        let before = outside(place.path());
        let result = restore(place.path(), &archive, true);
        assert_eq!(before, outside(place.path()), "{name}");
        // With the link really there, whatever goes through it is refused.
        let fate = if fate == Harmless {
            RefusedByRestore
        } else {
            fate
        };
        assert_fate(name, fate, &result);
    }
    assert!(!Path::new("/tmp/kluis-hostile").exists());
}

#[test]
fn the_check_refuses_what_the_stream_alone_gives_away() {
    for (name, fate, archive) in corpus() {
        let result = TreeCheck::new(Cancel::default())
            .receive(&mut &archive[..])
            .map(drop);
        let fate = if fate == RefusedByRestore {
            Harmless
        } else {
            fate
        };
        assert_fate(name, fate, &result);
    }
}

#[test]
fn a_refusal_names_the_entry() {
    let archive = evil().file(b"nice").file(b"../naughty").end();
    let place = place_with_bait();
    let refused = restore(place.path(), &archive, false)
        .expect_err("refused")
        .to_string();
    assert!(
        refused.contains("\"../naughty\"") && refused.contains(".."),
        "{refused}"
    );
}

#[test]
fn an_archive_cut_at_any_length_is_an_error() {
    let pax = evil().pax(&[("mtime", b"1.5")]);
    let whole = pax
        .file(b"f")
        .symlink(b"s", b"f")
        .hard_link(b"h", b"f")
        .end();
    for length in (0..whole.len()).step_by(97) {
        let result = TreeCheck::new(Cancel::default()).receive(&mut &whole[..length]);
        assert!(result.is_err(), "cut at {length} of {}", whole.len());
    }
    assert!(
        TreeCheck::new(Cancel::default())
            .receive(&mut &whole[..])
            .is_ok()
    );
}
