//! The inside of a backup: source to pending write, pending write to archive,
//! manifest last; and taking back what a failure in between has left.

use std::io::Write;

use jiff::Timestamp;

use super::remove::remove_if_there;
use super::{BackupPlan, Encryption, Marker, OperationError, Run, Vault, random_id};
use crate::catalog::MANIFEST_BYTES_MAX;
use crate::checked::FileName;
use crate::format::header::HeaderError;
use crate::format::keys::SecretKey;
use crate::format::manifest::{self, Content, MANIFEST_VERSION, Manifest, Stored};
use crate::format::manifest_file::{ManifestFile, SealedBy};
use crate::format::names::manifest_key;
use crate::ids::BackupId;
use crate::pipeline::{ArchiveMeta, Envelope, Receipt, Sealing, new_archive, seal};
use crate::process;
use crate::source::{Produced, Source};
use crate::storage::{ErrorKind, PendingWrite, StorageError};

/// One backup in the making.
pub(super) struct Making<'a> {
    pub vault: &'a Vault<'a>,
    pub plan: &'a BackupPlan,
    /// The archive's key, free until now.
    pub archive: &'a str,
    pub now: Timestamp,
    /// A guess at the stream's length, for progress.
    pub expected_bytes: Option<u64>,
    /// A tree that has no file now had some when it was last backed up.
    pub had_files: bool,
}

