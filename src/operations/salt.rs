//! The salt of new passphrase slots. The storage's marker names one, and whoever
//! can write there can name another, to have passphrases tried beforehand: so the
//! archives are asked, whose slots only the passphrase itself can have made.

use jiff::Timestamp;

use super::read::read_head;
use super::{Marker, OperationError, Vault};
use crate::catalog::{Trust, with_common_salts};
use crate::format::header;
use crate::format::keyring::Keyring;
use crate::format::names::ArchiveName;
use crate::pipeline::PassphraseSalt;
use crate::storage::Storage;

/// Newest archives that one of our keys opens: so many are asked.
const ARCHIVES_ASKED: usize = 8;
/// Newest archives of anybody.
const ARCHIVES_LOOKED_AT: usize = 5_000;

impl Vault<'_> {
    /// The salt that the storage's archives have, else the marker's.
    pub(super) fn passphrase_salt(
        &self,
        marker: &Marker,
    ) -> Result<PassphraseSalt, OperationError> {
        salt(self.storage, &self.ring, marker, |text| {
            self.reporter.warn(text);
        })
    }

    /// [`Vault::passphrase_salt`] for seals, which do without where it is not known.
    pub(super) fn seal_salt(&self) -> Option<PassphraseSalt> {
        seal_salt(self.storage, &self.ring, |text| self.reporter.warn(text))
    }
}

/// [`Vault::seal_salt`] where there is no vault.
pub(super) fn seal_salt(
    storage: &dyn Storage,
    ring: &Keyring,
    warn: impl FnOnce(&str),
) -> Option<PassphraseSalt> {
    if !ring.has_passphrase() {
        return None;
    }
    let marker = Marker::load(storage).ok().flatten()?;
    salt(storage, ring, &marker, warn).ok()
}

fn salt(
    storage: &dyn Storage,
    ring: &Keyring,
    marker: &Marker,
    warn: impl FnOnce(&str),
) -> Result<PassphraseSalt, OperationError> {
    ring.salt_or(|| {
        let told = marker.salt().ok_or_else(|| OperationError::Usage {
            what: "the storage's marker kluis.json has no valid passphrase salt".to_owned(),
        })?;
        if !ring.has_passphrase() {
            return Ok(told);
        }
        let known = salts_of_archives(storage, ring)?;
        match known.first() {
            Some(of_newest) if !known.contains(&told) => {
                warn(
                    "the passphrase salt in kluis.json is not that of the archives: somebody \
                     changed it; the archives' own is used",
                );
                Ok(*of_newest)
            }
            _ => Ok(told),
        }
    })
}

/// The newest archive's first. Those that open with none of our keys are passed over:
/// whoever writes to the storage can make as many newer ones as he likes.
fn salts_of_archives(
    storage: &dyn Storage,
    ring: &Keyring,
) -> Result<Vec<PassphraseSalt>, OperationError> {
    let objects = storage.list("")?.into_iter();
    let named = objects.filter_map(|object| {
        let named = ArchiveName::parse(&object.key).filter(|named| named.encrypted)?;
        Some((named.created, object.key))
    });
    let mut named: Vec<_> = named.collect();
    named.sort();
    named.reverse();
    named.truncate(ARCHIVES_LOOKED_AT);
    with_common_salts(storage, Trust::of(ring), || salts_of(&named, storage, ring))
}

fn salts_of(
    newest_first: &[(Timestamp, String)],
    storage: &dyn Storage,
    ring: &Keyring,
) -> Result<Vec<PassphraseSalt>, OperationError> {
    let (mut salts, mut opened) = (Vec::new(), 0);
    for (_, archive) in newest_first {
        // Nor may one that cannot be read keep a backup from being made.
        let head = read_head(storage, archive).ok();
        if let Some(header) = head.and_then(|head| header::open(&head, ring).ok()) {
            salts.extend(header.header.passphrase_salts(ring));
            opened += 1;
        }
        if opened == ARCHIVES_ASKED {
            break;
        }
    }
    Ok(salts)
}
