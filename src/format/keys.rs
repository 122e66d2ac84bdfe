//! Secret keys: their ids, what is derived from them, what they authenticate.
//! What an operator configures is `keyring`'s business, and where it comes from
//! `secrets`'. Key types have no `Debug` and no `Clone`, and are zeroized when
//! dropped.

use std::fmt;

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

/// A key that seals one kind of thing, from any secret of ours.
pub(super) fn sealing_key(secret: &[u8], label: &[u8]) -> SecretKey {
    SecretKey(hmac_sha256(secret, &[label]))
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

/// Derives the key of a passphrase slot: PBKDF2-HMAC-SHA256. Takes a good part
/// of a second on purpose.
pub fn derive_passphrase_key(passphrase: &str, salt: &[u8], iterations: u32) -> SecretKey {
    let mut key = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(passphrase.as_bytes(), salt, iterations, key.as_mut());
    SecretKey(*key)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
