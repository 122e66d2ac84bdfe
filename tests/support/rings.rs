//! Keys for tests, and the changes of keys that they are used in.

use kluis::cancel::Cancel;
use kluis::catalog::{Backup, Catalog, Trust, read_whole};
use kluis::format::header::{self, Header, Opened};
use kluis::format::keyring::{KeyMaterial, Keyring, NamedKey};
use kluis::format::manifest::Codec;
use kluis::operations::{
    KeyChange, KeyOutcome, KeyPlan, KeysChanged, OperationError, Vault, change_keys,
};
use kluis::pipeline::{Opening, UnsealError, Unsealing, unseal};
use kluis::storage::{MemoryStorage, Storage};

use crate::support::in_process::{Witness, at, vault};

/// A key of 64 hex digits, all of one byte.
pub fn hex_key(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

/// What writes comes first, as it is configured.
pub fn ring(writers: &[&str], readers: &[&str]) -> Keyring {
    let keys = writers.iter().map(|text| (text, true));
    let keys = keys.chain(readers.iter().map(|text| (text, false)));
    Keyring::new(keys.map(|(text, writes)| named(text, writes)).collect())
}

pub fn named(text: &str, writes: bool) -> NamedKey {
    NamedKey {
        label: "a test".to_owned(),
        material: KeyMaterial::parse(text).unwrap(),
        writes,
    }
}

/// The keys of a command: those that are configured, and those of its flags.
pub struct Keys<'a> {
    pub writers: &'a [&'a str],
    pub readers: &'a [&'a str],
    pub flags: &'a [&'a str],
}

impl Keys<'_> {
    pub fn ring(&self) -> (Keyring, usize) {
        let mut ring = ring(self.writers, self.readers);
        let configured = ring.keys().len();
        for text in self.flags {
            ring.push(named(text, false));
        }
        (ring, configured)
    }
}

/// A storage of its own with the same objects.
pub fn copied(storage: &MemoryStorage) -> MemoryStorage {
    let copy = MemoryStorage::new();
    for prefix in ["", "runs/"] {
        for object in storage.list(prefix).unwrap() {
            let bytes = read_whole(storage, &object.key, u64::MAX).unwrap();
            copy.replace(&object.key, &bytes).unwrap();
        }
    }
    copy
}

/// Changes the keys of `backups`, all if there are none; the change is given the
/// places of the flags' keys.
pub fn change(
    storage: &dyn Storage,
    keys: &Keys<'_>,
    backups: &[&str],
    change: impl FnOnce(Vec<usize>) -> KeyChange,
) -> Result<KeysChanged, OperationError> {
    let reporter = Witness::default();
    let (ring, configured) = keys.ring();
    let places = (configured..ring.keys().len()).collect();
    let vault = Vault {
        ring,
        ..vault(storage, &reporter, "key rotate")
    };
    let plan = KeyPlan {
        backups: backups.iter().map(|&backup| backup.to_owned()).collect(),
        configured,
        accepts_unsealed: false,
        dry_run: false,
    };
    change_keys(&vault, &change(places), &plan, at(2_000))
}

/// `kluis key rotate --from` over the whole storage.
pub fn rotate(
    storage: &dyn Storage,
    writers: &[&str],
    from: &str,
) -> Result<KeysChanged, OperationError> {
    let keys = Keys {
        writers,
        readers: &[],
        flags: &[from],
    };
    change(storage, &keys, &[], |places| KeyChange::Rotate {
        from: places[0],
    })
}

/// How many archives came to each end: changed, already, other key, not KLUIS1,
/// failed or passed over.
pub fn counts(done: &KeysChanged) -> [usize; 5] {
    let mut counts = [0; 5];
    for row in &done.rows {
        counts[match row.outcome {
            KeyOutcome::Changed(_) | KeyOutcome::Resealed => 0,
            KeyOutcome::Already => 1,
            KeyOutcome::OtherKey(_) => 2,
            KeyOutcome::NotKluis1(_) => 3,
            KeyOutcome::Failed(_) | KeyOutcome::Unproven(_) => 4,
        }] += 1;
    }
    counts
}

/// Why the only archive of the change failed.
pub fn failure(done: &KeysChanged) -> String {
    match &done.rows[..] {
        [row] => match &row.outcome {
            KeyOutcome::Failed(error) => error.to_string(),
            other => panic!("{other:?}"),
        },
        rows => panic!("{} archives", rows.len()),
    }
}

pub fn head_of(storage: &dyn Storage, archive: &str) -> Vec<u8> {
    use std::io::Read;
    let mut head = Vec::new();
    let reader = storage.open(archive, 0).unwrap();
    reader
        .take(header::PAYLOAD_OFFSET)
        .read_to_end(&mut head)
        .unwrap();
    head
}

pub fn opened(storage: &dyn Storage, archive: &str, ring: &Keyring) -> Option<Opened> {
    header::open(&head_of(storage, archive), ring).ok()
}

/// The header that both copies hold, each under its HMAC.
pub fn healthy(storage: &dyn Storage, archive: &str, ring: &Keyring) -> Header {
    let opened = opened(storage, archive, ring).expect("it opens");
    assert!(opened.damaged_copy.is_none(), "{:?}", opened.damaged_copy);
    assert!(!opened.is_between);
    opened.header
}

/// What opens it, in the order of its slots.
pub fn names(header: &Header) -> Vec<String> {
    let slots = header.slots.iter();
    slots.map(|slot| slot.name().to_string()).collect()
}

/// Opened by the ring, its manifest's seal right, read to its last chunk. `false`
/// only where the ring does not open it.
pub fn is_whole(storage: &dyn Storage, backup: &Backup, ring: &Keyring) -> bool {
    let Some(opened) = opened(storage, &backup.archive, ring) else {
        return false;
    };
    let file = backup.file.as_ref().expect("a manifest");
    assert!(file.check_seal(&opened.keys.manifest).is_ok());
    let unsealing = Unsealing {
        opening: Opening::Kluis1 {
            payload_key: opened.keys.payload,
        },
        codec: Some(Codec::None),
        workers: 1,
        digests: true,
        told_bytes: None,
        cancel: Cancel::default(),
    };
    let stored = storage.open(&backup.archive, header::PAYLOAD_OFFSET);
    let drained = unseal(stored.unwrap(), unsealing, &|_| (), |content| {
        std::io::copy(content, &mut std::io::sink()).map_err(UnsealError::Foreign)
    });
    let sha256 = drained.unwrap().1.content_sha256;
    assert_eq!(sha256.as_ref(), Some(&file.manifest.content.sha256));
    true
}

/// The archives of the backups, sorted.
pub fn archives(storage: &dyn Storage) -> Vec<String> {
    let catalog = Catalog::load(storage, Trust::NoKey).unwrap();
    let mut names: Vec<String> = catalog.backups.iter().map(|b| b.archive.clone()).collect();
    names.sort();
    names
}
