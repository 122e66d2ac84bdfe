//! Writes one archive anew under another data key: the same backup, the same
//! compressed stream, another header and payload.
//!
//! Invariant: the old archive is removed only after the new one was read back
//! whole and its manifest is there, which tells of the old one.

use std::io::Write;

use jiff::Timestamp;

use super::described::{describe, state};
use super::keys::{opened_new, same_keys, unknown_legacy};
use super::slots::slots_of;
use super::vouched::prove_whole;
use super::{KeyOutcome, Target, names};
use crate::catalog::{Backup, Unproven};
use crate::checked::FileName;
use crate::format::age::AgeRecipient;
use crate::format::header::{self, ArchiveKeys, FIRST_GENERATION, Header, HeaderError, Opened};
use crate::format::manifest::{Codec, Manifest, State};
use crate::format::manifest_file::{ManifestFile, SealedBy};
use crate::format::names::{ArchiveName, manifest_key};
use crate::format::slots::SlotName;
use crate::operations::backup::free_name;
use crate::operations::read::{
    Form, OpenedArchive, integrity, open_backup, read_head, read_opened,
};
use crate::operations::remove::{remove_backup, remove_if_there};
use crate::operations::verify::compare;
use crate::operations::{MakeCheck, OperationError, Run, Vault};
use crate::pipeline::{
    ArchiveMeta, Envelope, NewArchive, PassphraseSalt, Sealing, Unsealing, new_archive_also_for,
    seal, unseal,
};
use crate::storage::{ErrorKind, StorageError, StoredObject};

pub(super) struct Reencrypting<'a> {
    pub vault: &'a Vault<'a>,
    /// The place in the ring of the key that goes, if one was named.
    pub from: Option<usize>,
    /// That key's id in manifests of legacy archives; derived once.
    pub from_legacy: Option<String>,
    pub salt: PassphraseSalt,
    pub make_check: MakeCheck<'a>,
    pub now: Timestamp,
    /// No backup was named.
    pub all: bool,
    pub accepts_unsealed: bool,
    /// Every name that the storage had since the run began: none is given twice,
    /// or two backups would have had it one after the other.
    pub taken: Vec<String>,
}

/// A new archive in the storage that no manifest speaks of yet.
struct Written {
    archive: String,
    manifest: Manifest,
    keys: ArchiveKeys,
    /// As it was made: copies A and B of the header.
    head: Vec<u8>,
}

/// Who opens the new archive beside the writing keys, and who does no more.
#[derive(Default)]
struct Others {
    recipients: Vec<AgeRecipient>,
    lost: Vec<String>,
}

