//! Keys are exchanged by an archive's header alone: what that writes, what a
//! power cut in the middle of it leaves, and what is refused.

use std::io::{self, Read};
use std::time::Instant;

use kluis::catalog::{Catalog, Trust, read_whole};
use kluis::format::age::AgeIdentity;
use kluis::format::header::{CopyName, HEADER_LEN, PAYLOAD_OFFSET};
use kluis::format::manifest::Codec;
use kluis::operations::{
    BackupPlan, Depth, DroppedKey, Encryption, KeyChange, OperationError, Vault, VerifyDone,
    backup, verify,
};
use kluis::source::{Produced, Source};
use kluis::storage::{LocalStorage, MemoryStorage, Storage};

use crate::support::in_process::{Witness, at, back_up, plan, tree_of, vault};
use crate::support::rings::{
    Keys, archives, change, copied, counts, failure, head_of, healthy, hex_key, is_whole, names,
    opened, ring, rotate,
};
use crate::support::watched::{Reaches, Tear, Watched};

const NOBODY: u8 = 0xee;

/// `count` backups of a small tree, which the keys open.
fn filled(storage: &dyn Storage, count: i64, keys: &[&str]) {
    let tree = tree_of(3_000);
    let reporter = Witness::default();
    let vault = Vault {
        ring: ring(keys, &[]),
        ..vault(storage, &reporter, "backup source")
    };
    for hour in 0..count {
        back_up(&vault, tree.path(), Encryption::Kluis1, at(hour)).unwrap();
    }
}

/// One backup in memory, and its archive.
fn one(keys: &[&str]) -> (MemoryStorage, String) {
    let storage = MemoryStorage::new();
    filled(&storage, 1, keys);
    let archive = archives(&storage).remove(0);
    (storage, archive)
}

/// Everything that lies there, but the records.
fn content(storage: &dyn Storage) -> Vec<(String, Vec<u8>)> {
    let objects = storage.list("").unwrap().into_iter();
    objects
        .map(|object| {
            (
                object.key.clone(),
                read_whole(storage, &object.key, u64::MAX).unwrap(),
            )
        })
        .collect()
}

/// Zeros, so many: cheap to make, and large.
struct Zeros(u64);

impl Read for Zeros {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer
            .len()
            .min(usize::try_from(self.0).unwrap_or(usize::MAX));
        buffer[..count].fill(0);
        self.0 -= count as u64;
        Ok(count)
    }
}

impl Source for Zeros {
    fn finish(self: Box<Self>) -> Produced {
        Produced::Tree(kluis::format::manifest::TreeContent::default())
    }
}

fn filled_with_zeros(storage: &dyn Storage, count: i64, bytes: u64, key: &str) {
    let reporter = Witness::default();
    let vault = Vault {
        ring: ring(&[key], &[]),
        ..vault(storage, &reporter, "backup source")
    };
    let plan = BackupPlan {
        codec: Codec::None,
        ..plan("zeros", Encryption::Kluis1)
    };
    for number in 0..count {
        let now = at(1_000) + jiff::SignedDuration::from_mins(number);
        backup(&vault, &plan, now, || Ok(Box::new(Zeros(bytes)))).unwrap();
    }
}

/// Rotates all that lies there, and holds what that may write.
fn rotate_and_count(storage: impl Storage, number: usize, what: &str) {
    let (old, new) = (hex_key(1), hex_key(2));
    let payload_of = |storage: &dyn Storage, archive: &str| {
        let mut front = Vec::new();
        let reader = storage.open(archive, PAYLOAD_OFFSET).unwrap();
        reader.take(65_536).read_to_end(&mut front).unwrap();
        front
    };
    let all = archives(&storage);
    assert_eq!(all.len(), number);
    let payloads: Vec<_> = all.iter().map(|a| payload_of(&storage, a)).collect();
    let storage = Watched::new(storage);
    let begun = Instant::now();
    let done = rotate(&storage, &[&new], &old).unwrap();
    let took = begun.elapsed();
    assert_eq!(counts(&done), [number, 0, 0, 0, 0]);
    let written = storage.written();
    assert_eq!(written.over.len(), number);
    assert!(written.over.values().all(|bytes| *bytes == 8192));
    assert_eq!(done.written_bytes, 8192 * number as u64);
    assert_eq!(written.other_bytes(), 0, "{:?}", written.whole);
    let records = written.wholes;
    assert!(records <= 2 + number / 64, "{records} records");
    let journal = written.journal_bytes();
    assert!(journal <= 1024 * records as u64, "{journal} bytes");
    for (archive, payload) in all.iter().zip(payloads) {
        assert_eq!(payload_of(&storage.inner, archive), payload, "{archive}");
        let header = healthy(&storage.inner, archive, &ring(&[&new], &[]));
        assert_eq!(header.slots.len(), 1);
        assert!(opened(&storage.inner, archive, &ring(&[&old], &[])).is_none());
    }
    eprintln!(
        "{what}: {} bytes into {number} archives, 8192 each; {journal} bytes of journal in \
         {records} writes; {:.2} s",
        done.written_bytes,
        took.as_secs_f64()
    );
}

