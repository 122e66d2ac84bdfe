//! An archive in memory that reads as damaged in one place, and what is said of it.

use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use kluis::catalog::{Backup, read_whole};
use kluis::format::names::manifest_key;
use kluis::operations::{
    Encryption, OperationError, RestoreDone, RestoreSteps, VerifyDone, restore,
};
use kluis::reached::Goal;
use kluis::storage::{MemoryStorage, PendingWrite, Storage, StorageError, StoredObject};
use kluis::target::{DirectoryTarget, RestoreTreeOptions, Target};

use crate::support::opening::reads_otherwise;

use crate::support::in_process::{Witness, at, back_up, prove, tree_of, vault};

/// What was done to the archive's bytes.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    None,
    /// The byte at this offset, XORed with a mask.
    Changed(usize, u8),
    /// Only so many bytes are left.
    Cut(usize),
}

/// A storage whose archive reads as damaged. Nothing is copied: many thousand
/// damaged archives are read in turn.
#[derive(Clone)]
pub struct Damaged {
    pub inner: MemoryStorage,
    pub archive: String,
    pub bytes: Arc<[u8]>,
    pub damage: Damage,
}

struct DamagedRead {
    bytes: Cursor<Arc<[u8]>>,
    damage: Damage,
}

impl Read for DamagedRead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let start = self.bytes.position() as usize;
        let buffer = match self.damage {
            Damage::Cut(len) => {
                let left = len.saturating_sub(start).min(buffer.len());
                &mut buffer[..left]
            }
            _ => buffer,
        };
        let count = self.bytes.read(buffer)?;
        if let Damage::Changed(at, mask) = self.damage
            && (start..start + count).contains(&at)
        {
            buffer[at - start] ^= mask;
        }
        Ok(count)
    }
}

impl Damaged {
    fn reads(&self, _: Box<dyn Read + Send>, offset: u64) -> Box<dyn Read + Send> {
        let mut bytes = Cursor::new(self.bytes.clone());
        bytes.set_position(offset);
        let damage = self.damage;
        Box::new(DamagedRead { bytes, damage })
    }
}

reads_otherwise!(Damaged);

/// A backup of a tree in memory.
pub struct Specimen {
    pub storage: MemoryStorage,
    pub archive: String,
}

impl Specimen {
    pub fn new(encryption: Encryption, content_bytes: usize) -> Self {
        let tree = tree_of(content_bytes);
        let storage = MemoryStorage::new();
        let reporter = Witness::default();
        let vault = vault(&storage, &reporter, "backup source");
        let made = back_up(&vault, tree.path(), encryption, at(1)).unwrap();
        Self {
            storage: storage.clone(),
            archive: made.manifest.stored.file.into(),
        }
    }

    pub fn damaged(&self) -> Damaged {
        Damaged {
            inner: self.storage.clone(),
            archive: self.archive.clone(),
            bytes: read_whole(&self.storage, &self.archive, u64::MAX)
                .unwrap()
                .into(),
            damage: Damage::None,
        }
    }

    pub fn manifest(&self) -> Vec<u8> {
        read_whole(&self.storage, &manifest_key(&self.archive), u64::MAX).unwrap()
    }
}

/// What `verify` says of the archive as the storage has it, without a record.
pub fn verdict(storage: &dyn Storage, backup: &Backup) -> Result<VerifyDone, OperationError> {
    let reporter = Witness::default();
    let mut vault = vault(storage, &reporter, "verify");
    vault.ours = false;
    prove(&vault, backup)
}

/// Whether `kluis verify` ends with exit 4: an archive that is wrong, or one that
/// restores by its last header copy.
pub fn found(result: &Result<VerifyDone, OperationError>) -> bool {
    match result {
        Ok(done) => done.damage().is_some(),
        Err(error) => error.is_integrity(),
    }
}

pub fn restore_into(
    storage: &dyn Storage,
    backup: &Backup,
    to: &Path,
) -> Result<RestoreDone, OperationError> {
    let reporter = Witness::default();
    let mut vault = vault(storage, &reporter, "restore");
    vault.ours = false;
    let target = || -> Result<Box<dyn Target>, OperationError> {
        let options = RestoreTreeOptions::default();
        let target = DirectoryTarget::new(to, options, vault.cancel.clone())?;
        Ok(Box::new(target))
    };
    let goal = Goal {
        shown: to.display().to_string(),
        existed: to.exists(),
        in_place: false,
    };
    let steps = RestoreSteps::staged(goal, target);
    restore(&vault, backup, at(9), steps).map_err(|failed| failed.error)
}
