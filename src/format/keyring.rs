//! The keys of a run: those that new archives open with, and those that open
//! what lies there. Nothing here prints or clones a key.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::age::{AgeIdentity, AgeRecipient};
use super::keys::{KeyId, SecretKey, derive_passphrase_key, equal_in_constant_time};
use super::legacy::legacy_key;

/// What is wrong with a key's text, as the end of "the key in FILE ..".
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("is empty")]
    Empty,
    /// Of age's kind, and broken.
    #[error("cannot be used: {0}")]
    Age(&'static str),
}

/// What an operator configures as a key.
pub enum KeyMaterial {
    /// 64 hex digits.
    Raw(SecretKey),
    /// Any other text.
    Passphrase(Zeroizing<String>),
    /// An age identity: opens, and writes for its own recipient.
    Identity(AgeIdentity),
    /// An age recipient: writes only.
    Recipient(AgeRecipient),
}

impl KeyMaterial {
    /// Takes the text as it is, without trimming.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if let Some(identity) = AgeIdentity::parse(text) {
            return identity.map(Self::Identity).map_err(KeyError::Age);
        }
        if AgeRecipient::is_meant(text) {
            return text.parse().map(Self::Recipient).map_err(KeyError::Age);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        Ok(match hex::decode_to_slice(text, bytes.as_mut()) {
            Ok(()) => Self::Raw(SecretKey::from_bytes(*bytes)),
            Err(_) => Self::Passphrase(Zeroizing::new(text.to_owned())),
        })
    }

    /// The key as Kanbu takes it; `None` for age's.
    pub fn as_legacy(&self) -> Option<SecretKey> {
        match self {
            Self::Raw(key) => Some(SecretKey::from_bytes(*key.expose())),
            Self::Passphrase(text) => Some(legacy_key(text)),
            Self::Identity(_) | Self::Recipient(_) => None,
        }
    }

    /// Whether it can open an archive.
    pub fn opens(&self) -> bool {
        !matches!(self, Self::Recipient(_))
    }

    /// Whether both are the same key, or the two halves of one of age's.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Raw(one), Self::Raw(other)) => one.id() == other.id(),
            (Self::Passphrase(one), Self::Passphrase(other)) => {
                equal_in_constant_time(one.as_bytes(), other.as_bytes())
            }
            _ => self.recipient().is_some() && self.recipient() == other.recipient(),
        }
    }

    /// The age recipient that it writes for.
    pub fn recipient(&self) -> Option<AgeRecipient> {
        match self {
            Self::Identity(identity) => Some(identity.recipient()),
            Self::Recipient(recipient) => Some(recipient.clone()),
            Self::Raw(_) | Self::Passphrase(_) => None,
        }
    }
}

/// A key and where it was configured.
pub struct NamedKey {
    /// For people: "BACKUP_ENCRYPTION_KEY", "/etc/kluis/key".
    pub label: String,
    pub material: KeyMaterial,
    /// New archives open with it. A key without only opens older ones.
    pub writes: bool,
}

impl fmt::Display for NamedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.material {
            KeyMaterial::Raw(key) => write!(f, "key {}", key.id())?,
            KeyMaterial::Passphrase(_) => f.write_str("a passphrase")?,
            KeyMaterial::Identity(identity) => {
                write!(f, "the age identity of {}", identity.recipient())?;
            }
            KeyMaterial::Recipient(recipient) => write!(f, "age recipient {recipient}")?,
        }
        write!(f, " from {}", self.label)
    }
}

/// The keys of a run, in the order of configuration. Passphrase keys are derived
/// once for each salt and kept: a storage has one salt, and 10,000 archives.
#[derive(Default)]
pub struct Keyring {
    keys: Vec<NamedKey>,
    derived: Mutex<Vec<Derived>>,
}

struct Derived {
    /// Of the passphrase in the ring.
    index: usize,
    salt: [u8; 16],
    iterations: u32,
    key: Arc<SecretKey>,
}

impl Keyring {
    pub fn new(keys: Vec<NamedKey>) -> Self {
        Self {
            keys,
            derived: Mutex::default(),
        }
    }

    /// A ring of one key that writes and opens.
    pub fn of(material: KeyMaterial) -> Self {
        Self::new(vec![NamedKey {
            label: "the key".to_owned(),
            material,
            writes: true,
        }])
    }

    /// One more key behind the others; returns its place.
    pub fn push(&mut self, key: NamedKey) -> usize {
        self.keys.push(key);
        self.keys.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn keys(&self) -> &[NamedKey] {
        &self.keys
    }

    /// The keys that new archives open with, and their places in the ring.
    pub fn writers(&self) -> impl Iterator<Item = (usize, &NamedKey)> {
        self.keys.iter().enumerate().filter(|(_, key)| key.writes)
    }

    /// The raw key of that place if it has that id.
    pub(super) fn raw(&self, index: usize, id: KeyId) -> Option<&SecretKey> {
        match &self.keys.get(index)?.material {
            KeyMaterial::Raw(key) if key.id() == id => Some(key),
            _ => None,
        }
    }

    pub(super) fn identity(&self, index: usize) -> Option<&AgeIdentity> {
        match &self.keys.get(index)?.material {
            KeyMaterial::Identity(identity) => Some(identity),
            _ => None,
        }
    }

    /// The passphrase of that place as the key for this salt. Derived once; takes
    /// a good part of a second on purpose.
    pub fn passphrase_key(
        &self,
        index: usize,
        salt: &[u8; 16],
        iterations: u32,
    ) -> Option<Arc<SecretKey>> {
        let KeyMaterial::Passphrase(text) = &self.keys.get(index)?.material else {
            return None;
        };
        let mut derived = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        let known = derived
            .iter()
            .find(|d| d.index == index && d.salt == *salt && d.iterations == iterations);
        if let Some(known) = known {
            return Some(Arc::clone(&known.key));
        }
        let key = Arc::new(derive_passphrase_key(text, salt, iterations));
        derived.push(Derived {
            index,
            salt: *salt,
            iterations,
            key: Arc::clone(&key),
        });
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_four_hex_digits_are_a_key_and_other_text_a_passphrase() {
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
    fn ages_keys_are_never_taken_as_passphrases() {
        let identity = AgeIdentity::generate();
        let recipient = identity.recipient().to_string();
        assert!(matches!(
            KeyMaterial::parse(&identity.expose()),
            Ok(KeyMaterial::Identity(_))
        ));
        assert!(matches!(
            KeyMaterial::parse(&recipient),
            Ok(KeyMaterial::Recipient(_))
        ));
        for cut in [&recipient[..20], &identity.expose()[..20]] {
            assert!(matches!(KeyMaterial::parse(cut), Err(KeyError::Age(_))));
        }
    }

    #[test]
    fn a_passphrase_is_derived_once_for_a_salt() {
        let ring = Keyring::of(KeyMaterial::Passphrase(Zeroizing::new("pw".into())));
        let key = |salt| ring.passphrase_key(0, &[salt; 16], 100_000).unwrap();
        assert!(Arc::ptr_eq(&key(1), &key(1)));
        assert_ne!(key(1).expose(), key(2).expose());
    }
}
