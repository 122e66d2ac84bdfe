//! What trying a header's slots tells: why none opened, and which salts are ours.

use super::{Header, HeaderError};
use crate::format::keyring::Keyring;
use crate::format::slots::Slot;

impl Header {
    /// Why none of the ring's keys opened it.
    pub(super) fn unopened(&self, ring: &Keyring, places: &[usize]) -> HeaderError {
        let at_hand = self.slots.iter().find_map(|slot| match slot {
            Slot::Raw { key_id, .. } => places
                .iter()
                .any(|index| ring.raw(*index, *key_id).is_some())
                .then_some(*key_id),
            Slot::Passphrase { .. } | Slot::Age { .. } => None,
        });
        let is_too_costly = |slot: &Slot| match slot {
            Slot::Passphrase {
                salt, iterations, ..
            } => places
                .iter()
                .any(|index| ring.is_too_costly(*index, salt, *iterations)),
            Slot::Raw { .. } | Slot::Age { .. } => false,
        };
        let names = self.slots.iter().map(|slot| slot.name().to_string());
        match at_hand {
            Some(id) => HeaderError::DamagedSlot(id),
            None if self.slots.iter().any(is_too_costly) => HeaderError::TooCostly,
            None => HeaderError::NoKey {
                wants: names.collect(),
            },
        }
    }

    /// The salts of the slots that a passphrase of the ring opens: nobody without
    /// it could have chosen them.
    pub fn passphrase_salts(&self, ring: &Keyring) -> Vec<[u8; 16]> {
        let opens = |slot: &Slot| {
            let mut places = 0..ring.keys().len();
            places.any(|index| {
                slot.unwrap(ring, index, &self.archive_id, &self.salt)
                    .is_some()
            })
        };
        let salt = |slot: &Slot| match slot {
            Slot::Passphrase { salt, .. } if opens(slot) => Some(*salt),
            _ => None,
        };
        self.slots.iter().filter_map(salt).collect()
    }
}
