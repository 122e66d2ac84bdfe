//! No byte left out: every bit of both headers, every byte of a payload of 1 MiB
//! (`format::frames`' own tests have that part), an archive of 200 KiB cut at every
//! length. All is found, as exit 4, and nothing comes out behind the last chunk
//! that was authenticated. A sample of it goes through the operations as they are,
//! and a dozen through the binary.

use std::io::{self, Write};

use jiff::Timestamp;
use kluis::catalog::{Backup, Catalog, Trust};
use kluis::exit::{Exit, exit_of};
use kluis::format::frames::{CHUNK_LEN, FrameError, FrameOpener, TAG_LEN};
use kluis::format::header::{self, CopyName, HEADER_LEN, HeaderError, PAYLOAD_OFFSET};
use kluis::format::keyring::{KeyMaterial, Keyring};
use kluis::format::keys::SecretKey;
use kluis::format::manifest::{Codec, Kind};
use kluis::operations::{DecryptDone, Encryption, OperationError, decrypt};
use kluis::pipeline::{ArchiveMeta, Envelope, Sealing, UnsealError, new_archive, seal};
use kluis::storage::{MemoryStorage, Storage};

use crate::support::damaged::{Damage, Damaged, Specimen, found, restore_into, verdict};
use crate::support::home::{Home, text};
use crate::support::in_process::{KEY, Witness, noise, vault};
use crate::support::soak::step;

const HEADS: usize = PAYLOAD_OFFSET as usize;
const SEALED_LEN: usize = CHUNK_LEN + TAG_LEN;
const ARCHIVE: &str = "tree_source_2026-01-18T00-00-00.tar.enc";

fn ring() -> Keyring {
    Keyring::of(KeyMaterial::parse(KEY).unwrap())
}

/// An archive whose content is as given, not compressed.
fn sealed(content: &[u8]) -> Vec<u8> {
    let meta = ArchiveMeta {
        kind: Kind::Source,
        name: "tree".to_owned(),
        created: Timestamp::UNIX_EPOCH,
        codec: Codec::None,
    };
    let sealing = Sealing {
        codec: Codec::None,
        level: 0,
        workers: 1,
        envelope: Envelope::Kluis1(Box::new(new_archive(&ring(), &meta, &[0; 16]).unwrap())),
        cancel: Default::default(),
    };
    let mut archive = Vec::new();
    seal(&mut &content[..], &mut archive, sealing, &|_| {}).unwrap();
    archive
}

fn exit_code(error: OperationError) -> Exit {
    exit_of(&anyhow::Error::new(error))
}

/// What an error of the header becomes where it is read.
fn exit_of_header(source: HeaderError) -> Exit {
    let archive = ARCHIVE.to_owned();
    exit_code(OperationError::Header { archive, source })
}

fn exit_of_payload(error: io::Error) -> Exit {
    let error = error.downcast::<FrameError>().expect("a frame's error");
    exit_code(UnsealError::Frames(error).into())
}

/// Takes what is the beginning of the true content, and nothing else.
struct Prefix<'a> {
    content: &'a [u8],
    taken: usize,
}

impl<'a> Prefix<'a> {
    fn of(content: &'a [u8]) -> Self {
        Self { content, taken: 0 }
    }
}

impl Write for Prefix<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let expected = &self.content[self.taken..self.taken + bytes.len()];
        assert!(bytes == expected, "other bytes came out at {}", self.taken);
        self.taken += bytes.len();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Flips each bit of one header copy, and opens by the other.
fn each_bit_of(copy: CopyName) {
    let archive = sealed(b"content");
    let mut head = archive[..HEADS].to_vec();
    let ring = ring();
    let whole = header::open(&head, &ring).unwrap();
    let start = copy as usize * HEADER_LEN;
    for bit in 0..8 * HEADER_LEN {
        let (at, mask) = (start + bit / 8, 1 << (bit % 8));
        head[at] ^= mask;
        let opened = header::open(&head, &ring).unwrap_or_else(|error| panic!("{bit}: {error}"));
        let (damaged, why) = opened.damaged_copy.expect("a damaged copy");
        assert_eq!(damaged, copy, "bit {bit}");
        // That would be a copy that only wants another key.
        assert!(
            !matches!(why, HeaderError::NoKey { .. }),
            "bit {bit}: {why}"
        );
        assert_eq!(opened.header, whole.header, "bit {bit}");
        assert_eq!(opened.keys.payload.expose(), whole.keys.payload.expose());
        assert_eq!(opened.keys.manifest.expose(), whole.keys.manifest.expose());
        head[at] ^= mask;
    }
}

