//! Which archives may get a slot of a key. Whoever knows a recipient can make an
//! archive that opens by it, and knows its data key: a slot of a raw key or of a
//! passphrase would make that one ours, with whatever manifest he seals by it.
//!
//! Invariant: only this file makes a slot for an archive that is there, and it makes
//! one for what is [`Vouched`] alone.

use super::Target;
use crate::catalog::Unproven;
use crate::format::header::{self, HeaderError, Opened};
use crate::format::keyring::Keyring;
use crate::format::keys::SecretKey;
use crate::format::slots::Slot;
use crate::pipeline::{PassphraseSalt, new_slot};

/// For an archive that is written anew, sealed and signed by us: where hosts sign,
/// its manifest must be signed, and its content is then held against that; else it
/// must be ours by itself. Or the operator says so.
pub(super) fn prove_whole(
    ring: &Keyring,
    target: &Target,
    (is_vouched, key): (bool, Option<&SecretKey>),
    accepts_unsealed: bool,
) -> Result<(), Unproven> {
    let is_proven = match ring.verifiers().is_empty() {
        true => is_vouched,
        false => is_signed(ring, target, key),
    };
    match is_proven || accepts_unsealed {
        true => Ok(()),
        false if ring.verifiers().is_empty() => Err(Unproven::RecipientOnly),
        false => Err(Unproven::NotSigned),
    }
}

/// The manifest is signed, and sealed by the archive's key. Whoever made the archive
/// can seal another's signed manifest by that key, so alone this tells nothing of what
/// is in it.
fn is_signed(ring: &Keyring, target: &Target, key: Option<&SecretKey>) -> bool {
    let (Some(file), Some(key)) = (&target.file, key) else {
        return false;
    };
    file.check_seal(key).is_ok() && file.signature_holds(ring.verifiers())
}

/// An archive that is ours, or that the operator says is.
pub(super) struct Vouched<'a>(&'a Opened);

impl<'a> Vouched<'a> {
    pub fn of(
        ring: &Keyring,
        target: &Target,
        (head, opened): (&[u8], &'a Opened),
        accepts_unsealed: bool,
    ) -> Result<Self, Unproven> {
        // A slot of age's anybody can make, so there the signature is enough.
        let by_signature =
            || !ring.has_secret() && is_signed(ring, target, Some(&opened.keys.manifest));
        if header::vouches(head, ring, opened) || accepts_unsealed || by_signature() {
            return Ok(Self(opened));
        }
        Err(match ring.has_secret() {
            true => Unproven::RecipientOnly,
            false => Unproven::NotSigned,
        })
    }

    pub fn new_slot(
        &self,
        ring: &Keyring,
        index: usize,
        salt: &PassphraseSalt,
    ) -> Result<Slot, HeaderError> {
        let Opened { header, keys, .. } = self.0;
        let (slot, _) = new_slot(ring, index, header, &keys.data, salt)?;
        Ok(slot)
    }
}