#[test]
fn a_rotation_writes_8_kib_an_archive_and_little_of_a_journal() {
    let storage = MemoryStorage::new();
    filled(&storage, 200, &[&hex_key(1)]);
    rotate_and_count(storage, 200, "small ones in memory");
    let storage = MemoryStorage::new();
    filled_with_zeros(&storage, 2, 64 << 20, &hex_key(1));
    rotate_and_count(storage, 2, "64 MiB in memory");
}

#[test]
#[ignore = "writes 21 GiB to the temporary directory; run it with --ignored where there is room"]
fn a_rotation_of_a_thousand_and_of_large_ones_on_disk_writes_8_kib_each() {
    for (count, bytes, what) in [
        (1_000, 1 << 20, "1,000 of 1 MiB"),
        (20, 1 << 30, "20 of 1 GiB"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let open = || LocalStorage::open(directory.path(), false).unwrap();
        filled_with_zeros(&open().unsynced(), count, bytes, &hex_key(1));
        let before = io_written();
        rotate_and_count(open(), count as usize, what);
        let after = io_written();
        eprintln!("{what}: the kernel counts {} bytes", after - before);
    }
}

/// Bytes that this process has caused to be written, by /proc/self/io.
fn io_written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

/// A header's copy is damaged before the change begins.
fn damage(storage: &MemoryStorage, archive: &str, copy: CopyName) {
    let at = copy.offset() + 100;
    let byte = head_of(storage, archive)[at as usize];
    storage
        .overwrite(archive, at, &[byte], &[byte ^ 1])
        .unwrap();
}

#[test]
fn a_write_that_is_cut_anywhere_leaves_an_archive_that_opens_and_the_next_run_heals() {
    let (old, new) = (hex_key(1), hex_key(2));
    let identity = AgeIdentity::generate();
    let recipient = identity.recipient().to_string();
    let (whole, archive) = one(&[&old, &recipient]);
    let both = || ring(&[&new], &[&old]);
    let mut tried = 0;
    for damaged in [None, Some(CopyName::A), Some(CopyName::B)] {
        for number in 0..2 {
            for at in (0..=HEADER_LEN).step_by(64) {
                for reaches in [Reaches::First(at), Reaches::AllBut(at)] {
                    let storage = copied(&whole);
                    if let Some(copy) = damaged {
                        damage(&storage, &archive, copy);
                    }
                    let torn = Watched::tearing(storage.clone(), Tear { number, reaches });
                    let case = format!("{damaged:?} damaged, write {number}, {reaches:?}");
                    let done = rotate(&torn, &[&new], &old).unwrap();
                    assert_eq!(counts(&done), [0, 0, 0, 0, 1], "{case}");
                    let catalog = Catalog::load(&storage, Trust::NoKey).unwrap();
                    assert!(is_whole(&storage, &catalog.backups[0], &both()), "{case}");

                    rotate(&storage, &[&new], &old).unwrap();
                    let header = healthy(&storage, &archive, &both());
                    let expected = [
                        format!("the age identity of {recipient}"),
                        names(&healthy(&one_of(&new), &archive, &both())).remove(0),
                    ];
                    assert_eq!(names(&header), expected, "{case}");
                    tried += 1;
                }
            }
        }
    }
    eprintln!("{tried} cuts, none loses the archive");
}

/// A storage of one archive under that key: its slot has the name that is wanted.
fn one_of(key: &str) -> MemoryStorage {
    static MADE: std::sync::OnceLock<MemoryStorage> = std::sync::OnceLock::new();
    MADE.get_or_init(|| one(&[key]).0).clone()
}

#[test]
fn a_host_that_only_knows_recipients_rotates_and_a_cut_one_is_taken_up() {
    let old = hex_key(1);
    let identity = AgeIdentity::generate();
    let recipient = identity.recipient().to_string();
    let (whole, archive) = one(&[&old]);
    let secret = identity.expose();
    for number in 0..2 {
        for at in (0..=HEADER_LEN).step_by(512) {
            let storage = copied(&whole);
            let reaches = Reaches::First(at);
            let torn = Watched::tearing(storage.clone(), Tear { number, reaches });
            rotate(&torn, &[&recipient], &old).unwrap();
            let some = ring(&[&old], &[secret.as_str()]);
            assert!(opened(&storage, &archive, &some).is_some());
            rotate(&storage, &[&recipient], &old).unwrap();
            // Of a second copy that was not written whole only the identity's
            // owner can tell.
            if number == 0 || at == HEADER_LEN {
                let header = healthy(&storage, &archive, &ring(&[], &[secret.as_str()]));
                assert_eq!(names(&header), [format!("the age identity of {recipient}")]);
            }
            let again = rotate(&storage, &[&recipient], &old).unwrap();
            assert_eq!(counts(&again), [0, 1, 0, 0, 0]);
        }
    }
}

#[test]
fn a_second_rotation_finds_nothing_to_do_and_a_wrong_key_changes_nothing() {
    let (old, new, wrong) = (hex_key(1), hex_key(2), hex_key(NOBODY));
    let storage = MemoryStorage::new();
    filled(&storage, 3, &[&old]);
    let before = content(&storage);
    let done = rotate(&storage, &[&new], &wrong).unwrap();
    assert_eq!(counts(&done), [0, 0, 3, 0, 0]);
    assert_eq!(content(&storage), before);
    assert_eq!(counts(&rotate(&storage, &[&new], &old).unwrap())[0], 3);
    let once = content(&storage);
    assert_eq!(counts(&rotate(&storage, &[&new], &old).unwrap())[1], 3);
    assert_eq!(content(&storage), once);
}

#[test]
fn a_rotation_to_the_key_itself_or_to_none_is_refused() {
    let old = hex_key(1);
    let (storage, _) = one(&[&old]);
    let usage = |writers: &[&str], from: &str| {
        let error = rotate(&storage, writers, from).unwrap_err();
        assert!(matches!(error, OperationError::Usage { .. }), "{error}");
        error.to_string()
    };
    assert!(usage(&[&old], &old).contains("still writes"));
    assert!(usage(&[], &old).contains("no writing key"));
    let identity = AgeIdentity::generate();
    let recipient = identity.recipient().to_string();
    assert!(usage(&[&recipient], &identity.expose()).contains("still writes"));
    assert!(usage(&[&old], &recipient).contains("opens nothing"));
}

#[test]
fn a_passphrase_is_exchanged_for_a_key_and_a_recovery_key_stays() {
    let new = hex_key(2);
    let recipient = AgeIdentity::generate().recipient().to_string();
    let storage = MemoryStorage::new();
    filled(&storage, 3, &["correct horse", &recipient]);
    let done = rotate(&storage, &[&new], "correct horse").unwrap();
    assert_eq!(counts(&done), [3, 0, 0, 0, 0]);
    for archive in archives(&storage) {
        let header = healthy(&storage, &archive, &ring(&[&new], &[]));
        assert_eq!(header.slots.len(), 2);
        assert!(names(&header)[0].contains(&recipient));
    }
    // And back: the new slots share the salt of the marker.
    rotate(&storage, &["battery staple"], &new).unwrap();
    let marker = kluis::operations::Marker::load(&storage).unwrap().unwrap();
    for archive in archives(&storage) {
        let header = healthy(&storage, &archive, &ring(&["battery staple"], &[]));
        let salt = header.slots.iter().find_map(|slot| match slot {
            kluis::format::slots::Slot::Passphrase { salt, .. } => Some(*salt),
            _ => None,
        });
        assert_eq!(salt, marker.salt());
    }
}

fn add(storage: &dyn Storage, configured: &str, keys: &[&str]) -> kluis::operations::KeysChanged {
    let keys = Keys {
        writers: &[configured],
        readers: &[],
        flags: keys,
    };
    change(storage, &keys, &[], |keys| KeyChange::Add { keys }).unwrap()
}

#[test]
fn a_key_is_added_once_however_often_it_is_asked_for() {
    let (mine, other) = (hex_key(1), hex_key(2));
    let recipient = AgeIdentity::generate().recipient().to_string();
    let (storage, archive) = one(&[&mine]);
    let done = add(
        &storage,
        &mine,
        &[&other, &recipient, &other, "a passphrase"],
    );
    assert_eq!(counts(&done), [1, 0, 0, 0, 0]);
    let once = content(&storage);
    let done = add(&storage, &mine, &[&other, &recipient, "a passphrase"]);
    assert_eq!(counts(&done), [0, 1, 0, 0, 0]);
    assert_eq!(content(&storage), once);
    for key in [&*mine, &*other, "a passphrase"] {
        let header = healthy(&storage, &archive, &ring(&[key], &[]));
        assert_eq!(header.generation, 2);
    }
}

#[test]
fn a_ninth_key_is_refused_and_says_how_many_there_are() {
    let mine = hex_key(1);
    let (storage, archive) = one(&[&mine]);
    let more: Vec<String> = (2..=8).map(hex_key).collect();
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    assert_eq!(counts(&add(&storage, &mine, &more))[0], 1);
    let full = content(&storage);
    let done = add(&storage, &mine, &[&hex_key(9)]);
    assert!(failure(&done).contains("9 key slots"), "{}", failure(&done));
    assert!(failure(&done).starts_with(&archive));
    assert_eq!(content(&storage), full);
}

/// Drops the flags' keys.
fn drop_keys(
    storage: &dyn Storage,
    configured: &str,
    keys: &[&str],
    force: bool,
) -> kluis::operations::KeysChanged {
    let keys = Keys {
        writers: &[configured],
        readers: &[],
        flags: keys,
    };
    let drop = |places: Vec<usize>| KeyChange::Drop {
        keys: places.into_iter().map(DroppedKey::Place).collect(),
        force,
    };
    change(storage, &keys, &[], drop).unwrap()
}

#[test]
fn the_last_key_is_never_dropped_and_the_only_configured_one_only_by_force() {
    let (mine, other) = (hex_key(1), hex_key(2));
    let (storage, archive) = one(&[&mine, &other]);
    let whole = content(&storage);
    let done = drop_keys(&storage, &mine, &[&mine, &other], true);
    assert!(failure(&done).contains("last key"), "{}", failure(&done));
    let done = drop_keys(&storage, &mine, &[&mine], false);
    let told = failure(&done);
    let left = names(&healthy(&storage, &archive, &ring(&[&mine], &[]))).remove(1);
    assert!(told.contains(&left) && told.contains("--force"), "{told}");
    assert_eq!(content(&storage), whole);

    let done = drop_keys(&storage, &mine, &[&hex_key(NOBODY)], false);
    assert_eq!(counts(&done), [0, 1, 0, 0, 0]);
    assert_eq!(counts(&drop_keys(&storage, &mine, &[&mine], true))[0], 1);
    assert!(opened(&storage, &archive, &ring(&[&mine], &[])).is_none());
    healthy(&storage, &archive, &ring(&[&other], &[]));
    let last = drop_keys(&storage, &other, &[&other], true);
    assert!(failure(&last).contains("last key"));
}

#[test]
fn a_key_that_is_not_here_is_dropped_by_its_id_or_recipient() {
    let (mine, gone) = (hex_key(1), hex_key(2));
    let recipient = AgeIdentity::generate().recipient().to_string();
    let (storage, archive) = one(&[&mine, &gone, &recipient]);
    let id = healthy(&storage, &archive, &ring(&[&gone], &[])).slots[1].name();
    let kluis::format::slots::SlotName::Key(id) = id else {
        panic!("{id}");
    };
    let keys = Keys {
        writers: &[&mine],
        readers: &[],
        flags: &[],
    };
    let done = change(&storage, &keys, &[], |_| KeyChange::Drop {
        keys: vec![DroppedKey::Id(id)],
        force: false,
    });
    assert_eq!(counts(&done.unwrap()), [1, 0, 0, 0, 0]);
    assert_eq!(
        counts(&drop_keys(&storage, &mine, &[&recipient], false))[0],
        1
    );
    let header = healthy(&storage, &archive, &ring(&[&mine], &[]));
    assert_eq!(header.slots.len(), 1);
}

#[test]
fn a_damaged_copy_is_made_whole_from_the_other() {
    let mine = hex_key(1);
    for copy in [CopyName::A, CopyName::B] {
        let (storage, archive) = one(&[&mine]);
        damage(&storage, &archive, copy);
        let keys = Keys {
            writers: &[&mine],
            readers: &[],
            flags: &[],
        };
        let done = change(&storage, &keys, &[&archive], |_| KeyChange::Repair).unwrap();
        assert_eq!(counts(&done), [1, 0, 0, 0, 0]);
        healthy(&storage, &archive, &ring(&[&mine], &[]));
    }
}

#[test]
fn an_archive_that_cannot_be_opened_does_not_stop_the_others() {
    let (old, new) = (hex_key(1), hex_key(2));
    let storage = MemoryStorage::new();
    filled(&storage, 3, &[&old]);
    let all = archives(&storage);
    for copy in [CopyName::A, CopyName::B] {
        damage(&storage, &all[1], copy);
    }
    // Neither does a manifest that cannot be read keep its archive from it.
    storage.replace(&format!("{}.json", all[2]), b"{").unwrap();
    let done = rotate(&storage, &[&new], &old).unwrap();
    assert_eq!(counts(&done), [2, 0, 0, 0, 1]);
    healthy(&storage, &all[0], &ring(&[&new], &[]));
    healthy(&storage, &all[2], &ring(&[&new], &[]));
    let records = storage.list("runs/").unwrap();
    let last = read_whole(&storage, &records.last().unwrap().key, u64::MAX).unwrap();
    let last: serde_json::Value = serde_json::from_slice(&last).unwrap();
    assert_eq!(last["status"], "FAILED");
    assert_eq!(last["error"], "1 of 3 archives failed");
    let detail = last["detail"].as_str().unwrap();
    assert!(detail.starts_with("from key ") && detail.contains(" to key "));
    assert!(!detail.contains(&old) && !detail.contains(&new));
}

/// `kluis verify --quick` of the only backup.
fn quick(storage: &dyn Storage, key: &str) -> Result<VerifyDone, OperationError> {
    let reporter = Witness::default();
    let vault = Vault {
        ring: ring(&[key], &[]),
        ..vault(storage, &reporter, "verify")
    };
    let catalog = Catalog::load(storage, Trust::NoKey).unwrap();
    let check = |_: &kluis::catalog::Backup| unreachable!("a quick check reads no content");
    verify(&vault, &catalog.backups[0], Depth::Quick, at(3_000), &check)
}

#[test]
fn the_quick_check_knows_a_rotated_header_from_a_damaged_one() {
    let (old, new, neither) = (hex_key(1), hex_key(2), hex_key(NOBODY));
    let (storage, archive) = one(&[&old]);
    rotate(&storage, &[&new], &old).unwrap();
    for key in [&new, &neither] {
        assert!(quick(&storage, key).unwrap().damage().is_none());
    }
    for copy in [CopyName::A, CopyName::B] {
        let damaged = copied(&storage);
        damage(&damaged, &archive, copy);
        assert!(quick(&damaged, &new).unwrap().damage().is_some());
        assert!(quick(&damaged, &neither).unwrap_err().is_integrity());
    }
    // Both copies alike, but not as the key's owner wrote them.
    let forged = copied(&storage);
    for copy in [CopyName::A, CopyName::B] {
        let at = copy.offset() + 4064;
        let was = &head_of(&forged, &archive)[at as usize..][..32];
        forged.overwrite(&archive, at, was, &[0; 32]).unwrap();
    }
    assert!(quick(&forged, &new).unwrap_err().is_integrity());
    // Without a key that opens it nothing tells it from a rotated one: that is said.
    for (storage, key, is_unopened) in [
        (&forged, &neither, true),
        (&storage, &neither, true),
        (&storage, &new, false),
    ] {
        let done = quick(storage, key).unwrap();
        let said = done.warnings.join("; ");
        assert_eq!(
            said.contains("no key here opened it"),
            is_unopened,
            "{said}"
        );
    }
    let payload = copied(&storage);
    let was = read_whole(&payload, &archive, u64::MAX).unwrap()[PAYLOAD_OFFSET as usize];
    payload
        .overwrite(&archive, PAYLOAD_OFFSET, &[was], &[0])
        .unwrap();
    for key in [&new, &neither] {
        assert!(quick(&payload, key).unwrap_err().is_integrity());
    }
}