#[test]
fn each_flipped_bit_of_header_a_is_reported_and_b_opens() {
    each_bit_of(CopyName::A);
}

#[test]
fn each_flipped_bit_of_header_b_is_reported_and_a_opens() {
    each_bit_of(CopyName::B);
}

/// 4,096 pairs of bits, one of each copy, spread by an odd step.
#[test]
fn with_a_bit_of_both_headers_flipped_nothing_opens() {
    let archive = sealed(b"content");
    let mut head = archive[..HEADS].to_vec();
    let ring = ring();
    for n in 0..4096 {
        let bits = [
            (0, n * 8 + n % 8),
            (HEADER_LEN, n * 12_347 % (8 * HEADER_LEN)),
        ];
        let flip = |head: &mut Vec<u8>| {
            for (start, bit) in bits {
                head[start + bit / 8] ^= 1 << (bit % 8);
            }
        };
        flip(&mut head);
        let error = header::open(&head, &ring).err().expect("an error");
        assert_eq!(exit_of_header(error), Exit::Integrity, "{bits:?}");
        flip(&mut head);
    }
}

/// Reads a payload as `decrypt` does, without its threads. Returns how it ended
/// and how much came out.
fn read(payload: &[u8], content: &[u8], key: &SecretKey) -> (Result<(), Exit>, usize) {
    let mut opener = FrameOpener::new(payload, key);
    let mut out = Prefix::of(content);
    loop {
        match opener.next_chunk() {
            Ok([]) => return (Ok(()), out.taken),
            Ok(chunk) => out.write_all(chunk).unwrap(),
            Err(error) => return (Err(exit_of_payload(error)), out.taken),
        }
    }
}

/// Of an archive of 200 KiB, every length that leaves `remainder` by four, in a soak.
fn each_length(remainder: usize) {
    const STORED: usize = 200 << 10;
    let content = noise(STORED - HEADS - 3 * TAG_LEN);
    let archive = sealed(&content);
    assert_eq!(archive.len(), STORED);
    let ring = ring();
    for len in (remainder..HEADS).step_by(4 * step()) {
        let error = header::open(&archive[..len], &ring)
            .err()
            .expect("an error");
        assert_eq!(exit_of_header(error), Exit::Integrity, "cut to {len}");
    }
    let (head, payload) = archive.split_at(HEADS);
    let key = header::open(head, &ring).unwrap().keys.payload;
    assert_eq!(read(payload, &content, &key), (Ok(()), content.len()));
    // The last chunk's every length.
    let end = payload.len() - SEALED_LEN / 4;
    let most = (remainder..end).step_by(4 * step());
    for len in most.chain(
        (remainder..payload.len())
            .step_by(4)
            .filter(|len| *len >= end),
    ) {
        let (end, out_bytes) = read(&payload[..len], &content, &key);
        assert_eq!(end, Err(Exit::Integrity), "cut to {len} of the payload");
        // A chunk comes out if a byte follows it: until then it may be the last.
        let whole = len.saturating_sub(1) / SEALED_LEN * CHUNK_LEN;
        assert_eq!(out_bytes, whole, "cut to {len} of the payload");
    }
}

#[test]
fn each_cut_of_200_kib_is_found_1_of_4() {
    each_length(0);
}

#[test]
fn each_cut_of_200_kib_is_found_2_of_4() {
    each_length(1);
}

#[test]
fn each_cut_of_200_kib_is_found_3_of_4() {
    each_length(2);
}

#[test]
fn each_cut_of_200_kib_is_found_4_of_4() {
    each_length(3);
}

