//! A host's signature over a manifest: Ed25519 (RFC 8032). A host that writes for
//! age recipients has no secret that a seal could prove it by, and whoever knows
//! the recipient can make an archive that opens: the signature tells who made it.
//!
//! Invariant: what is signed begins with a label, so that a signature of a
//! manifest is one of nothing else.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::{SecretKey, sealing_key};

const SECRET_PREFIX: &str = "KLUIS-SIGNING-KEY-1:";
const PUBLIC_PREFIX: &str = "kluis-verify-1:";
const LABEL: &[u8] = b"kluis/1 manifest signature\0";

/// Signs; zeroized when dropped, by its crate.
pub struct Signer(SigningKey);

impl Signer {
    pub fn generate(random: &Zeroizing<[u8; 32]>) -> Self {
        Self(SigningKey::from_bytes(random))
    }

    /// The text of its file. Never for a message.
    pub fn expose(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(hex::encode(self.0.as_bytes()));
        Zeroizing::new(format!("{SECRET_PREFIX}{}", *secret))
    }

    /// `None`: the text is no signing key, or lost digits on its way.
    pub fn parse(text: &str) -> Option<Self> {
        let mut secret = Zeroizing::new([0; 32]);
        let digits = text.strip_prefix(SECRET_PREFIX)?;
        hex::decode_to_slice(digits, secret.as_mut()).ok()?;
        Some(Self::generate(&secret))
    }

    /// Whether a text is meant as a signing key, which opens no archive.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(SECRET_PREFIX)
    }

    pub fn verifier(&self) -> Verifier {
        Verifier(self.0.verifying_key())
    }

    pub fn sign(&self, bytes: &[u8]) -> SignatureOf {
        let signature = self.0.sign(&labelled(bytes));
        SignatureOf {
            key: self.verifier().to_string(),
            value: hex::encode(signature.to_bytes()),
        }
    }

    /// For seals of what only this host must know again.
    pub(super) fn sealing_key(&self, label: &[u8]) -> SecretKey {
        sealing_key(self.0.as_bytes(), label)
    }
}

/// The public half: `kluis-verify-1:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Verifier(VerifyingKey);

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", hex::encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Verifier {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "it is no key to verify with (kluis-verify-1: and 64 hex digits; `kluis key \
                     generate --signing` prints it)";
        let mut bytes = [0; 32];
        let digits = text.strip_prefix(PUBLIC_PREFIX).ok_or(wrong)?;
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| wrong)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| wrong)?;
        match key.is_weak() {
            true => Err(wrong),
            false => Ok(Self(key)),
        }
    }
}

/// A signature as a manifest's file has it, beside the seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureOf {
    /// The public key, as [`Verifier`] is written.
    pub key: String,
    /// 64 bytes, hex.
    pub value: String,
}

impl SignatureOf {
    /// Whether one of these keys signed `bytes`.
    pub fn holds(&self, bytes: &[u8], verifiers: &[Verifier]) -> bool {
        let mut value = [0; 64];
        if hex::decode_to_slice(&self.value, &mut value).is_err() {
            return false;
        }
        let signature = Signature::from_bytes(&value);
        let named = verifiers.iter().find(|it| it.to_string() == self.key);
        named.is_some_and(|it| it.0.verify_strict(&labelled(bytes), &signature).is_ok())
    }
}

fn labelled(bytes: &[u8]) -> Vec<u8> {
    [LABEL, bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(byte: u8) -> Signer {
        Signer::generate(&Zeroizing::new([byte; 32]))
    }

    #[test]
    fn a_signature_is_one_of_its_key_and_bytes() {
        let (one, other) = (signer(1), signer(2));
        let signature = one.sign(b"x");
        assert!(signature.holds(b"x", &[other.verifier(), one.verifier()]));
        assert!(!signature.holds(b"y", &[one.verifier()]));
        assert!(!signature.holds(b"x", &[other.verifier()]));
        assert!(!signature.holds(b"x", &[]));
    }

    #[test]
    fn both_halves_come_back_from_their_text() {
        let one = signer(3);
        let again = Signer::parse(&one.expose()).unwrap();
        assert_eq!(again.verifier(), one.verifier());
        let public: Verifier = one.verifier().to_string().parse().unwrap();
        assert_eq!(public, one.verifier());
        assert!(Signer::parse(&one.verifier().to_string()).is_none());
        assert!(one.expose().parse::<Verifier>().is_err());
    }
}
