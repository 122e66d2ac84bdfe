//! What `verify` makes of manifests and archives that were edited, swapped, or put
//! in the place of others, each whole in itself; and what nobody can find.

use std::collections::HashMap;

use kluis::catalog::{Catalog, Trust, read_whole};
use kluis::exit::{Exit, exit_of};
use kluis::format::keyring::{KeyMaterial, Keyring};
use kluis::format::keys::SecretKey;
use kluis::format::manifest::Manifest;
use kluis::format::manifest_file::{ManifestFile, SealedBy};
use kluis::format::names::manifest_key;
use kluis::operations::{Encryption, OperationError, Vault, VerifyDone};
use kluis::storage::{MemoryStorage, Storage};
use serde_json::Value;

use crate::support::in_process::{KEY, Witness, at, back_up, prove, tree_of, vault};

const PASSPHRASE: &str = "a passphrase of several words";
const HEADER_LEN: usize = 4096;
const HEADS: usize = 2 * HEADER_LEN;

/// An archive's name, its bytes and its manifest's.
#[derive(Clone)]
struct Pair {
    name: String,
    archive: Vec<u8>,
    manifest: Vec<u8>,
}

/// A storage with two backups of one tree, and what is put in their places.
struct House {
    storage: MemoryStorage,
    /// Of all that was written, so that each case begins with the same.
    pristine: HashMap<String, Vec<u8>>,
    /// One for all cases: a passphrase is derived once.
    ring: fn() -> Keyring,
    older: Pair,
    newer: Pair,
}

fn raw_ring() -> Keyring {
    Keyring::of(KeyMaterial::parse(KEY).unwrap())
}

fn passphrase_ring() -> Keyring {
    Keyring::of(KeyMaterial::parse(PASSPHRASE).unwrap())
}

fn other_ring() -> Keyring {
    Keyring::of(KeyMaterial::Raw(SecretKey::from_bytes([0x77; 32])))
}

fn vault_of<'a>(storage: &'a dyn Storage, reporter: &'a Witness, ring: Keyring) -> Vault<'a> {
    Vault {
        ring,
        ..vault(storage, reporter, "test")
    }
}

/// A backup at hour `hour` of a tree whose content depends on it.
fn made(storage: &MemoryStorage, ring: Keyring, encryption: Encryption, hour: i64) -> Pair {
    let reporter = Witness::default();
    let tree = tree_of(70_000 + usize::try_from(hour).unwrap());
    let vault = vault_of(storage, &reporter, ring);
    let done = back_up(&vault, tree.path(), encryption, at(hour)).unwrap();
    pair(storage, &done.manifest.stored.file)
}

fn pair(storage: &MemoryStorage, name: &str) -> Pair {
    Pair {
        name: name.to_owned(),
        archive: read_whole(storage, name, u64::MAX).unwrap(),
        manifest: read_whole(storage, &manifest_key(name), u64::MAX).unwrap(),
    }
}

impl House {
    fn new(ring: fn() -> Keyring, encryption: Encryption) -> Self {
        let storage = MemoryStorage::new();
        let older = made(&storage, ring(), encryption, 0);
        let newer = made(&storage, ring(), encryption, 1);
        let stored = storage.list("").unwrap().into_iter();
        let bytes = |key: String| (key.clone(), read_whole(&storage, &key, u64::MAX).unwrap());
        Self {
            pristine: stored.map(|object| bytes(object.key)).collect(),
            storage,
            ring,
            older,
            newer,
        }
    }

    /// As it was, whatever a case did to it.
    fn tidy(&self) {
        for object in self.storage.list("").unwrap() {
            if !self.pristine.contains_key(&object.key) {
                self.storage.remove(&object.key).unwrap();
            }
        }
        for (key, bytes) in &self.pristine {
            self.storage.replace(key, bytes).unwrap();
        }
    }

    fn put_archive(&self, name: &str, bytes: &[u8]) {
        self.storage.replace(name, bytes).unwrap();
    }

    fn put_manifest(&self, name: &str, bytes: &[u8]) {
        self.storage.replace(&manifest_key(name), bytes).unwrap();
    }

