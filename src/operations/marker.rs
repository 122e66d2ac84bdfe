//! The storage's marker: tells that a directory is a kluis storage, and keeps
//! the one salt that all its passphrase slots share.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::OperationError;
use crate::catalog::{MARKER_BYTES_MAX, read_whole};
use crate::format::names::MARKER_KEY;
use crate::pipeline::PassphraseSalt;
use crate::storage::{ErrorKind, Storage};

const MARKER_VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Marker {
    pub version: u32,
    pub storage_id: String,
    pub created: Timestamp,
    /// 16 bytes, hex.
    pub passphrase_salt: String,
}

impl Marker {
    /// Reads the marker, or writes it: the first backup does.
    pub fn load_or_create(storage: &dyn Storage, now: Timestamp) -> Result<Self, OperationError> {
        match Self::load(storage)? {
            Some(marker) => Ok(marker),
            None => Self::create(storage, now),
        }
    }

    pub fn load(storage: &dyn Storage) -> Result<Option<Self>, OperationError> {
        let bytes = match read_whole(storage, MARKER_KEY, MARKER_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let marker: Self =
            serde_json::from_slice(&bytes).map_err(|error| unusable(storage, &error))?;
        match marker.version {
            MARKER_VERSION => Ok(Some(marker)),
            other => Err(unusable(
                storage,
                &format!("it is of version {other}; use a newer kluis"),
            )),
        }
    }

    fn create(storage: &dyn Storage, now: Timestamp) -> Result<Self, OperationError> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| unusable(storage, &error))?;
        let marker = Self {
            version: MARKER_VERSION,
            storage_id: hex::encode(&random[..16]),
            created: now,
            passphrase_salt: hex::encode(&random[16..]),
        };
        let bytes =
            serde_json::to_vec_pretty(&marker).map_err(|error| unusable(storage, &error))?;
        storage.replace(MARKER_KEY, &bytes)?;
        Ok(marker)
    }

    pub fn salt(&self) -> Option<PassphraseSalt> {
        let mut salt = [0; 16];
        hex::decode_to_slice(&self.passphrase_salt, &mut salt).ok()?;
        Some(salt)
    }
}

fn unusable(storage: &dyn Storage, why: &dyn std::fmt::Display) -> OperationError {
    OperationError::Usage {
        what: format!(
            "the marker {MARKER_KEY} of {} cannot be used: {why}",
            storage.location()
        ),
    }
}
