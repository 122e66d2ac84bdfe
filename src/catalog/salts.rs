//! Which passphrase salts are most likely the storage's own, where too much was
//! spent on others. Somebody who plants a handful of archives or records has as many
//! salts tried; what a storage really holds shares one.

use std::collections::HashMap;

use serde::Deserialize;

use super::{MARKER_BYTES_MAX, Trust, read_record, read_whole};
use crate::format::header::{self, PAYLOAD_OFFSET};
use crate::format::keyring::Keyring;
use crate::format::names::{ArchiveName, MARKER_KEY};
use crate::format::own_seal;
use crate::format::run_record::RunKey;
use crate::format::slots::Slot;
use crate::storage::{Storage, StoredObject};

type Salt = [u8; 16];

/// Of the archives, and of the records: each is one more derivation.
const SALTS_TRIED: usize = 4;
/// Objects of each kind that are looked at, evenly over all names.
const LOOKED_AT_MAX: usize = 5_000;

/// What `judge` says; asked once more where some salt was too costly to try, and one
/// that many here share was not known to be the storage's own.
pub fn with_common_salts<T, E>(
    storage: &dyn Storage,
    trust: Trust<'_>,
    mut judge: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let judged = judge()?;
    match trust {
        Trust::Ring(ring) if ring.has_refused() && prefer_common(storage, ring) => judge(),
        _ => Ok(judged),
    }
}

/// The passphrase slots of an archive that the operator named are tried, whatever others
/// have cost.
pub fn try_named(storage: &dyn Storage, ring: &Keyring, archive: &str) {
    let head = super::trust::read_start(storage, archive, PAYLOAD_OFFSET).ok();
    let header = head.and_then(|head| header::peek(&head).ok());
    for slot in header.into_iter().flat_map(|header| header.slots) {
        if let Slot::Passphrase {
            salt, iterations, ..
        } = slot
        {
            ring.name_slot(salt, iterations);
        }
    }
}

/// What cannot be read has no salt.
fn prefer_common(storage: &dyn Storage, ring: &Keyring) -> bool {
    let of_archives = most_shared(storage, "", |object| {
        ArchiveName::parse(&object.key).filter(|named| named.encrypted)?;
        let head = super::trust::read_start(storage, &object.key, PAYLOAD_OFFSET).ok()?;
        let slots = header::peek(&head).ok()?.slots;
        slots.iter().find_map(|slot| match slot {
            Slot::Passphrase { salt, .. } => Some(*salt),
            Slot::Raw { .. } | Slot::Age { .. } => None,
        })
    });
    let of_records = most_shared(storage, "runs/", |object| {
        RunKey::parse(&object.key)?;
        own_seal::salt_of(&read_record(storage, object).ok()?.seal?)
    });
    let of_marker = salt_of_marker(storage);
    let of_marker = ring.prefer(of_marker.as_slice());
    let of_archives = ring.prefer(&of_archives);
    ring.prefer(&of_records) || of_archives || of_marker
}

/// What new archives get, unless somebody has changed it.
fn salt_of_marker(storage: &dyn Storage) -> Option<Salt> {
    #[derive(Deserialize)]
    struct Marked {
        passphrase_salt: String,
    }
    let marker = read_whole(storage, MARKER_KEY, MARKER_BYTES_MAX).ok()?;
    let marked: Marked = serde_json::from_slice(&marker).ok()?;
    let mut salt = [0; 16];
    hex::decode_to_slice(&marked.passphrase_salt, &mut salt).ok()?;
    Some(salt)
}

/// Of `objects`, the most shared first.
fn most_shared(
    storage: &dyn Storage,
    prefix: &str,
    salt_of: impl Fn(&StoredObject) -> Option<Salt>,
) -> Vec<Salt> {
    let objects = storage.list(prefix).unwrap_or_default();
    let step = objects.len() / LOOKED_AT_MAX + 1;
    let mut counted: HashMap<Salt, usize> = HashMap::new();
    for salt in objects.iter().step_by(step).filter_map(salt_of) {
        *counted.entry(salt).or_default() += 1;
    }
    let mut counted: Vec<(Salt, usize)> = counted.into_iter().collect();
    counted.sort_by_key(|(salt, count)| (std::cmp::Reverse(*count), *salt));
    let salts = counted.into_iter().map(|(salt, _)| salt);
    salts.take(SALTS_TRIED).collect()
}