fn decrypted(
    storage: &dyn Storage,
    content: &[u8],
) -> (Result<DecryptDone, OperationError>, usize) {
    let reporter = Witness::default();
    let vault = vault(storage, &reporter, "decrypt");
    let mut out = Prefix::of(content);
    let done = decrypt(&vault, ARCHIVE, &mut out, "a test");
    (done, out.taken)
}

/// A payload of 1 MiB, in memory under its name.
fn one_mib() -> (Damaged, Vec<u8>) {
    let content = noise(1 << 20);
    let inner = MemoryStorage::new();
    let bytes = sealed(&content);
    let mut archive = inner.create(ARCHIVE).unwrap();
    archive.write_all(&bytes).unwrap();
    archive.commit().unwrap();
    let damaged = Damaged {
        inner,
        archive: ARCHIVE.to_owned(),
        bytes: bytes.into(),
        damage: Damage::None,
    };
    (damaged, content)
}

#[test]
fn decrypt_gives_out_whole_chunks_before_the_damage_and_exit_4() {
    let (healthy, content) = one_mib();
    let len = healthy.bytes.len();
    let ends = (0..16).flat_map(|chunk| {
        let start = HEADS + chunk * SEALED_LEN;
        [
            start,
            start + CHUNK_LEN - 1,
            start + CHUNK_LEN,
            start + SEALED_LEN - 1,
        ]
    });
    let changed = ends.chain((HEADS..len).step_by(1_777));
    let changed = changed.map(|at| (Damage::Changed(at, 1 << (at % 8)), at));
    let behind_chunks = (1..16).map(|chunk| HEADS + chunk * SEALED_LEN);
    let cuts = behind_chunks.chain((0..len).step_by(3_331));
    let cuts = cuts.map(|len| (Damage::Cut(len), len));
    let mut cases = 0;
    for (damage, at) in changed.chain(cuts) {
        let damaged = Damaged {
            damage,
            ..healthy.clone()
        };
        let (done, out_bytes) = decrypted(&damaged, &content);
        let exit = done.map(drop).map_err(exit_code);
        assert_eq!(exit, Err(Exit::Integrity), "{damage:?}");
        assert_eq!(out_bytes % CHUNK_LEN, 0, "{damage:?}");
        let before = at.saturating_sub(HEADS) / SEALED_LEN * CHUNK_LEN;
        assert!(out_bytes <= before, "{damage:?}: {out_bytes} of {before}");
        cases += 1;
    }
    let (done, out_bytes) = decrypted(&healthy, &content);
    assert!(done.unwrap().unused_copy.is_none());
    assert_eq!(out_bytes, content.len());
    eprintln!("decrypt: {cases} of {cases} damages found");
}

#[test]
fn decrypt_by_one_header_copy_gives_all_and_names_the_other() {
    let (healthy, content) = one_mib();
    for bit in (0..8 * HEADS).step_by(257) {
        let damage = Damage::Changed(bit / 8, 1 << (bit % 8));
        let damaged = Damaged {
            damage,
            ..healthy.clone()
        };
        let (done, out_bytes) = decrypted(&damaged, &content);
        let unused = done.unwrap().unused_copy.expect("a damaged copy");
        let copy = [CopyName::A, CopyName::B][bit / 8 / HEADER_LEN];
        assert_eq!(unused.copy, copy, "bit {bit}");
        assert!(unused.is_damaged(), "bit {bit}");
        assert_eq!(out_bytes, content.len(), "bit {bit}");
    }
}

#[test]
fn decrypt_with_both_headers_damaged_gives_nothing_and_exit_4() {
    let (healthy, content) = one_mib();
    for n in 0..256 {
        let mut bytes = healthy.bytes.to_vec();
        bytes[n * 16] ^= 1;
        bytes[HEADER_LEN + n * 163 % HEADER_LEN] ^= 0x80;
        let damaged = Damaged {
            bytes: bytes.into(),
            ..healthy.clone()
        };
        let (done, out_bytes) = decrypted(&damaged, &content);
        let exit = done.map(drop).map_err(exit_code);
        assert_eq!((exit, out_bytes), (Err(Exit::Integrity), 0), "pair {n}");
    }
}