impl Reencrypting<'_> {
    /// The outcome, and the bytes that were written into the storage.
    pub fn one(
        &mut self,
        target: &Target,
        run: Option<&mut Run<'_>>,
    ) -> Result<(KeyOutcome, u64), OperationError> {
        let header = match self.is_meant(target)? {
            Ok(header) => header,
            Err(outcome) => return Ok((outcome, 0)),
        };
        let backup = target.backup();
        let Some(old) = &backup.file else {
            let what = format!(
                "{}: it has no manifest to go on with; `kluis adopt` makes one",
                target.archive
            );
            return Err(OperationError::Refused { what });
        };
        if let (Some(why), None) = (&target.disbelieved, &header) {
            // What it says would be sealed by our own key then.
            let what = format!(
                "{}: its manifest is not believed ({why}); `kluis adopt` makes one that is",
                target.archive
            );
            return Err(OperationError::Refused { what });
        }
        let others = header.map_or_else(Others::default, |header| self.others(&header));
        let note = (!others.lost.is_empty())
            .then(|| format!("no longer opened by {}", others.lost.join(" and ")));
        // Its seal, name and header are looked at before anything is written.
        let opened = open_backup(self.vault, &backup)?;
        if let (Form::Kluis1, Err(why)) = (opened.form, self.prove(target, &opened)) {
            return Ok((KeyOutcome::Unproven(why), 0));
        }
        let Some(run) = run else {
            return Ok((KeyOutcome::Changed(note), 0));
        };
        let archive = self.new_name(&backup, &old.manifest)?;
        run.goes_on_with(&archive)?;
        let file = self
            .write(&archive, &backup, &old.manifest, opened, &others)
            .and_then(|written| self.publish(written, &old.state))
            .inspect_err(|error| self.take_back(&archive, error, run))?;
        run.goes_on_with(&target.archive)?;
        remove_backup(self.vault.storage, &backup).inspect_err(|_| run.leaves_work())?;
        Ok((KeyOutcome::Changed(note), file.manifest.stored.bytes))
    }

    /// It would be sealed by our own key then, and signed.
    fn prove(&self, target: &Target, opened: &OpenedArchive) -> Result<(), Unproven> {
        let seen = (opened.is_vouched, opened.manifest_key.as_ref());
        prove_whole(&self.vault.ring, target, seen, self.accepts_unsealed)
    }

    /// Whether this archive is to be written anew; of KLUIS1, its header.
    fn is_meant(
        &self,
        target: &Target,
    ) -> Result<Result<Option<Header>, KeyOutcome>, OperationError> {
        let head = read_head(self.vault.storage, &target.archive)?;
        if !header::has_magic(&head) {
            return Ok(self.is_meant_without_slots(target));
        }
        if self.all && self.from.is_none() {
            return Ok(Err(KeyOutcome::Already));
        }
        match header::open(&head, &self.vault.ring) {
            Ok(Opened { header, .. }) => Ok(match self.from {
                // After a change of keys the data key is still the old one.
                Some(from)
                    if slots_of(&self.vault.ring, &header, from).is_empty()
                        && header.generation == FIRST_GENERATION =>
                {
                    Err(self.passed_over(&header))
                }
                _ => Ok(Some(header)),
            }),
            Err(HeaderError::NoKey { wants }) if self.from.is_some() => {
                Ok(Err(KeyOutcome::OtherKey(wants.join(" or "))))
            }
            Err(source) => Err(OperationError::Header {
                archive: target.archive.clone(),
                source,
            }),
        }
    }

    fn passed_over(&self, header: &Header) -> KeyOutcome {
        let ring = &self.vault.ring;
        let mut writers = ring.writers();
        match writers.any(|(index, _)| !slots_of(ring, header, index).is_empty()) {
            true => KeyOutcome::Already,
            false => KeyOutcome::OtherKey(names(header).join(" or ")),
        }
    }

    /// Legacy ones where the old key is theirs, or none was named; plain ones by name.
    fn is_meant_without_slots(&self, target: &Target) -> Result<Option<Header>, KeyOutcome> {
        let form = target.form_without_slots();
        let encryption = target.manifest().and_then(|m| m.encryption.as_ref());
        let old_key = self.from_legacy.as_ref();
        let is_meant = match (form, self.from) {
            ("kanbu", Some(_)) => encryption.is_some_and(|it| Some(&it.key_id) == old_key),
            ("kanbu", None) => target.file.is_some() || !self.all,
            (_, None) => !self.all,
            (_, Some(_)) => false,
        };
        match (form, self.from) {
            _ if is_meant => Ok(None),
            ("kanbu", Some(_)) if encryption.is_none() => {
                Err(KeyOutcome::Failed(unknown_legacy(&target.archive)))
            }
            _ => Err(KeyOutcome::NotKluis1(form)),
        }
    }

    /// The other keys of an archive that is written anew: age recipients are
    /// known by their slots, and get one again; a key or passphrase that is not
    /// here cannot.
    fn others(&self, header: &Header) -> Others {
        let ring = &self.vault.ring;
        let places = ring.writers().map(|(index, _)| index).chain(self.from);
        let known: Vec<usize> = places
            .flat_map(|index| slots_of(ring, header, index))
            .collect();
        let mut others = Others::default();
        for (at, slot) in header.slots.iter().enumerate() {
            if known.contains(&at) {
                continue;
            }
            match slot.name() {
                SlotName::Age(Some(name)) if name.parse::<AgeRecipient>().is_ok() => {
                    others.recipients.extend(name.parse().ok());
                }
                name => others.lost.push(name.to_string()),
            }
        }
        others
    }

    /// The next free name of the same second.
    fn new_name(&mut self, backup: &Backup, old: &Manifest) -> Result<String, OperationError> {
        let format = backup.format().ok_or_else(|| OperationError::Refused {
            what: format!(
                "{}: its format is unknown; use a newer kluis",
                backup.archive
            ),
        })?;
        let name = ArchiveName {
            name: old.name.clone(),
            created: old.created_at,
            format,
            codec: old.content.codec,
            encrypted: true,
            copy: 1,
        };
        let archive = free_name(&self.taken, name)?;
        self.taken.push(archive.clone());
        Ok(archive)
    }

    /// Moves the compressed stream from the old archive into the new one, as it
    /// is, and makes that durable.
    fn write(
        &self,
        archive: &str,
        backup: &Backup,
        old: &Manifest,
        opened: OpenedArchive,
        others: &Others,
    ) -> Result<Written, OperationError> {
        let Self { vault, .. } = self;
        let new = self.new_archive(archive, old, others)?;
        let (head, key_id) = (new.head().to_vec(), new.key_id.clone());
        let keys = same_keys(&new, &head)?;
        let unsealing = Unsealing {
            opening: opened.opening,
            // Compressed as it is, it goes from one to the other.
            codec: Some(Codec::None),
            workers: 1,
            digests: true,
            told_bytes: None,
            cancel: vault.cancel.clone(),
        };
        let sealing = Sealing {
            codec: Codec::None,
            level: 0,
            workers: 1,
            envelope: Envelope::Kluis1(Box::new(new)),
            cancel: vault.cancel.clone(),
        };
        let stored = vault.storage.open(&backup.archive, opened.offset)?;
        let mut pending = vault.storage.create(archive)?;
        let phase = format!("writing {} anew", backup.name());
        vault.reporter.phase(&phase, Some(old.content.bytes));
        let advance = |bytes| vault.reporter.advance(bytes);
        let moved = unseal(stored, unsealing, &advance, |content| {
            let sealed = seal(content, &mut *pending, sealing, &|_| ());
            sealed.map_err(OperationError::from)
        });
        vault.reporter.phase_done();
        let (receipt, _) = moved?;
        if receipt.content_sha256 != old.content.sha256 {
            let what = "its content is not the one that its manifest speaks of";
            return Err(integrity(&backup.archive, what));
        }
        pending.commit()?;
        Ok(Written {
            manifest: describe(FileName::new(archive)?, key_id, &receipt, old),
            archive: archive.to_owned(),
            keys,
            head,
        })
    }

    fn new_archive(
        &self,
        archive: &str,
        old: &Manifest,
        others: &Others,
    ) -> Result<NewArchive, OperationError> {
        let meta = ArchiveMeta {
            kind: old.kind,
            name: old.name.clone(),
            created: old.created_at,
            codec: old.content.codec,
        };
        new_archive_also_for(&self.vault.ring, &others.recipients, &meta, &self.salt)
            .map_err(|why| super::refused(archive, &why))
    }

    /// Reads the new archive to its end, as a restore would, and writes its
    /// manifest: from here on it is the backup.
    fn publish(&self, written: Written, old: &State) -> Result<ManifestFile, OperationError> {
        let Self { vault, now, .. } = self;
        let Written {
            archive,
            manifest,
            keys,
            head,
        } = written;
        let of_archive = |source| OperationError::Manifest {
            archive: archive.clone(),
            source,
        };
        let by = SealedBy::Archive(&keys.manifest);
        let sealed = ManifestFile::seal(manifest, &by, vault.ring.signer());
        let mut file = sealed.map_err(of_archive)?;
        // Written only if it turns out to be so.
        file.state = state(old, *now);
        file.seal_state(&by).map_err(of_archive)?;
        let backup = Backup {
            archive: archive.clone(),
            stored: Some(StoredObject {
                key: archive.clone(),
                bytes: file.manifest.stored.bytes,
                modified: *now,
            }),
            named: ArchiveName::parse(&archive),
            file: Some(file.clone()),
            series: None,
            vouched_only: false,
            is_foreign: false,
        };
        if read_head(vault.storage, &archive)? != head {
            let what = "its header does not read back as it was written";
            return Err(integrity(&archive, what));
        }
        let mut check = (self.make_check)(&backup)?;
        let phase = format!("verifying {}", backup.name());
        let opened = opened_new(keys);
        let (received, _) = read_opened(vault, &backup, opened, &phase, |stream| {
            Ok(check.receive(stream)?)
        })?;
        compare(&archive, &file.manifest, &received)?;
        let bytes = file.to_bytes().map_err(of_archive)?;
        vault.cancel.check()?;
        let key = manifest_key(&archive);
        let mut pending = vault.storage.create(&key)?;
        pending.write_all(&bytes).map_err(|source| {
            let place = format!("{}/{key}", vault.storage.location());
            StorageError::new("write", place, source)
        })?;
        pending.commit()?;
        Ok(file)
    }

    /// A failure leaves the old archive as the only one. The manifest first.
    fn take_back(&self, archive: &str, why: &OperationError, run: &mut Run<'_>) {
        let others = |error: &StorageError| error.kind == ErrorKind::AlreadyExists;
        if matches!(why, OperationError::Storage(error) if others(error)) {
            // Then the name is another program's, and so is what lies there.
            return;
        }
        for key in [&manifest_key(archive), archive] {
            if let Err(error) = remove_if_there(self.vault.storage, key) {
                run.leaves_work();
                let text = format!("{key} stays behind for the next run: {error}");
                self.vault.reporter.warn(&text);
                return;
            }
        }
    }
}
