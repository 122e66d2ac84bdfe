//! The manifest's file:
//! `{"manifest": .., "seal": "hex", "state": {..}, "state_seal": "hex"}`.
//!
//! The seal is an HMAC-SHA256 over the exact bytes of `manifest`, under a key
//! that follows from the archive's data key; of an archive that is not KLUIS1,
//! under one of the configured keys (see `own_seal`). `signature` is a host's, over
//! the same bytes. So the immutable part is kept as the bytes that were read and
//! never serialised again; `state` may change. `state_seal` is by the same key as the
//! seal, over the bytes of both.
//!
//! `pinned` stands beside them where a pin was set or released by somebody without a key:
//! pins are believed from anybody, and what is sealed stays sealed.
//!
//! Invariant: a state that was changed, but for its pin, is written without a seal, until
//! it is sealed again: no seal is ever carried from one state to another.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::keyring::Keyring;
use super::keys::{SecretKey, equal_in_constant_time, hmac_sha256};
use super::manifest::{
    Content, Encryption, Kind, MANIFEST_VERSION, Manifest, State, Stored, Trigger,
};
use super::own_seal::{self, Sealed};
use super::signing::{SignatureOf, Signer, Verifier};
use crate::checked::{abridged, json_has_nul};
use crate::ids::BackupId;

/// Of all that stands around the manifest: seals, and a state with a line of text.
/// No seal covers it, so anybody who can write there may have put it there.
const AROUND_BYTES_MAX: usize = 64 << 10;
/// What a value costs in memory beside its text; measured on the costliest.
const VALUE_BYTES: u64 = 48;

#[derive(Clone, Debug)]
pub struct ManifestFile {
    pub manifest: Manifest,
    pub state: State,
    /// The exact bytes that the seal covers.
    raw: Box<RawValue>,
    seal: Option<String>,
    signature: Option<SignatureOf>,
    state_seal: Option<StateSeal>,
}

/// Of the state as it was then.
#[derive(Clone, Debug)]
struct StateSeal {
    /// The exact bytes.
    raw: Box<RawValue>,
    of: State,
    seal: String,
}

/// What a new manifest is sealed with.
pub enum SealedBy<'a> {
    /// Nothing at hand could.
    Nobody,
    /// The key that follows from its archive's data key.
    Archive(&'a SecretKey),
    /// The ring's own, and for a passphrase the storage's salt.
    Ring(&'a Keyring, Option<&'a [u8; 16]>),
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("it cannot be read: {0}")]
    Unread(std::io::Error),
    #[error(
        "it is no file, but a directory, a symlink or the like: look who put it there, and move it away"
    )]
    Misplaced,
    #[error("it is not a manifest: {}", abridged(&.0.to_string(), 300))]
    Malformed(#[from] serde_json::Error),
    #[error(
        "more than {} KiB stand around its manifest, which kluis never writes",
        AROUND_BYTES_MAX >> 10
    )]
    Padded,
    /// One of those that no key of ours sealed.
    #[error(
        "it is not sealed by a key of ours, and with all such it would take more than {} MiB of \
         memory: adopt, move or remove what lies there",
        .0 >> 20
    )]
    TooMuch(u64),
    #[error("it is of manifest version {0}, and this kluis reads version 1; use a newer kluis")]
    UnknownVersion(u32),
    #[error("it holds a NUL byte in a text, which kluis never writes")]
    Nul,
    #[error("it was changed after it was written: its seal does not fit")]
    SealBroken,
    #[error("its seal was removed although its archive is encrypted")]
    SealMissing,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    manifest: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<SignatureOf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state_seal: Option<String>,
    /// In place of the sealed state's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pinned: Option<bool>,
}

impl ManifestFile {
    /// A new manifest, sealed, and signed where the host has a key for that.
    pub fn seal(
        manifest: Manifest,
        by: &SealedBy<'_>,
        signer: Option<&Signer>,
    ) -> Result<Self, ManifestError> {
        let raw = serde_json::value::to_raw_value(&manifest)?;
        let bytes = raw.get().as_bytes();
        let seal = match by {
            SealedBy::Nobody => None,
            SealedBy::Archive(key) => Some(hex::encode(hmac_sha256(key.expose(), &[bytes]))),
            SealedBy::Ring(ring, salt) => own_seal::seal(ring, Sealed::Manifest, bytes, *salt),
        };
        Ok(Self {
            manifest,
            state: State::default(),
            seal,
            signature: signer.map(|signer| signer.sign(bytes)),
            raw,
            state_seal: None,
        })
    }