    fn verify(&self, name: &str) -> Result<VerifyDone, OperationError> {
        let catalog = Catalog::load(&self.storage, Trust::NoKey)?;
        let backup = catalog.find(name, jiff::Timestamp::MAX, "here")?.backup();
        let reporter = Witness::default();
        let mut vault = vault_of(&self.storage, &reporter, (self.ring)());
        vault.ours = false;
        prove(&vault, backup)
    }

    /// What `verify` of the newer one says, with exit 4.
    fn found(&self, case: &str) -> String {
        self.found_of(&self.newer.name, case)
    }

    fn found_of(&self, name: &str, case: &str) -> String {
        let error = match self.verify(name) {
            Ok(_) => panic!("{case}: not found"),
            Err(error) => error,
        };
        let said = error.to_string();
        let exit = exit_of(&anyhow::Error::new(error));
        assert_eq!(exit, Exit::Integrity, "{case}: {said}");
        said
    }
}

/// The manifest with a field changed, as kluis would have written it.
fn edited(manifest: &[u8], place: &str, value: Value) -> Vec<u8> {
    let text = std::str::from_utf8(manifest).unwrap();
    let file: Value = serde_json::from_slice(manifest).unwrap();
    let written = |document: &Value| {
        let manifest: Manifest = serde_json::from_value(document.clone()).unwrap();
        serde_json::to_string(&manifest).unwrap()
    };
    let mut changed = file["manifest"].clone();
    *changed.pointer_mut(place).unwrap() = value;
    let result = text.replace(&written(&file["manifest"]), &written(&changed));
    assert_ne!(result, text, "{place}");
    result.into_bytes()
}

/// One thing done to the newer backup of a house, and a word of what is said.
struct Case {
    name: &'static str,
    says: &'static str,
    act: fn(&House),
}

/// The house next door: another storage, under the same key.
fn foreign(house: &House) -> Pair {
    made(&MemoryStorage::new(), (house.ring)(), Encryption::Kluis1, 1)
}

const MANIFEST_CASES: &[Case] = &[
    Case {
        name: "a manifest edited",
        says: "its seal does not fit",
        act: |house| {
            let manifest = edited(&house.newer.manifest, "/host", "elsewhere".into());
            house.put_manifest(&house.newer.name, &manifest);
        },
    },
    Case {
        name: "a manifest edited and sealed anew under another key",
        says: "its seal does not fit",
        act: |house| {
            let mut manifest = ManifestFile::parse(&house.newer.manifest).unwrap().manifest;
            manifest.host = "elsewhere".to_owned();
            let key = SecretKey::from_bytes([1; 32]);
            let file = ManifestFile::seal(manifest, &SealedBy::Archive(&key), None).unwrap();
            house.put_manifest(&house.newer.name, &file.to_bytes().unwrap());
        },
    },
    Case {
        name: "a manifest without its seal",
        says: "its seal was removed",
        act: |house| {
            let manifest = ManifestFile::parse(&house.newer.manifest).unwrap().manifest;
            let file = ManifestFile::seal(manifest, &SealedBy::Nobody, None).unwrap();
            house.put_manifest(&house.newer.name, &file.to_bytes().unwrap());
        },
    },
    Case {
        name: "a manifest that says it is not encrypted",
        says: "its manifest says not encrypted, the archive is KLUIS1",
        act: |house| {
            let mut manifest = ManifestFile::parse(&house.newer.manifest).unwrap().manifest;
            manifest.encryption = None;
            let file = ManifestFile::seal(manifest, &SealedBy::Nobody, None).unwrap();
            house.put_manifest(&house.newer.name, &file.to_bytes().unwrap());
        },
    },
    Case {
        name: "an older manifest",
        says: "its manifest speaks of tree_source_2026-01-18T00-00-00",
        act: |house| house.put_manifest(&house.newer.name, &house.older.manifest),
    },
    Case {
        name: "an older manifest, edited to speak of the archive",
        says: "its seal does not fit",
        act: |house| {
            let name = house.newer.name.as_str();
            let manifest = edited(&house.older.manifest, "/stored/file", name.into());
            let created = at(1).to_string().into();
            house.put_manifest(name, &edited(&manifest, "/created_at", created));
        },
    },
    Case {
        name: "a foreign manifest of the same name",
        says: "its seal does not fit",
        act: |house| house.put_manifest(&house.newer.name, &foreign(house).manifest),
    },
];

