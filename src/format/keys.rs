//! Keys: what opens an archive. Owns their parsing, ids and derivation; where
//! they come from is `secrets`' business. Nothing here prints or clones a key:
//! key types have no `Debug` and no `Clone`, and are zeroized when dropped.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// PBKDF2 rounds written into new passphrase slots.
pub const PASSPHRASE_ITERATIONS: u32 = 600_000;
/// PBKDF2 rounds accepted from an archive: fewer are unsafe, more would let a
/// hostile archive keep the reader busy for hours.
pub const ITERATIONS_ACCEPTED: std::ops::RangeInclusive<u32> = 100_000..=10_000_000;

/// 32 secret bytes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes themselves, for a cipher. Never for a message.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// First 8 bytes of HMAC-SHA256(key, "kluis/1 key id"): tells keys apart
    /// without telling anything about them.
    pub fn id(&self) -> KeyId {
        let tag = hmac_sha256(&self.0, &[b"kluis/1 key id"]);
        let mut id = [0; 8];
        id.copy_from_slice(&tag[..8]);
        KeyId(id)
    }

    /// HKDF-Expand (RFC 5869) to 32 bytes, with this key as the PRK.
    pub(crate) fn expand(&self, info: &[&[u8]]) -> SecretKey {
        let mut okm = [0; 32];
        // 32 bytes are one SHA-256 block: neither length can be refused.
        if let Ok(prk) = Hkdf::<Sha256>::from_prk(&self.0) {
            let _ = prk.expand_multi_info(info, &mut okm);
        }
        let key = SecretKey(okm);
        okm.zeroize();
        key
    }
}

/// HKDF-Extract (RFC 5869): the PRK that every key of an archive expands from.
pub(crate) fn extract(salt: &[u8], data_key: &SecretKey) -> SecretKey {
    SecretKey(hmac_sha256(salt, &[data_key.expose()]))
}

pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes a key of any length; the fallback keeps the types honest.
    let mut mac = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => return [0; 32],
    };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

pub(crate) fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Names a key: 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What an operator configures: 64 hex digits are a key, anything else is a
/// passphrase.
pub enum KeyMaterial {
    Raw(SecretKey),
    Passphrase(Zeroizing<String>),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the encryption key is empty; set 64 hex digits or a passphrase")]
    Empty,
}

impl KeyMaterial {
    /// Takes the text as it is, without trimming.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        Ok(match hex::decode_to_slice(text, bytes.as_mut()) {
            Ok(()) => Self::Raw(SecretKey(*bytes)),
            Err(_) => Self::Passphrase(Zeroizing::new(text.to_owned())),
        })
    }
}

/// Derives the key of a passphrase slot: PBKDF2-HMAC-SHA256. Takes a good part
/// of a second on purpose.
pub fn derive_passphrase_key(passphrase: &str, salt: &[u8], iterations: u32) -> SecretKey {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.as_bytes(), salt, iterations, key.as_mut());
    SecretKey(*key)
}

/// The keys a run may open archives with. Passphrase keys are derived once for
/// each salt and kept: a storage has one salt, and 10,000 archives.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<KeyMaterial>,
    derived: Mutex<Vec<Derived>>,
}

struct Derived {
    passphrase_index: usize,
    salt: [u8; 16],
    iterations: u32,
    key: Arc<SecretKey>,
}

impl Keyring {
    pub fn new(keys: Vec<KeyMaterial>) -> Self {
        Self {
            keys,
            derived: Mutex::default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// In the order of configuration; the first is the one to write with.
    pub fn materials(&self) -> &[KeyMaterial] {
        &self.keys
    }

    pub fn raw(&self, id: KeyId) -> Option<&SecretKey> {
        self.keys.iter().find_map(|key| match key {
            KeyMaterial::Raw(key) if key.id() == id => Some(key),
            _ => None,
        })
    }

    /// Every configured passphrase's key for this salt.
    pub fn passphrase_keys(&self, salt: &[u8; 16], iterations: u32) -> Vec<Arc<SecretKey>> {
        let passphrases = self
            .keys
            .iter()
            .enumerate()
            .filter_map(|(i, key)| match key {
                KeyMaterial::Passphrase(text) => Some((i, text)),
                KeyMaterial::Raw(_) => None,
            });
        passphrases
            .map(|(index, text)| self.derive_once(index, text, salt, iterations))
            .collect()
    }

    fn derive_once(
        &self,
        passphrase_index: usize,
        passphrase: &str,
        salt: &[u8; 16],
        iterations: u32,
    ) -> Arc<SecretKey> {
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let known = derived.iter().find(|d| {
            d.passphrase_index == passphrase_index && d.salt == *salt && d.iterations == iterations
        });
        if let Some(known) = known {
            return Arc::clone(&known.key);
        }
        let key = Arc::new(derive_passphrase_key(passphrase, salt, iterations));
        derived.push(Derived {
            passphrase_index,
            salt: *salt,
            iterations,
            key: Arc::clone(&key),
        });
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_hex_digits_are_a_key_and_anything_else_a_passphrase() {
        assert!(matches!(
            KeyMaterial::parse(&"aB".repeat(32)),
            Ok(KeyMaterial::Raw(_))
        ));
        for text in [
            "a".repeat(63),
            format!("{}\n", "a".repeat(64)),
            "correct horse".into(),
        ] {
            assert!(matches!(
                KeyMaterial::parse(&text),
                Ok(KeyMaterial::Passphrase(_))
            ));
        }
        assert_eq!(KeyMaterial::parse("").err(), Some(KeyError::Empty));
    }

    #[test]
    fn expand_is_hkdf_of_rfc_5869_test_case_1() {
        let prk = "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5";
        let mut bytes = [0; 32];
        hex::decode_to_slice(prk, &mut bytes).unwrap();
        let info = hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap();
        let okm = SecretKey(bytes).expand(&[&info]);
        assert_eq!(
            hex::encode(okm.expose()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
    }

    #[test]
    fn a_passphrase_is_derived_once_for_a_salt() {
        let ring = Keyring::new(vec![KeyMaterial::Passphrase(Zeroizing::new("pw".into()))]);
        let first = ring.passphrase_keys(&[1; 16], 100_000);
        let again = ring.passphrase_keys(&[1; 16], 100_000);
        assert!(Arc::ptr_eq(&first[0], &again[0]));
        let other_salt = ring.passphrase_keys(&[2; 16], 100_000);
        assert_ne!(first[0].expose(), other_salt[0].expose());
    }
}