fn backup_of<'a>(catalog: &'a Catalog, specimen: &Specimen) -> &'a Backup {
    catalog
        .find(&specimen.archive, jiff::Timestamp::MAX, "here")
        .unwrap()
        .backup()
}

/// An archive of 1 MiB of kluis' own making, with its manifest.
#[test]
fn verify_and_restore_find_a_sample_of_it() {
    let specimen = Specimen::new(Encryption::Kluis1, 1 << 20);
    let healthy = specimen.damaged();
    let catalog = Catalog::load(&healthy, Trust::NoKey).unwrap();
    let backup = backup_of(&catalog, &specimen);
    let len = healthy.bytes.len();
    assert!(len > 1 << 20);
    let changed = (HEADS..len)
        .step_by(3_001)
        .map(|at| Damage::Changed(at, 0x10));
    let cuts = (0..len).step_by(9_001).map(Damage::Cut);
    for (n, damage) in changed.chain(cuts).enumerate() {
        let damaged = Damaged {
            damage,
            ..healthy.clone()
        };
        assert!(found(&verdict(&damaged, backup)), "{damage:?}");
        if n % 4 == 0 {
            let parent = tempfile::tempdir().unwrap();
            let result = restore_into(&damaged, backup, &parent.path().join("here"));
            let exit = result.map(drop).map_err(exit_code);
            assert_eq!(exit, Err(Exit::Integrity), "{damage:?}");
            let there = std::fs::read_dir(parent.path()).unwrap().count();
            assert_eq!(there, 0, "{damage:?}");
        }
    }
}

#[test]
fn by_one_header_copy_it_restores_whole_and_verify_reports_the_other() {
    let specimen = Specimen::new(Encryption::Kluis1, 100_000);
    let healthy = specimen.damaged();
    let catalog = Catalog::load(&healthy, Trust::NoKey).unwrap();
    let backup = backup_of(&catalog, &specimen);
    for at in (0..HEADS).step_by(61) {
        let damage = Damage::Changed(at, 1 << (at % 8));
        let damaged = Damaged {
            damage,
            ..healthy.clone()
        };
        let proven = verdict(&damaged, backup).unwrap();
        let copy = [CopyName::A, CopyName::B][at / HEADER_LEN];
        assert_eq!(proven.damage().map(|it| it.copy), Some(copy), "byte {at}");
        let parent = tempfile::tempdir().unwrap();
        let to = parent.path().join("here");
        let restored = restore_into(&damaged, backup, &to).unwrap();
        assert_eq!(restored.report.unused_copy, proven.unused_copy, "byte {at}");
        let content = std::fs::read(to.join("file")).unwrap();
        assert!(content == noise(100_000), "byte {at}");
    }
}