const ARCHIVE_CASES: &[Case] = &[
    Case {
        name: "an older archive",
        says: "its seal does not fit",
        act: |house| house.put_archive(&house.newer.name, &house.older.archive),
    },
    Case {
        name: "an older archive, and no manifest",
        says: "it was renamed, or put in another's place",
        act: |house| {
            house.put_archive(&house.newer.name, &house.older.archive);
            let key = manifest_key(&house.newer.name);
            house.storage.remove(&key).unwrap();
        },
    },
    Case {
        name: "a foreign archive of the same name and time",
        says: "its seal does not fit",
        act: |house| house.put_archive(&house.newer.name, &foreign(house).archive),
    },
    Case {
        name: "a foreign archive under another key",
        says: "no configured key opens it; it wants key ",
        act: |house| {
            let storage = MemoryStorage::new();
            let other = made(&storage, other_ring(), Encryption::Kluis1, 1);
            house.put_archive(&house.newer.name, &other.archive);
        },
    },
    Case {
        name: "an archive that is not encrypted, in place of one that is",
        says: "its manifest says KLUIS1, and it does not begin like that",
        act: |house| {
            let storage = MemoryStorage::new();
            let plain = made(&storage, (house.ring)(), Encryption::None, 1);
            house.put_archive(&house.newer.name, &plain.archive);
        },
    },
    Case {
        name: "an archive of Kanbu's format, in place of one that is sealed",
        says: "its manifest says KLUIS1, the archive is kanbu",
        act: |house| {
            let storage = MemoryStorage::new();
            let kanbu = made(&storage, (house.ring)(), Encryption::Kanbu, 1);
            house.put_archive(&house.newer.name, &kanbu.archive);
        },
    },
    Case {
        name: "the headers of an older archive",
        says: "its seal does not fit",
        act: |house| {
            let headers = &house.older.archive[..HEADS];
            let spliced = [headers, &house.newer.archive[HEADS..]].concat();
            house.put_archive(&house.newer.name, &spliced);
        },
    },
    Case {
        name: "one header copy of an older archive",
        says: "its two copies are of different archives",
        act: |house| {
            let mut spliced = house.newer.archive.clone();
            spliced[HEADER_LEN..HEADS].copy_from_slice(&house.older.archive[HEADER_LEN..HEADS]);
            house.put_archive(&house.newer.name, &spliced);
        },
    },
    Case {
        name: "the payload of an older archive",
        says: "is damaged",
        act: |house| {
            let payload = &house.older.archive[HEADS..];
            let mut spliced = [&house.newer.archive[..HEADS], payload].concat();
            // A longer one is told apart before it is read.
            spliced.truncate(house.newer.archive.len());
            house.put_archive(&house.newer.name, &spliced);
        },
    },
    Case {
        name: "an archive emptied",
        says: "",
        act: |house| house.put_archive(&house.newer.name, b""),
    },
    Case {
        name: "an archive gone",
        says: "the archive is gone",
        act: |house| house.storage.remove(&house.newer.name).unwrap(),
    },
];

const PAIR_CASES: &[Case] = &[
    Case {
        name: "an older pair under the newer's name",
        says: "its manifest speaks of tree_source_2026-01-18T00-00-00",
        act: |house| {
            house.put_archive(&house.newer.name, &house.older.archive);
            house.put_manifest(&house.newer.name, &house.older.manifest);
        },
    },
    Case {
        name: "an older pair whose manifest is edited to speak of the newer's name",
        says: "its name and its manifest describe different backups",
        act: |house| {
            let name = house.newer.name.as_str();
            house.put_archive(name, &house.older.archive);
            let manifest = edited(&house.older.manifest, "/stored/file", name.into());
            house.put_manifest(name, &manifest);
        },
    },
    Case {
        name: "an older pair whose manifest is edited to speak of the newer's name and time",
        says: "its seal does not fit",
        act: |house| {
            let name = house.newer.name.as_str();
            house.put_archive(name, &house.older.archive);
            let manifest = edited(&house.older.manifest, "/stored/file", name.into());
            let created = at(1).to_string().into();
            house.put_manifest(name, &edited(&manifest, "/created_at", created));
        },
    },
    Case {
        name: "a foreign pair under another key",
        says: "no configured key opens it; it wants key ",
        act: |house| {
            let storage = MemoryStorage::new();
            let other = made(&storage, other_ring(), Encryption::Kluis1, 1);
            house.put_archive(&house.newer.name, &other.archive);
            house.put_manifest(&house.newer.name, &other.manifest);
        },
    },
];

