//! Seals under the configured keys themselves, for what has no key of its own:
//! the manifest of an archive that is not KLUIS1, its state, and the record of a
//! run. They tell what a kluis with our key wrote from what anybody put there.
//!
//! A seal is 64 hex digits; one by a passphrase has a dot and the salt behind it,
//! 32 hex digits. The salt is no secret, and whoever changes it breaks the seal.

use super::keyring::{KeyMaterial, Keyring, Purse};
use super::keys::{
    PASSPHRASE_ITERATIONS, SecretKey, equal_in_constant_time, hmac_sha256, sealing_key,
};

/// What is sealed: a seal of one kind is none of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    Manifest,
    Record,
    /// What changes beside a manifest.
    State,
}

impl Sealed {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Manifest => b"kluis/1 manifest of a foreign archive",
            Self::Record => b"kluis/1 run record",
            Self::State => b"kluis/1 state of a manifest",
        }
    }
}

/// The seal of `bytes` by the first key that writes, or else by the first that
/// opens. `None` where the ring has no secret, such as one of recipients only.
/// `salt` is the storage's, for a passphrase.
pub fn seal(ring: &Keyring, what: Sealed, bytes: &[u8], salt: Option<&[u8; 16]>) -> Option<String> {
    let writers = ring.writers().map(|(index, _)| index);
    let places = writers.chain(0..ring.keys().len());
    let mut keys = places.filter_map(|index| match &ring.keys().get(index)?.material {
        KeyMaterial::Passphrase(_) => {
            let key = ring.passphrase_key(index, salt?, PASSPHRASE_ITERATIONS)?;
            Some((sealing_key(key.expose(), what.label()), salt))
        }
        _ => Some((secret(ring, index, what)?, None)),
    });
    let signer = || ring.signer().map(|it| (it.sealing_key(what.label()), None));
    let (key, salt) = keys.next().or_else(signer)?;
    let mac = hex::encode(hmac_sha256(key.expose(), &[bytes]));
    Some(match salt {
        Some(salt) => format!("{mac}.{}", hex::encode(salt)),
        None => mac,
    })
}

/// Whether a key of the ring made that seal of `bytes`.
pub fn holds(ring: &Keyring, what: Sealed, bytes: &[u8], seal: &str) -> bool {
    let (mac, salt) = match seal.split_once('.') {
        Some((mac, salt)) => (mac, Some(salt)),
        None => (seal, None),
    };
    let Ok(mac) = hex::decode(mac) else {
        return false;
    };
    let fits = |key: &SecretKey| {
        let expected = hmac_sha256(key.expose(), &[bytes]);
        equal_in_constant_time(&expected, &mac)
    };
    let mut places = 0..ring.keys().len();
    let Some(salt) = salt else {
        let of_key = places.any(|index| secret(ring, index, what).is_some_and(|key| fits(&key)));
        let signer = ring.signer().map(|it| it.sealing_key(what.label()));
        return of_key || signer.is_some_and(|key| fits(&key));
    };
    let Some(salt) = salt_in_hex(salt) else {
        return false;
    };
    let purse = match what {
        Sealed::Manifest | Sealed::State => Purse::Archives,
        Sealed::Record => Purse::Records,
    };
    places.any(|index| {
        let tried = ring.try_passphrase(index, &salt, PASSPHRASE_ITERATIONS, purse);
        let Some(key) = tried else {
            return false;
        };
        let right = fits(&sealing_key(key.expose(), what.label()));
        if right {
            ring.opened_something(&salt, PASSPHRASE_ITERATIONS);
        }
        right
    })
}

/// The salt that a passphrase's seal says it was made with.
pub fn salt_of(seal: &str) -> Option<[u8; 16]> {
    salt_in_hex(seal.split_once('.')?.1)
}

fn salt_in_hex(text: &str) -> Option<[u8; 16]> {
    let mut salt = [0; 16];
    hex::decode_to_slice(text, &mut salt).ok()?;
    Some(salt)
}

/// The sealing key of the ring's key of that place; `None` for a passphrase,
/// which takes a salt, and for a recipient, which is no secret.
fn secret(ring: &Keyring, index: usize, what: Sealed) -> Option<SecretKey> {
    match &ring.keys().get(index)?.material {
        KeyMaterial::Raw(key) => Some(sealing_key(key.expose(), what.label())),
        KeyMaterial::Identity(identity) => {
            Some(sealing_key(identity.expose().as_bytes(), what.label()))
        }
        KeyMaterial::Passphrase(_) | KeyMaterial::Recipient(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(text: &str) -> Keyring {
        Keyring::of(KeyMaterial::parse(text).unwrap())
    }

    #[test]
    fn a_seal_is_one_of_its_key_its_kind_and_its_bytes() {
        let identity = crate::format::age::AgeIdentity::generate().expose();
        for text in [&"ab".repeat(32), "correct horse", &*identity] {
            let ring = ring(text);
            let seal = seal(&ring, Sealed::Record, b"x", Some(&[7; 16])).unwrap();
            assert!(holds(&ring, Sealed::Record, b"x", &seal), "{seal}");
            assert!(!holds(&ring, Sealed::Record, b"y", &seal));
            assert!(!holds(&ring, Sealed::Manifest, b"x", &seal));
            let other = self::ring(&"cd".repeat(32));
            assert!(!holds(&other, Sealed::Record, b"x", &seal));
        }
    }

    #[test]
    fn who_only_writes_for_others_seals_nothing() {
        let recipient = crate::format::age::AgeIdentity::generate().recipient();
        let ring = Keyring::of(KeyMaterial::Recipient(recipient));
        assert_eq!(seal(&ring, Sealed::Record, b"x", Some(&[7; 16])), None);
        for seal in ["", ".", "zz", &"00".repeat(32)] {
            assert!(!holds(&ring, Sealed::Record, b"x", seal), "{seal}");
        }
    }
}