/// A backup in a home of its own, and its archive's path.
fn backed_up() -> (Home, std::path::PathBuf) {
    let home = Home::new();
    let tree = home.path("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("file"), noise(150_000)).unwrap();
    let made = home.json(&["backup", "source", text(&tree)]);
    let archive = home
        .storage()
        .join(made["backups"][0]["file"].as_str().unwrap());
    (home, archive)
}

fn said(output: &std::process::Output) -> (String, String) {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
    (out, err)
}

#[test]
fn the_binary_ends_with_4_and_leaves_nothing() {
    let (home, archive) = backed_up();
    let whole = std::fs::read(&archive).unwrap();
    let content = home.run(&["decrypt", text(&archive), "-o", "-"]).stdout;
    let len = whole.len();
    let changed = |places: &[usize]| {
        let mut bytes = whole.clone();
        places.iter().for_each(|&at| bytes[at] ^= 0x20);
        bytes
    };
    let cases = [
        ("the first byte of the payload", changed(&[HEADS])),
        ("a tag", changed(&[HEADS + CHUNK_LEN + 3])),
        ("the second chunk", changed(&[HEADS + SEALED_LEN + 9])),
        ("the last byte", changed(&[len - 1])),
        ("both magics", changed(&[0, HEADER_LEN])),
        ("both copies", changed(&[70, HEADER_LEN + 4000])),
        ("a byte cut off", whole[..len - 1].to_vec()),
        ("cut behind a chunk", whole[..HEADS + SEALED_LEN].to_vec()),
        ("cut in the headers", whole[..HEADER_LEN + 5].to_vec()),
        ("a byte more", [&whole[..], b"x"].concat()),
        (
            "the last chunk twice",
            [&whole[..], &whole[HEADS + 2 * SEALED_LEN..]].concat(),
        ),
        ("empty", Vec::new()),
    ];
    let (out_file, to) = (home.path("out"), home.path("restored"));
    for (case, bytes) in cases {
        std::fs::write(&archive, bytes).unwrap();
        let out = home.ends(4, &["decrypt", text(&archive), "-o", "-"]).stdout;
        assert_eq!(out.len() % CHUNK_LEN, 0, "{case}");
        assert!(content.starts_with(&out), "{case}");
        home.ends(4, &["decrypt", text(&archive), "-o", text(&out_file)]);
        home.ends(4, &["verify", "latest"]);
        home.ends(4, &["restore", "latest", "--to", text(&to)]);
        assert!(!out_file.exists() && !to.exists(), "{case}");
    }
}

#[test]
fn the_binary_restores_by_one_header_and_verify_ends_with_4() {
    let (home, archive) = backed_up();
    let whole = std::fs::read(&archive).unwrap();
    for (copy, at) in [("A", 70), ("B", HEADER_LEN + 70)] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&archive, &bytes).unwrap();
        for arguments in [&["verify", "latest"][..], &["verify", "--quick", "latest"]] {
            let (out, err) = said(&home.ends(4, arguments));
            let line = format!("one of the two copies of its header is damaged (copy {copy}: ");
            assert!(out.contains(&line), "{arguments:?}: {out}{err}");
            assert!(
                out.contains("ied, DAMAGED") || out.contains("ored, DAMAGED"),
                "{out}"
            );
            assert!(out.contains("kluis key repair "), "{out}");
            assert!(
                out.contains("1 of 1 backup, which still restores;"),
                "{out}"
            );
        }
        // It is no failed one: `list` and the retention count on it.
        let listed = home.json(&["list"]);
        assert_eq!(listed["backups"][0]["proof"], "verified");
        let told = said(&home.run(&["show", "latest"])).0;
        assert!(told.contains(&format!("(copy {copy}: ")), "{told}");
        // Nor is it done with: it is pending until it is repaired.
        home.ends(4, &["verify", "--pending"]);
        let to = home.path(&format!("restored by the other than {copy}"));
        let (_, warned) = said(&home.run(&["restore", "latest", "--to", text(&to)]));
        assert!(warned.contains(&format!("(copy {copy}: ")), "{warned}");
        assert!(std::fs::read(to.join("file")).unwrap() == noise(150_000));
        let (_, warned) = said(&home.run(&["decrypt", text(&archive), "-o", "-"]));
        assert!(warned.contains(&format!("(copy {copy}: ")), "{warned}");
    }
    std::fs::write(&archive, &whole).unwrap();
    home.run(&["verify", "latest"]);
    let told = said(&home.run(&["show", "latest"])).0;
    assert!(!told.contains("damaged"), "{told}");
}

/// Without the key nobody can say whether a header that is not as it was written
/// was rotated or damaged: found, but not written down as a failure.
#[test]
fn quick_without_a_key_tells_of_a_changed_header_and_marks_nothing() {
    let (home, archive) = backed_up();
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&archive, &bytes).unwrap();
    let mut verify = home.kluis(&["verify", "--quick", "latest"]);
    let output = verify.env_remove("BACKUP_ENCRYPTION_KEY_FILE").output();
    let output = output.unwrap();
    let (out, _) = said(&output);
    assert_eq!(output.status.code(), Some(4), "{out}");
    assert!(
        out.contains("its header was changed since it was written"),
        "{out}"
    );
    assert_eq!(home.json(&["list"])["backups"][0]["proof"], "stored");
}