fn each_is_found(ring: fn() -> Keyring) {
    let house = House::new(ring, Encryption::Kluis1);
    let cases = [MANIFEST_CASES, ARCHIVE_CASES, PAIR_CASES]
        .into_iter()
        .flatten();
    for case in cases {
        house.tidy();
        (case.act)(&house);
        let said = house.found(case.name);
        assert!(said.contains(case.says), "{}: {said}", case.name);
        // And only there: the other backup is as right as before.
        house.verify(&house.older.name).unwrap();
    }
    house.tidy();
    house.verify(&house.newer.name).unwrap();
}

#[test]
fn under_a_raw_key_each_exchange_is_found() {
    each_is_found(raw_ring);
}

#[test]
fn under_a_passphrase_each_exchange_is_found() {
    each_is_found(passphrase_ring);
}

#[test]
fn what_was_swapped_is_found_on_both_sides() {
    for encryption in [Encryption::Kluis1, Encryption::Kanbu, Encryption::None] {
        let house = House::new(raw_ring, encryption);
        let (newer, older) = (&house.newer, &house.older);
        let both = |case: &str| {
            for name in [&newer.name, &older.name] {
                house.found_of(name, &format!("{encryption:?}, {case}"));
            }
            house.tidy();
        };
        house.put_manifest(&newer.name, &older.manifest);
        house.put_manifest(&older.name, &newer.manifest);
        both("two manifests");
        house.put_archive(&newer.name, &older.archive);
        house.put_archive(&older.name, &newer.archive);
        both("two archives");
        house.put_archive(&newer.name, &older.archive);
        house.put_archive(&older.name, &newer.archive);
        house.put_manifest(&newer.name, &older.manifest);
        house.put_manifest(&older.name, &newer.manifest);
        both("two pairs");
    }
}

#[test]
fn without_a_seal_an_exchange_by_what_is_not_its_own_is_found_too() {
    for encryption in [Encryption::Kanbu, Encryption::None] {
        let house = House::new(raw_ring, encryption);
        let name = &house.newer.name;
        let case = |what: &str| format!("{encryption:?}, {what}");
        house.put_manifest(name, &house.older.manifest);
        house.found(&case("an older manifest"));
        house.tidy();
        house.put_archive(name, &house.older.archive);
        house.found(&case("an older archive"));
        house.put_manifest(name, &house.older.manifest);
        house.found(&case("an older pair"));
        house.tidy();
        house.put_archive(name, b"");
        house.found(&case("an archive emptied"));
        house.storage.remove(name).unwrap();
        house.found(&case("an archive gone"));
    }
}

/// Names of another tree, another time, another kind, and of no backup at all.
const OTHER_NAMES: [&str; 4] = [
    "other_source_2026-01-18T01-00-00.tar.gz.enc",
    "tree_source_2026-01-19T01-00-00.tar.gz.enc",
    "tree_backup_2026-01-18T01-00-00.sql.gz.enc",
    "copy.enc",
];

#[test]
fn a_pair_under_another_name_is_found() {
    for ring in [raw_ring, passphrase_ring] {
        let house = House::new(ring, Encryption::Kluis1);
        for name in OTHER_NAMES {
            house.put_archive(name, &house.newer.archive);
            house.put_manifest(name, &house.newer.manifest);
            let said = house.found_of(name, name);
            assert!(said.contains("its manifest speaks of"), "{name}: {said}");
        }
    }
}

