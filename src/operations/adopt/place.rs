//! The storage while files in it are adopted: locked, and what lies there.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::old::OldManifests;
use super::{Marker, OperationError, Vault, sweep};
use crate::format::manifest::Manifest;
use crate::format::names::manifest_key;
use crate::lock::{Lock, LockKind};
use crate::storage::StoredObject;

/// What is in the storage, by key.
type Objects = HashMap<String, StoredObject>;

/// The storage, locked: nothing changes there but what is adopted here.
pub(super) struct Place {
    _lock: Option<Lock>,
    pub there: Objects,
    pub old: OldManifests,
}

impl Place {
    pub fn lock(vault: &Vault<'_>, now: Timestamp) -> Result<Self, OperationError> {
        let lock = vault.lock(LockKind::Exclusive, now)?;
        sweep(vault, now)?;
        Marker::load_or_create(vault.storage, now)?;
        Self::look(vault, lock)
    }

    fn look(vault: &Vault<'_>, lock: Option<Lock>) -> Result<Self, OperationError> {
        let objects = vault.storage.list("")?.into_iter();
        Ok(Self {
            _lock: lock,
            there: objects.map(|it| (it.key.clone(), it)).collect(),
            old: OldManifests::of(vault)?,
        })
    }

    /// Leaves the storage to others while `act` runs, and takes it again.
    pub fn leave<T>(
        self,
        vault: &Vault<'_>,
        now: Timestamp,
        act: impl FnOnce() -> T,
    ) -> Result<(Self, T), OperationError> {
        drop(self);
        let done = act();
        vault.cancel.check()?;
        // However long a backup takes: nobody waits for this.
        let lock = vault.lock_within(LockKind::Exclusive, now, Some(Duration::MAX))?;
        Ok((Self::look(vault, lock)?, done))
    }

    /// From here on it is a backup that counts.
    pub fn adopted(&mut self, manifest: &Manifest, object: StoredObject) {
        let key = &object.key;
        self.old.add(manifest, key);
        self.there.insert(manifest_key(key), object.clone());
        self.there.insert(key.clone(), object);
    }
}