impl Making<'_> {
    pub fn seal_and_publish(
        &self,
        marker: &Marker,
        start: impl FnOnce() -> Result<Box<dyn Source>, OperationError>,
        run: &mut Run<'_>,
    ) -> Result<Manifest, OperationError> {
        let Self { vault, plan, .. } = self;
        let envelope = self.envelope(marker)?;
        let seals = ManifestSeals::of(&envelope);
        let sealing = Sealing {
            codec: plan.codec,
            level: plan.level,
            workers: vault.workers,
            envelope,
            cancel: vault.cancel.clone(),
        };
        // A source that stays silent has the storage locked, before its first byte too.
        let pass = vault.cancel.pass(process::next_child());
        let passed = self.passed(sealing, start);
        pass.end()?;
        let (receipt, produced, pending) = passed?;
        let manifest = self.describe(&receipt, &seals, produced)?;
        let published = match pending.commit() {
            Ok(()) => self.publish(&manifest, &seals),
            // Then the name is another program's, and so is what lies there.
            Err(error) if error.kind == ErrorKind::AlreadyExists => return Err(error.into()),
            Err(error) => Err(error.into()),
        };
        match published {
            Ok(()) => Ok(manifest),
            Err(error) => {
                self.take_back(&error, run);
                Err(error)
            }
        }
    }

    /// All of the source into a pending write.
    fn passed(
        &self,
        sealing: Sealing,
        start: impl FnOnce() -> Result<Box<dyn Source>, OperationError>,
    ) -> Result<(Receipt, Produced, Box<dyn PendingWrite>), OperationError> {
        let Self { vault, plan, .. } = self;
        let mut source = start()?;
        let mut pending = vault.storage.create(self.archive)?;
        let phase = format!("backing up {}", plan.name);
        vault.reporter.phase(&phase, self.expected_bytes);
        let advance = |bytes| vault.reporter.advance(bytes);
        let sealed = seal(&mut *source, &mut *pending, sealing, &advance);
        vault.reporter.phase_done();
        Ok((sealed?, source.finish(), pending))
    }

    /// A failure must leave nothing, also where a storage did what it says it
    /// could not. The manifest first: an archive alone is no backup, a manifest
    /// alone would look like one.
    fn take_back(&self, why: &OperationError, run: &mut Run<'_>) {
        let manifest = manifest_key(self.archive);
        let manifest_is_ours = !matches!(
            why,
            OperationError::Storage(error) if error.kind == ErrorKind::AlreadyExists
        );
        let keys = [(&*manifest, manifest_is_ours), (self.archive, true)];
        for (key, _) in keys.into_iter().filter(|(_, ours)| *ours) {
            if let Err(error) = remove_if_there(self.vault.storage, key) {
                run.leaves_work();
                let text = format!("{key} stays behind for the next run: {error}");
                self.vault.reporter.warn(&text);
                return;
            }
        }
    }

    fn envelope(&self, marker: &Marker) -> Result<Envelope, OperationError> {
        let Self { vault, plan, .. } = self;
        let of_archive = |source| OperationError::Header {
            archive: self.archive.to_owned(),
            source,
        };
        match plan.encryption {
            Encryption::None => Ok(Envelope::None),
            Encryption::Kanbu => {
                // The format has room for one key.
                let mut keys = vault.ring.writers();
                let key = keys.find_map(|(_, key)| key.material.as_legacy());
                let missing = HeaderError::Unwritable(
                    "Kanbu's format wants a key of 64 hex digits or a passphrase",
                );
                Ok(Envelope::Kanbu(key.ok_or_else(|| of_archive(missing))?))
            }
            Encryption::Kluis1 => {
                let meta = ArchiveMeta {
                    kind: plan.format.kind(),
                    name: plan.name.clone(),
                    created: self.now,
                    codec: plan.codec,
                };
                let salt = vault.passphrase_salt(marker)?;
                let archive = new_archive(&vault.ring, &meta, &salt).map_err(of_archive)?;
                Ok(Envelope::Kluis1(Box::new(archive)))
            }
        }
    }

    fn describe(
        &self,
        receipt: &Receipt,
        seals: &ManifestSeals,
        produced: Produced,
    ) -> Result<Manifest, OperationError> {
        let Self { vault, plan, .. } = self;
        let (database, mut source) = match produced {
            Produced::Database(database) => (Some(database), None),
            Produced::Tree(tree) => (None, Some(tree)),
        };
        if let Some(tree) = &mut source {
            tree.emptied = self.had_files && tree.files == 0;
            tree.given = plan.given_root.clone().filter(|given| *given != tree.root);
        }
        Ok(Manifest {
            version: MANIFEST_VERSION,
            id: BackupId::from_random(random_id()?),
            kind: plan.format.kind(),
            name: plan.name.clone(),
            created_at: self.now,
            host: vault.actor.host.clone(),
            label: Some(plan.label.clone()),
            trigger: vault.actor.trigger,
            note: plan.note.clone(),
            before_restore_of: plan.before_restore_of.clone(),
            adopted: false,
            reencrypted_from: None,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            stored: Stored {
                file: FileName::new(self.archive)?,
                bytes: receipt.stored_bytes,
                sha256: receipt.stored_sha256.clone(),
                payload_sha256: receipt.payload_sha256.clone(),
            },
            content: Content {
                codec: plan.codec,
                bytes: receipt.content_bytes,
                sha256: receipt.content_sha256.clone(),
                raw_bytes: receipt.raw_bytes,
            },
            encryption: seals.encryption.clone(),
            database,
            source,
            gzip_index: receipt.index.clone(),
        })
    }

    /// Writes the manifest: from here on the backup exists.
    fn publish(&self, manifest: &Manifest, seals: &ManifestSeals) -> Result<(), OperationError> {
        let of_archive = |source| OperationError::Manifest {
            archive: self.archive.to_owned(),
            source,
        };
        let salt = self.vault.seal_salt();
        let ring = &self.vault.ring;
        let by = match &seals.key {
            Some(key) => SealedBy::Archive(key),
            None => SealedBy::Ring(ring, salt.as_ref()),
        };
        let mut file =
            ManifestFile::seal(manifest.clone(), &by, ring.signer()).map_err(of_archive)?;
        file.state.pinned = self.plan.keep;
        let bytes = file.to_bytes().map_err(of_archive)?;
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            // Nobody could read it again.
            return Err(OperationError::Refused {
                what: format!(
                    "its manifest would have {} MiB, and {} are read: too many names of tables \
                     or files stand in it; back it up in parts",
                    bytes.len() >> 20,
                    MANIFEST_BYTES_MAX >> 20
                ),
            });
        }
        self.vault.cancel.check()?;
        let storage = self.vault.storage;
        let key = manifest_key(self.archive);
        let mut pending = storage.create(&key)?;
        pending.write_all(&bytes).map_err(|source| {
            StorageError::new("write", format!("{}/{key}", storage.location()), source)
        })?;
        Ok(pending.commit()?)
    }
}

/// What the manifest needs of an envelope, which is used up by sealing.
struct ManifestSeals {
    encryption: Option<manifest::Encryption>,
    /// For the manifest's own seal.
    key: Option<SecretKey>,
}

impl ManifestSeals {
    fn of(envelope: &Envelope) -> Self {
        let (format, key_id, key) = match envelope {
            Envelope::None => {
                return Self {
                    encryption: None,
                    key: None,
                };
            }
            Envelope::Kluis1(new) => {
                let key = SecretKey::from_bytes(*new.keys.manifest.expose());
                ("KLUIS1", new.key_id.clone(), Some(key))
            }
            Envelope::Kanbu(key) => ("kanbu", key.id().to_string(), None),
        };
        Self {
            encryption: Some(manifest::Encryption {
                format: format.to_owned(),
                key_id,
            }),
            key,
        }
    }
}
