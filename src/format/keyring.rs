//! The keys of a run: those that new archives open with, and those that open
//! what lies there. Nothing here prints or clones a key.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use zeroize::Zeroizing;

use super::age::{AgeIdentity, AgeRecipient};
use super::keys::{
    KeyId, PASSPHRASE_ITERATIONS, SecretKey, derive_passphrase_key, equal_in_constant_time,
};
use super::legacy::legacy_key;
use super::signing::{Signer, Verifier};
use passphrases::{Derived, Passphrases};

mod passphrases;

pub(super) use passphrases::Purse;

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
        if Signer::is_meant(text) || text.parse::<Verifier>().is_ok() {
            let what = "it is a key for signatures, which opens nothing; set \
                        encryption.signing_key or verify_keys to it";
            return Err(KeyError::Age(what));
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

    /// Whether who writes for it must have it, too.
    fn is_secret(&self) -> bool {
        matches!(self, Self::Raw(_) | Self::Passphrase(_))
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
    keys: Vec<Arc<NamedKey>>,
    derived: Arc<Mutex<Passphrases>>,
    signer: Option<Arc<Signer>>,
    verifiers: Vec<Verifier>,
    /// Of the storage, once its archives have confirmed it.
    salt: Arc<OnceLock<[u8; 16]>>,
}

impl Keyring {
    pub fn new(keys: Vec<NamedKey>) -> Self {
        Self {
            keys: keys.into_iter().map(Arc::new).collect(),
            ..Self::default()
        }
    }

    /// With a host's own signature on what it makes, and the keys that one of a
    /// backup's must be of. The signer's own is among them.
    pub fn signing(mut self, signer: Option<Signer>, mut verifiers: Vec<Verifier>) -> Self {
        verifiers.extend(signer.as_ref().map(Signer::verifier));
        self.signer = signer.map(Arc::new);
        self.verifiers = verifiers;
        self
    }

    /// The same keys, with what was derived of them, for another step of the run.
    pub fn share(&self) -> Self {
        Self {
            keys: self.keys.clone(),
            derived: Arc::clone(&self.derived),
            signer: self.signer.clone(),
            verifiers: self.verifiers.clone(),
            salt: Arc::clone(&self.salt),
        }
    }

    /// The places of all keys.
    pub(super) fn places(&self) -> Vec<usize> {
        (0..self.keys.len()).collect()
    }

    /// Whether a key is among them that nobody can write for who does not have it.
    pub fn has_secret(&self) -> bool {
        self.keys.iter().any(|key| key.material.is_secret())
    }

    pub fn has_identity(&self) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|key| matches!(key.material, KeyMaterial::Identity(_)))
    }

    /// The places of the keys that tell by opening an archive that it is ours.
    pub(super) fn vouching(&self) -> Vec<usize> {
        let is_wanted = |at: &usize| !self.has_secret() || self.keys[*at].material.is_secret();
        self.places().into_iter().filter(is_wanted).collect()
    }

    /// Whether a passphrase is among the keys.
    pub fn has_passphrase(&self) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|key| matches!(key.material, KeyMaterial::Passphrase(_)))
    }

    /// The storage's salt, looked for once a run.
    pub fn salt_or<E>(&self, find: impl FnOnce() -> Result<[u8; 16], E>) -> Result<[u8; 16], E> {
        match self.salt.get() {
            Some(salt) => Ok(*salt),
            None => {
                let salt = find()?;
                Ok(*self.salt.get_or_init(|| salt))
            }
        }
    }

    pub fn signer(&self) -> Option<&Signer> {
        self.signer.as_deref()
    }

    /// Where there are any, only what one of them signed is ours.
    pub fn verifiers(&self) -> &[Verifier] {
        &self.verifiers
    }

    /// Whether a key here makes seals of its own: see `own_seal`.
    pub fn seals(&self) -> bool {
        self.signer.is_some() || self.keys.iter().any(|key| key.material.opens())
    }

    /// Whether it tells of what is ours that nobody else wrote it: what opens by an
    /// identity alone, anybody may have written for its recipient.
    pub fn tells_who_wrote(&self) -> bool {
        self.has_secret() || !self.verifiers.is_empty()
    }

    /// Whether nothing tells here what is ours.
    pub fn knows_nothing(&self) -> bool {
        self.keys.is_empty() && self.verifiers.is_empty()
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
        self.keys.push(Arc::new(key));
        self.keys.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn keys(&self) -> &[Arc<NamedKey>] {
        &self.keys
    }

    /// The keys that new archives open with, and their places in the ring.
    pub fn writers(&self) -> impl Iterator<Item = (usize, &NamedKey)> {
        let keys = self.keys.iter().map(|key| &**key).enumerate();
        keys.filter(|(_, key)| key.writes)
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

    /// The passphrase of that place as the key for this salt, which is one of our
    /// own. Derived once; takes a good part of a second on purpose.
    pub fn passphrase_key(
        &self,
        index: usize,
        salt: &[u8; 16],
        iterations: u32,
    ) -> Option<Arc<SecretKey>> {
        self.opened_something(salt, iterations);
        self.try_passphrase(index, salt, iterations, Purse::Archives)
    }

    /// [`Keyring::passphrase_key`] of a salt that somebody asks for. `None` also
    /// where it would cost too much: see [`Keyring::is_too_costly`].
    pub(super) fn try_passphrase(
        &self,
        index: usize,
        salt: &[u8; 16],
        iterations: u32,
        purse: Purse,
    ) -> Option<Arc<SecretKey>> {
        let KeyMaterial::Passphrase(text) = &self.keys.get(index)?.material else {
            return None;
        };
        // Held while it derives: others wait for the same key.
        let mut passphrases = self.passphrases();
        if let Some(known) = passphrases.known(index, salt, iterations) {
            return Some(known);
        }
        let charged = passphrases.pay(salt, iterations, purse).ok()?;
        let key = Arc::new(derive_passphrase_key(text, salt, iterations));
        passphrases.derived.push(Derived {
            index,
            salt: *salt,
            iterations,
            charged,
            key: Arc::clone(&key),
        });
        Some(key)
    }

    /// What was derived for that salt has opened something: nobody but us could
    /// have made it, and its cost is not counted.
    pub(super) fn opened_something(&self, salt: &[u8; 16], iterations: u32) {
        self.passphrases().opened_something(salt, iterations);
    }

    /// Salts that are known to have opened something on this host before.
    pub fn recall(&self, salts: &[[u8; 16]]) {
        let mut passphrases = self.passphrases();
        for salt in salts {
            passphrases.opened_something(salt, PASSPHRASE_ITERATIONS);
        }
    }

    /// Salts that have opened something, at the usual cost.
    pub fn proven_salts(&self) -> Vec<[u8; 16]> {
        self.passphrases().proven().collect()
    }

    /// Salts that are most likely the storage's own: they are derived at the usual
    /// cost whatever else was spent. Whether one of them was not known.
    pub fn prefer(&self, salts: &[[u8; 16]]) -> bool {
        self.passphrases().prefer(salts)
    }

    /// A slot that the operator asks for: it is tried whatever else was spent.
    pub fn name_slot(&self, salt: [u8; 16], iterations: u32) {
        self.passphrases().name(salt, iterations);
    }

    /// Whether something was not tried because of its cost.
    pub fn has_refused(&self) -> bool {
        self.passphrases().has_refused
    }

    /// How dear it is to try a slot: nothing for what was derived before.
    pub(super) fn cost(&self, salt: &[u8; 16], iterations: u32) -> u32 {
        let passphrases = self.passphrases();
        let mut derived = passphrases.derived.iter();
        match derived.any(|it| it.salt == *salt && it.iterations == iterations) {
            true => 0,
            false => iterations,
        }
    }

    /// Whether the passphrase of that place is not tried for this salt, because
    /// the run has spent enough on slots that opened nothing.
    pub(super) fn is_too_costly(&self, index: usize, salt: &[u8; 16], iterations: u32) -> bool {
        let key = self.keys.get(index);
        let is_passphrase =
            key.is_some_and(|key| matches!(key.material, KeyMaterial::Passphrase(_)));
        let passphrases = self.passphrases();
        is_passphrase
            && passphrases.known(index, salt, iterations).is_none()
            && passphrases.refuses(salt, iterations, Purse::Archives)
    }

    fn passphrases(&self) -> MutexGuard<'_, Passphrases> {
        self.derived.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn what_this_host_knows_is_tried_whatever_was_spent_on_others() {
        let ring = Keyring::of(KeyMaterial::Passphrase(Zeroizing::new("pw".into())));
        let rounds = PASSPHRASE_ITERATIONS;
        ring.passphrases().spend_all();
        assert!(ring.is_too_costly(0, &[1; 16], rounds));
        ring.recall(&[[1; 16]]);
        assert!(!ring.is_too_costly(0, &[1; 16], rounds));
        assert!(ring.is_too_costly(0, &[2; 16], rounds));
        assert_eq!(ring.proven_salts(), [[1; 16]]);
    }

    #[test]
    fn a_passphrase_is_derived_once_for_a_salt() {
        let ring = Keyring::of(KeyMaterial::Passphrase(Zeroizing::new("pw".into())));
        let key = |salt| ring.passphrase_key(0, &[salt; 16], 100_000).unwrap();
        assert!(Arc::ptr_eq(&key(1), &key(1)));
        assert_ne!(key(1).expose(), key(2).expose());
    }
}
