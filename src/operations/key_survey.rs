//! Which keys open which archives, by the archives' headers. Changes nothing and
//! reads 8 KiB an archive, however large it is.
//!
//! Invariant: a key is said to open an archive only where the header was unlocked
//! with that key alone and its HMAC was right. Kanbu's archives have no header:
//! there the manifest's word is taken, and marked as that.

use super::read::read_head;
use super::{OperationError, UnusedCopy, Vault};
use crate::catalog::Backup;
use crate::format::header::{self, HeaderError};
use crate::format::keyring::Keyring;
use crate::format::keys::KeyId;
use crate::format::slots::SlotName;
use crate::storage::ErrorKind;

/// One archive and the keys that open it.
pub struct SurveyedArchive<'a> {
    pub backup: &'a Backup,
    pub form: ArchiveForm,
    /// In the header's order. Of Kanbu's the one key, if a manifest names it.
    pub slots: Vec<SurveyedSlot>,
    /// Places in the ring of the keys that open it, each by itself.
    pub opened_by: Vec<usize>,
    /// Of header copies A and B; unchecked where no key opens it.
    pub generations: [Option<u32>; 2],
    /// The header copy that did not open, where the other one did.
    pub unused_copy: Option<UnusedCopy>,
    /// Why it does not open: no key, or damage.
    pub problem: Option<OperationError>,
}

/// What surrounds the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveForm {
    Plain,
    Kluis1,
    /// What is known of its key is by its manifest.
    Kanbu,
}

pub struct SurveyedSlot {
    pub name: SlotName,
    /// Places in the ring.
    pub opened_by: Vec<usize>,
}

impl SurveyedArchive<'_> {
    pub fn is_encrypted(&self) -> bool {
        self.form != ArchiveForm::Plain
    }

    /// Whether the header was checked, which takes a key.
    pub fn is_checked(&self) -> bool {
        self.form == ArchiveForm::Kluis1 && !self.opened_by.is_empty()
    }

    /// The slots that no key of the ring opens.
    pub fn closed_slots(&self) -> impl Iterator<Item = &SlotName> {
        let closed = self.slots.iter().filter(|slot| slot.opened_by.is_empty());
        closed.map(|slot| &slot.name)
    }
}

/// Looks at every archive among `backups` that is there.
pub fn survey_keys<'a>(
    vault: &Vault<'_>,
    backups: impl IntoIterator<Item = &'a Backup>,
) -> Result<Vec<SurveyedArchive<'a>>, OperationError> {
    let openers = Openers::of(&vault.ring);
    let there = backups.into_iter().filter(|backup| backup.stored.is_some());
    let mut surveyed = Vec::new();
    for backup in there {
        vault.cancel.check()?;
        match read_head(vault.storage, &backup.archive) {
            Ok(head) => surveyed.push(openers.look(backup, &head)),
            // Removed since it was listed, by a prune for one.
            Err(OperationError::Storage(error)) if error.kind == ErrorKind::NotFound => {}
            Err(error) => surveyed.push(SurveyedArchive {
                problem: Some(error),
                ..unlooked(backup, ArchiveForm::Kluis1)
            }),
        }
    }
    Ok(surveyed)
}

/// The ring, and what its keys are as Kanbu takes them: derived once.
struct Openers<'a> {
    ring: &'a Keyring,
    legacy: Vec<(usize, KeyId)>,
}

impl<'r> Openers<'r> {
    fn of(ring: &'r Keyring) -> Self {
        let keys = ring.keys().iter().enumerate();
        let legacy = keys.filter_map(|(at, key)| Some((at, key.material.as_legacy()?.id())));
        Self {
            ring,
            legacy: legacy.collect(),
        }
    }

    fn look<'a>(&self, backup: &'a Backup, head: &[u8]) -> SurveyedArchive<'a> {
        if header::has_magic(head) {
            self.look_at_header(backup, head)
        } else if backup.archive.ends_with(".enc") {
            self.look_at_manifest(backup)
        } else {
            unlooked(backup, ArchiveForm::Plain)
        }
    }

    fn look_at_header<'a>(&self, backup: &'a Backup, head: &[u8]) -> SurveyedArchive<'a> {
        let keys = self.ring.keys().iter().enumerate();
        let openers = keys.filter(|(_, key)| key.material.opens());
        let opens = |&index: &usize| header::open_with(head, self.ring, index).is_ok();
        let opened_by: Vec<usize> = openers.map(|(index, _)| index).filter(opens).collect();
        let mut found = SurveyedArchive {
            generations: header::generations(head),
            ..unlooked(backup, ArchiveForm::Kluis1)
        };
        let header = match header::open(head, self.ring) {
            Ok(opened) => {
                let unused = opened.damaged_copy;
                found.unused_copy = unused.map(|(copy, why)| UnusedCopy { copy, why });
                Ok(opened.header)
            }
            Err(error) => {
                found.problem = Some(of_archive(backup, error));
                header::peek(head)
            }
        };
        if let Ok(header) = header {
            let by_key: Vec<Vec<usize>> = opened_by
                .iter()
                .map(|&index| header.opened_by(self.ring, index))
                .collect();
            let slots = header.slots.iter().enumerate();
            found.slots = slots
                .map(|(at, slot)| SurveyedSlot {
                    name: slot.name(),
                    opened_by: opened_by
                        .iter()
                        .zip(&by_key)
                        .filter(|(_, slots)| slots.contains(&at))
                        .map(|(&index, _)| index)
                        .collect(),
                })
                .collect();
        }
        found.opened_by = opened_by;
        found
    }

    fn look_at_manifest<'a>(&self, backup: &'a Backup) -> SurveyedArchive<'a> {
        let mut found = unlooked(backup, ArchiveForm::Kanbu);
        let manifest = backup.file.as_ref().map(|file| &file.manifest);
        let encryption = manifest.and_then(|manifest| manifest.encryption.as_ref());
        let mut id = [0; 8];
        let named = encryption.is_some_and(|encryption| {
            hex::decode_to_slice(encryption.key_id.as_bytes(), &mut id).is_ok()
        });
        if !named {
            let what = "the key of the service that wrote it; kluis adopt finds out which";
            let wants = vec![what.to_owned()];
            found.problem = Some(of_archive(backup, HeaderError::NoKey { wants }));
            return found;
        }
        let fitting = self.legacy.iter().filter(|(_, key)| *key == KeyId(id));
        found.opened_by = fitting.map(|(index, _)| *index).collect();
        found.slots = vec![SurveyedSlot {
            name: SlotName::Key(KeyId(id)),
            opened_by: found.opened_by.clone(),
        }];
        if found.opened_by.is_empty() {
            let wants = vec![found.slots[0].name.to_string()];
            found.problem = Some(of_archive(backup, HeaderError::NoKey { wants }));
        }
        found
    }
}

fn of_archive(backup: &Backup, source: HeaderError) -> OperationError {
    OperationError::Header {
        archive: backup.archive.clone(),
        source,
    }
}

fn unlooked(backup: &Backup, form: ArchiveForm) -> SurveyedArchive<'_> {
    SurveyedArchive {
        backup,
        form,
        slots: Vec::new(),
        opened_by: Vec::new(),
        generations: [None; 2],
        unused_copy: None,
        problem: None,
    }
}
