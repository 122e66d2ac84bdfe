//! The key of a manifest's seal, and no more: one copy of the header is enough for
//! it, because no change of keys touches the data key.

use super::{CopyName, HEADER_LEN, HeaderError, Opened, copy_bytes, open_among, open_copy};
use crate::format::keyring::Keyring;
use crate::format::keys::{SecretKey, equal_in_constant_time};

pub struct SealKey {
    pub manifest: SecretKey,
    /// What the header says of the content, checked.
    pub meta: Vec<u8>,
}

/// By copy A, the archive's first 4096 bytes; by copy B too where `head` has both.
/// Anybody can make a slot for a recipient, which stands in every header: where the
/// ring has a key that nobody else knows, only that one vouches.
pub fn seal_key(head: &[u8], ring: &Keyring) -> Result<SealKey, HeaderError> {
    let places = ring.vouching();
    let of_copy = |at: usize, copy: CopyName| {
        let found = head.len();
        let bytes = copy_bytes(head, at).ok_or(HeaderError::Truncated { found })?;
        let (header, keys) = open_copy(bytes, copy, ring, &places)?;
        Ok(SealKey {
            manifest: keys.manifest,
            meta: header.meta,
        })
    };
    match of_copy(0, CopyName::A) {
        Err(error) if head.len() > HEADER_LEN => {
            let by_b = of_copy(HEADER_LEN, CopyName::B);
            // Damage of one says less than what the other one wants.
            by_b.map_err(|of_b| match of_b {
                HeaderError::NoKey { .. } | HeaderError::TooCostly => of_b,
                _ => error,
            })
        }
        found => found,
    }
}

/// Whether the archive that was `opened` by its `head` is ours by itself, whatever
/// lies beside it: a key that nobody can write for who does not have it opens it, and
/// to the same data key, for its copies need not be of one. Where there is no such
/// key an identity must do, unless hosts sign.
pub fn vouches(head: &[u8], ring: &Keyring, opened: &Opened) -> bool {
    let tells = ring.has_secret() || ring.verifiers().is_empty();
    let by_ours = open_among(head, ring, &ring.vouching());
    let is_same = |ours: Opened| {
        let (ours, taken) = (ours.keys.data.expose(), opened.keys.data.expose());
        equal_in_constant_time(ours, taken)
    };
    tells && by_ours.is_ok_and(is_same)
}