/// The header knows what it is.
#[test]
fn an_archive_alone_is_held_against_its_name() {
    let house = House::new(raw_ring, Encryption::Kluis1);
    for name in &OTHER_NAMES[..3] {
        house.put_archive(name, &house.newer.archive);
        let said = house.found_of(name, name);
        assert!(said.contains("it was renamed"), "{name}: {said}");
    }
    let second_copy = "tree_source_2026-01-18T01-00-00-2.tar.gz.enc";
    house.put_archive(second_copy, &house.newer.archive);
    house.verify(second_copy).unwrap();
}

// What cannot be found. Each of these is in the documentation, and stands here so
// that nobody believes otherwise.

#[test]
fn not_found_a_backup_that_was_deleted_with_its_manifest() {
    let house = House::new(raw_ring, Encryption::Kluis1);
    let manifest = manifest_key(&house.newer.name);
    house.storage.remove(&house.newer.name).unwrap();
    house.storage.remove(&manifest).unwrap();
    let catalog = Catalog::load(&house.storage, Trust::NoKey).unwrap();
    assert_eq!(catalog.backups.len(), 1);
    house.verify(&house.older.name).unwrap();
}

#[test]
fn not_found_a_storage_that_was_rolled_back_as_a_whole() {
    let storage = MemoryStorage::new();
    made(&storage, raw_ring(), Encryption::Kluis1, 0);
    let keys = storage.list("").unwrap().into_iter().map(|it| it.key);
    let then: Vec<_> = keys
        .map(|key| (read_whole(&storage, &key, u64::MAX).unwrap(), key))
        .collect();
    made(&storage, raw_ring(), Encryption::Kluis1, 1);
    for object in storage.list("").unwrap() {
        storage.remove(&object.key).unwrap();
    }
    for (bytes, key) in &then {
        storage.replace(key, bytes).unwrap();
    }
    let reporter = Witness::default();
    let vault = vault(&storage, &reporter, "verify");
    let catalog = Catalog::load(&storage, Trust::NoKey).unwrap();
    let backups: Vec<_> = catalog.backups.iter().map(|it| prove(&vault, it)).collect();
    assert_eq!(backups.len(), 1);
    backups[0].as_ref().unwrap();
}

/// Whoever has no key can make such a pair; whoever looks has nothing to tell it by.
#[test]
fn not_found_an_unencrypted_archive_that_was_exchanged_with_its_manifest() {
    let house = House::new(raw_ring, Encryption::None);
    let forged = made(&MemoryStorage::new(), raw_ring(), Encryption::None, 1);
    assert_eq!(forged.name, house.newer.name);
    let manifest = edited(&forged.manifest, "/host", "forged".into());
    house.put_archive(&forged.name, &forged.archive);
    house.put_manifest(&forged.name, &manifest);
    house.verify(&forged.name).unwrap();
}

/// Two storages under one key, with a backup of one name from the same second.
#[test]
fn not_found_a_whole_pair_of_another_storage_under_the_same_key() {
    let house = House::new(raw_ring, Encryption::Kluis1);
    let other = foreign(&house);
    assert_eq!(other.name, house.newer.name);
    assert_ne!(other.archive, house.newer.archive);
    house.put_archive(&other.name, &other.archive);
    house.put_manifest(&other.name, &other.manifest);
    house.verify(&other.name).unwrap();
}

/// It is what changes while a backup lives: the manifest's seal does not cover it.
#[test]
fn not_found_an_edited_state() {
    let house = House::new(raw_ring, Encryption::Kluis1);
    let mut file = ManifestFile::parse(&house.newer.manifest).unwrap();
    file.state.pinned = true;
    let bytes = file.to_bytes().unwrap();
    house.put_manifest(&house.newer.name, &bytes);
    house.verify(&house.newer.name).unwrap();
}

/// Without its manifest an archive is held against its name alone.
#[test]
fn not_found_a_foreign_archive_of_the_same_name_and_time_without_manifests() {
    let house = House::new(raw_ring, Encryption::Kluis1);
    let other = foreign(&house);
    let manifest = manifest_key(&house.newer.name);
    house.storage.remove(&manifest).unwrap();
    house.put_archive(&other.name, &other.archive);
    house.verify(&other.name).unwrap();
}