    /// The same, sealed by the key of the ring that seals new ones; `None` if that
    /// key's seal is there, or there is no such key. See `own_seal`.
    pub fn sealed_anew(&self, ring: &Keyring, salt: &[u8; 16]) -> Option<Self> {
        let bytes = self.raw.get().as_bytes();
        let seal = own_seal::seal(ring, Sealed::Manifest, bytes, Some(salt))?;
        if self.seal.as_ref() == Some(&seal) {
            return None;
        }
        let mut anew = Self {
            seal: Some(seal),
            ..self.clone()
        };
        // What was believed so far stays so; the state of another's would not be.
        if self.state_seal_holds(None, ring) {
            let by = SealedBy::Ring(ring, Some(salt));
            anew.seal_state(&by).ok()?;
        }
        Some(anew)
    }

    /// Whether it has a seal or a signature, right or wrong.
    pub fn is_sealed(&self) -> bool {
        self.seal.is_some() || self.signature.is_some()
    }

    /// Whether one of the ring's own keys sealed it: see `own_seal`.
    pub fn own_seal_holds(&self, ring: &Keyring) -> bool {
        let bytes = self.raw.get().as_bytes();
        let seal = self.seal.as_deref();
        seal.is_some_and(|seal| own_seal::holds(ring, Sealed::Manifest, bytes, seal))
    }

    /// Whether one of these hosts signed it.
    pub fn signature_holds(&self, verifiers: &[Verifier]) -> bool {
        let signature = self.signature.as_ref();
        signature.is_some_and(|it| it.holds(self.raw.get().as_bytes(), verifiers))
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        Sketch::parse(bytes)?.whole()
    }

    /// Seals the state as it is now. [`SealedBy::Nobody`] takes the seal away.
    pub fn seal_state(&mut self, by: &SealedBy<'_>) -> Result<(), ManifestError> {
        let raw = serde_json::value::to_raw_value(&self.state)?;
        let bytes = self.with_state(&raw);
        let seal = match by {
            SealedBy::Nobody => None,
            SealedBy::Archive(key) => Some(hex::encode(state_mac(key, &bytes))),
            SealedBy::Ring(ring, salt) => own_seal::seal(ring, Sealed::State, &bytes, *salt),
        };
        self.state_seal = seal.map(|seal| StateSeal {
            raw,
            of: self.state.clone(),
            seal,
        });
        Ok(())
    }

    /// Whether the state is as it was sealed: by the archive's key, or by one of the
    /// ring's own.
    pub fn state_seal_holds(&self, key: Option<&SecretKey>, ring: &Keyring) -> bool {
        let Some(sealed) = self.standing_seal() else {
            return false;
        };
        let bytes = self.with_state(&sealed.raw);
        let by_archive = |key: &SecretKey| {
            let seal = hex::decode(&sealed.seal).unwrap_or_default();
            equal_in_constant_time(&state_mac(key, &bytes), &seal)
        };
        key.is_some_and(by_archive) || own_seal::holds(ring, Sealed::State, &bytes, &sealed.seal)
    }

    /// Whether a key sealed the state as it is, ours or not.
    pub fn has_sealed_state(&self) -> bool {
        self.standing_seal().is_some()
    }

    fn standing_seal(&self) -> Option<&StateSeal> {
        let seal = self.state_seal.as_ref();
        seal.filter(|it| it.of.is_but_for_its_pin(&self.state))
    }

    /// Whether both hold the very same manifest, whatever their states.
    pub fn has_manifest_of(&self, other: &Self) -> bool {
        self.raw.get() == other.raw.get()
    }

