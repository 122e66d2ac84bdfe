//! The manifest's file: `{"manifest": .., "seal": "hex", "state": {..}}`.
//!
//! The seal is an HMAC-SHA256 over the exact bytes of `manifest`, under a key
//! that follows from the archive's data key. So the immutable part is kept as
//! the bytes that were read and never serialised again; `state` may change.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::keys::{SecretKey, equal_in_constant_time, hmac_sha256};
use super::manifest::{MANIFEST_VERSION, Manifest, State};

#[derive(Clone, Debug)]
pub struct ManifestFile {
    pub manifest: Manifest,
    pub state: State,
    /// The exact bytes that the seal covers.
    raw: Box<RawValue>,
    seal: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error("it is not a manifest: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("it is of manifest version {0}, and this kluis reads version 1; use a newer kluis")]
    UnknownVersion(u32),
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
    #[serde(default)]
    state: State,
}

impl ManifestFile {
    /// A new manifest, sealed if the archive has keys.
    pub fn seal(manifest: Manifest, key: Option<&SecretKey>) -> Result<Self, ManifestError> {
        let raw = serde_json::value::to_raw_value(&manifest)?;
        let seal = key.map(|key| hex::encode(hmac_sha256(key.expose(), &[raw.get().as_bytes()])));
        Ok(Self {
            manifest,
            state: State::default(),
            raw,
            seal,
        })
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Envelope {
            manifest: raw,
            seal,
            state,
        } = serde_json::from_slice(bytes)?;
        let Version { version } = serde_json::from_str(raw.get())?;
        if version != MANIFEST_VERSION {
            return Err(ManifestError::UnknownVersion(version));
        }
        Ok(Self {
            manifest: serde_json::from_str(raw.get())?,
            state,
            raw,
            seal,
        })
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        let mut bytes = serde_json::to_vec(&Envelope {
            manifest: self.raw.clone(),
            seal: self.seal.clone(),
            state: self.state.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(state: &str) -> ManifestFile {
        let manifest = r#"{"version":1,"id":"0123456789abcdef","kind":"source","name":"x",
            "created_at":"2026-01-18T10:30:00Z","host":"h","trigger":"MANUAL",
            "tool_version":"0.1.0","stored":{"file":"x","bytes":1,"sha256":"00"},
            "content":{"codec":"none","bytes":1,"sha256":"00","raw_bytes":1}}"#;
        let text = format!(r#"{{"manifest":{manifest},"state":{state}}}"#);
        ManifestFile::parse(text.as_bytes()).unwrap()
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