    /// What a seal of the state covers: it is of this manifest and no other.
    fn with_state(&self, state: &RawValue) -> Vec<u8> {
        let (manifest, state) = (self.raw.get().as_bytes(), state.get().as_bytes());
        // No JSON has a NUL in it, so they can be told apart.
        [manifest, b"\0", state].concat()
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        let sealed = self.standing_seal();
        let pinned = self.state.pinned;
        let state = match sealed {
            Some(sealed) => sealed.raw.clone(),
            None => serde_json::value::to_raw_value(&self.state)?,
        };
        let mut bytes = serde_json::to_vec(&Envelope {
            manifest: self.raw.clone(),
            seal: self.seal.clone(),
            signature: self.signature.clone(),
            state: Some(state),
            state_seal: sealed.map(|sealed| sealed.seal.clone()),
            pinned: sealed.and_then(|it| (it.of.pinned != pinned).then_some(pinned)),
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Whether the manifest is the one that was written with this archive.
    pub fn check_seal(&self, key: &SecretKey) -> Result<(), ManifestError> {
        let seal = self.seal.as_deref().ok_or(ManifestError::SealMissing)?;
        let seal = hex::decode(seal).map_err(|_| ManifestError::SealBroken)?;
        let expected = hmac_sha256(key.expose(), &[self.raw.get().as_bytes()]);
        match equal_in_constant_time(&expected, &seal) {
            true => Ok(()),
            false => Err(ManifestError::SealBroken),
        }
    }
}

/// A manifest's file without what only who restores or compares wants of it: enough to
/// tell whose it is. Takes little more memory than the file has bytes, whatever is in
/// it; a whole one may take 30 times as much.
pub struct Sketch(ManifestFile);

/// What seals and archives are asked about.
#[derive(Deserialize)]
struct Outline {
    version: u32,
    id: BackupId,
    kind: Kind,
    name: String,
    created_at: Timestamp,
    host: String,
    trigger: Trigger,
    tool_version: String,
    stored: Stored,
    content: Content,
    #[serde(default)]
    encryption: Option<Encryption>,
}

impl From<Outline> for Manifest {
    fn from(outline: Outline) -> Self {
        Self {
            version: outline.version,
            id: outline.id,
            kind: outline.kind,
            name: outline.name,
            created_at: outline.created_at,
            host: outline.host,
            label: None,
            trigger: outline.trigger,
            note: None,
            before_restore_of: None,
            adopted: false,
            reencrypted_from: None,
            tool_version: outline.tool_version,
            stored: outline.stored,
            content: outline.content,
            encryption: outline.encryption,
            database: None,
            source: None,
            gzip_index: None,
        }
    }
}

impl Sketch {
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        if json_has_nul(bytes) {
            return Err(ManifestError::Nul);
        }
        let Envelope {
            manifest: raw,
            seal,
            signature,
            state: raw_state,
            state_seal,
            pinned,
        } = serde_json::from_slice(bytes)?;
        if bytes.len() - raw.get().len() > AROUND_BYTES_MAX {
            return Err(ManifestError::Padded);
        }
        let Version { version } = serde_json::from_str(raw.get())?;
        if version != MANIFEST_VERSION {
            return Err(ManifestError::UnknownVersion(version));
        }
        let state = raw_state.as_ref().map(|it| serde_json::from_str(it.get()));
        let mut state: State = state.transpose()?.unwrap_or_default();
        let state_seal = raw_state.zip(state_seal).map(|(raw, seal)| StateSeal {
            raw,
            of: state.clone(),
            seal,
        });
        state.pinned = pinned.unwrap_or(state.pinned);
        let outline: Outline = serde_json::from_str(raw.get())?;
        Ok(Self(ManifestFile {
            manifest: outline.into(),
            state,
            raw,
            seal,
            signature,
            state_seal,
        }))
    }

    /// To ask its seals: of its manifest only the outline is there.
    pub fn outlined(&mut self) -> &mut ManifestFile {
        &mut self.0
    }

    /// How many bytes of memory the whole one takes at most, about.
    pub fn weight(&self) -> u64 {
        let raw = self.0.raw.get().as_bytes();
        let values = raw.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{'));
        raw.len() as u64 + values.count() as u64 * VALUE_BYTES
    }

    pub fn whole(self) -> Result<ManifestFile, ManifestError> {
        Ok(ManifestFile {
            manifest: serde_json::from_str(self.0.raw.get())?,
            ..self.0
        })
    }
}

/// Under the label, so that no seal of a manifest is one of a state.
fn state_mac(key: &SecretKey, bytes: &[u8]) -> [u8; 32] {
    hmac_sha256(key.expose(), &[b"kluis/1 state\0", bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, state: &str) -> Result<ManifestFile, ManifestError> {
        let sha256 = "00".repeat(32);
        let text = format!(
            r#"{{"manifest":{{"version":1,"id":"0123456789abcdef","kind":"source","name":"{name}",
            "created_at":"2026-01-18T10:30:00Z","host":"h","trigger":"MANUAL",
            "tool_version":"0.1.0","stored":{{"file":"x","bytes":1,"sha256":"{sha256}"}},
            "content":{{"codec":"none","bytes":1,"sha256":"{sha256}","raw_bytes":1}}}},
            "state":{state}}}"#
        );
        ManifestFile::parse(text.as_bytes())
    }

    fn file(state: &str) -> ManifestFile {
        parsed("x", state).unwrap()
    }

    #[test]
    fn a_nul_in_any_text_is_no_manifest() {
        for (name, state) in [(r"a\u0000b", "{}"), ("x", r#"{"later":{"\u0000":1}}"#)] {
            let found = parsed(name, state);
            assert!(matches!(found, Err(ManifestError::Nul)), "{name} {state}");
        }
        assert!(parsed(r"a\nb", "{}").is_ok());
    }

    #[test]
    fn numbers_of_the_state_come_out_as_they_went_in() {
        // A reader that is content with the nearest but one gives another.
        let once = file(r#"{"replicas":[6.7141147536959254e-21]}"#);
        let written = once.to_bytes().unwrap();
        let twice = ManifestFile::parse(&written).unwrap();
        assert_eq!(twice.state, once.state);
        assert_eq!(twice.to_bytes().unwrap(), written);
    }
}
