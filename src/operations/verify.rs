//! Proves backups: reads them the way a restore would, into a target that keeps
//! nothing, and writes down what was reached.

use std::io::BufRead;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::compare::counts_alike;
use super::read::{integrity, look_first, read_backup, read_known};
use super::remove::still_there;
use super::state::change_state;
use super::stored::{Stored, check_stored};
use super::{Held, MakeCheck, OperationError, Run, UnusedCopy, Vault};
use crate::catalog::Backup;
use crate::checked::abridged;
use crate::dump::{expected_part, without_objects};
use crate::format::manifest::{Kind, Manifest, ProofLevel, Standing, Verification};
use crate::ledger::Difference;
use crate::lock::LockKind;
use crate::target::{Received, Target};

/// Of what is written down.
const DETAIL_BYTES_MAX: usize = 4 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Size and checksum of the stored bytes; needs no key.
    Quick,
    /// Decrypt, hash, decompress, parse, compare with the manifest.
    Full,
    /// And restore into a throwaway place, read that back, compare once more.
    Restore,
}

#[derive(Debug)]
pub struct VerifyDone {
    pub archive: String,
    pub level: ProofLevel,
    pub stored_bytes: u64,
    pub raw_bytes: Option<u64>,
    pub took: Duration,
    pub warnings: Vec<String>,
    /// The level was reached by one copy of the header; this is the other one.
    pub unused_copy: Option<UnusedCopy>,
    /// Its header is not the one that was written with it, and nobody opened it: that
    /// proves nothing, and takes nothing back that was found before.
    pub is_unopened: bool,
}

/// What a quick look could not see.
const UNOPENED: &str = "its payload is as it was written; its header is not, as a change of keys \
                        leaves it, and no key here opened it: whether it opens was not looked \
                        at. Verify it where its key is";

impl VerifyDone {
    /// What is wrong with a backup that restores all the same.
    pub fn damage(&self) -> Option<&UnusedCopy> {
        self.unused_copy.as_ref().filter(|copy| copy.is_damaged())
    }
}

/// Verifies one backup. An archive that is wrong is the error; it is also
/// written into the backup's state, so that `list` shows it. One that restores by
/// one header copy only is proven, and [`VerifyDone::damage`] tells of the other.
pub fn verify(
    vault: &Vault<'_>,
    backup: &Backup,
    depth: Depth,
    now: Timestamp,
    make_check: MakeCheck<'_>,
) -> Result<VerifyDone, OperationError> {
    let begun = Instant::now();
    let lock = vault.lock(LockKind::Shared, now)?;
    still_there(vault.storage, backup)?;
    let run = Run::start_reading(vault, Some(&backup.archive), now)?;
    // A database's own code runs as long as its owner likes, and a sparse file of 8 TB
    // is read for hours: of all backups only this one is kept from other runs meanwhile.
    let held = match depth {
        Depth::Full | Depth::Restore => Held::archive(vault, backup, lock)?,
        Depth::Quick => Held::Storage(lock),
    };
    let result = match depth {
        Depth::Quick => quick(vault, backup),
        Depth::Full => full(vault, backup, make_check, ProofLevel::Verified),
        Depth::Restore => restored(vault, backup, make_check),
    }
    .map_err(|error| vault.stopped_or(error));
    let ended = result.as_ref().map(|_| backup.stored_bytes());
    run.end_reading(ended.map_err(|error| error.recorded(backup.is_foreign)));
    let verification = match &result {
        Ok(done) if done.is_unopened => None,
        Ok(done) => Some(Verification {
            level: done.level,
            at: now,
            ok: true,
            detail: done.damage().map(UnusedCopy::to_string),
        }),
        // Without its key nothing was seen of the archive: an earlier proof
        // stands, or a typing mistake would take it from the newest backup.
        Err(error) => against(error, backup, now),
    };
    if let (Some(verification), Some(_)) = (verification, &backup.file) {
        let _lock = match held {
            Held::Storage(lock) => lock,
            // However long a backup takes: nobody waits for this.
            Held::Archive(_) => vault.lock_within(LockKind::Shared, now, Some(Duration::MAX))?,
        };
        note(vault, backup, verification);
    }
    result.map(|done| VerifyDone {
        took: begun.elapsed(),
        ..done
    })
}

fn quick(vault: &Vault<'_>, backup: &Backup) -> Result<VerifyDone, OperationError> {
    let archive = &backup.archive;
    let Some(file) = &backup.file else {
        return Err(OperationError::Usage {
            what: format!("{archive} has no checksum to compare with; verify it without --quick"),
        });
    };
    let (unused_copy, is_unopened) = match check_stored(vault, backup, &file.manifest)? {
        Stored::AsWritten => (None, false),
        Stored::Opened(unused_copy) => (unused_copy, false),
        Stored::NotOpened => (None, true),
    };
    Ok(VerifyDone {
        archive: archive.clone(),
        level: ProofLevel::Stored,
        stored_bytes: backup.stored_bytes(),
        raw_bytes: None,
        took: Duration::ZERO,
        warnings: is_unopened
            .then(|| UNOPENED.to_owned())
            .into_iter()
            .collect(),
        unused_copy,
        is_unopened,
    })
}

/// Without a manifest there is nothing that the copy could be compared with, nor
/// a place to write the result down.
fn restored(
    vault: &Vault<'_>,
    backup: &Backup,
    make_check: MakeCheck<'_>,
) -> Result<VerifyDone, OperationError> {
    if backup.file.is_none() {
        return Err(OperationError::Usage {
            what: format!(
                "{} has no manifest to compare with; verify it without --restore",
                backup.archive
            ),
        });
    }
    full(vault, backup, make_check, ProofLevel::Restored)
}

fn full(
    vault: &Vault<'_>,
    backup: &Backup,
    make_check: MakeCheck<'_>,
    level: ProofLevel,
) -> Result<VerifyDone, OperationError> {
    let mut check = make_check(backup)?;
    let phase = match level {
        ProofLevel::Restored => format!("proving {}", backup.name()),
        _ => format!("verifying {}", backup.name()),
    };
    let receive = |stream: &mut dyn BufRead| Ok(check.receive(stream)?);
    let (received, report) = match level {
        // It is run, and with --in-server without walls.
        ProofLevel::Restored => {
            let reading = format!("reading {}", backup.name());
            let seen = look_first(vault, backup, &reading)?;
            read_known(vault, backup, seen, &phase, receive)?
        }
        _ => read_backup(vault, backup, &phase, receive)?,
    };
    if let Some(file) = &backup.file {
        compare(&backup.archive, &file.manifest, &received)?;
        if level == ProofLevel::Restored {
            let copy = read_back(vault, backup, check.as_mut())?;
            compare_copy(&backup.archive, &file.manifest, [&received, &copy])?;
        }
    }
    Ok(VerifyDone {
        archive: backup.archive.clone(),
        level,
        stored_bytes: backup.stored_bytes(),
        raw_bytes: Some(report.unsealed.raw_bytes),
        took: Duration::ZERO,
        warnings: received.warnings,
        unused_copy: report.unused_copy,
        is_unopened: false,
    })
}

fn read_back(
    vault: &Vault<'_>,
    backup: &Backup,
    check: &mut dyn Target,
) -> Result<Received, OperationError> {
    let phase = format!("comparing the restored {}", backup.name());
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let raw_bytes = manifest.map(|manifest| manifest.content.raw_bytes);
    vault.reporter.phase(&phase, raw_bytes);
    let copy = check.read_back(&|bytes| vault.reporter.advance(bytes));
    vault.reporter.phase_done();
    copy?.ok_or_else(|| OperationError::Refused {
        what: format!("{}: what was restored cannot be read back", backup.archive),
    })
}

/// What was read is what the manifest says was written.
pub(super) fn compare(
    archive: &str,
    manifest: &Manifest,
    received: &Received,
) -> Result<(), OperationError> {
    let ledger = ledger_differences(manifest, received);
    let tree = tree_differences(manifest, received);
    match told("its content", &ledger, tree) {
        None => Ok(()),
        Some(what) => Err(integrity(archive, &what)),
    }
}

/// What was restored is what was received, of which it is known to be as the manifest
/// says.
fn compare_copy(
    archive: &str,
    manifest: &Manifest,
    [received, copy]: [&Received; 2],
) -> Result<(), OperationError> {
    let mut ledger = Vec::new();
    if let (Some(known), Some(dumped), Some(copied)) =
        (&manifest.database, &received.database, &copy.database)
    {
        ledger = dumped.ledger.differences(&copied.ledger);
        if !counts_alike(known, copied) {
            ledger.retain(|difference| !matches!(difference, Difference::Objects { .. }));
        }
    }
    let tree = tree_differences(manifest, copy);
    match told("the restored copy", &ledger, tree) {
        None => Ok(()),
        Some(what) => Err(OperationError::CopyDiffers {
            archive: archive.to_owned(),
            what,
        }),
    }
}

fn ledger_differences(manifest: &Manifest, seen: &Received) -> Vec<Difference> {
    match (manifest.kind, &manifest.database, &seen.database) {
        (Kind::Db, Some(expected), Some(found)) => match &seen.part {
            None => expected.ledger.differences(&found.ledger),
            Some(part) => {
                let expected = expected_part(&expected.ledger, part);
                expected.differences(&without_objects(&found.ledger))
            }
        },
        _ => Vec::new(),
    }
}

fn tree_differences(manifest: &Manifest, seen: &Received) -> Vec<String> {
    let (Some(expected), Some(seen)) = (&manifest.source, &seen.tree) else {
        return Vec::new();
    };
    let counts = [
        ("files", expected.files, seen.files),
        ("directories", expected.directories, seen.directories),
        ("symlinks", expected.symlinks, seen.symlinks),
        ("hard links", expected.hard_links, seen.hard_links),
        ("bytes", expected.bytes, seen.bytes),
    ];
    let wrong = counts.iter().filter(|(_, expected, seen)| expected != seen);
    wrong
        .map(|(what, expected, seen)| format!("{what}: {seen}, not {expected}"))
        .collect()
}

/// `None` where nothing differs.
fn told(subject: &str, ledger: &[Difference], tree: Vec<String>) -> Option<String> {
    let count = ledger.len() + tree.len();
    if count == 0 {
        return None;
    }
    let all = ledger.iter().map(ToString::to_string).chain(tree);
    let shown = all.take(5).collect::<Vec<_>>().join("; ");
    Some(format!(
        "{subject} differs from its manifest in {count} places: {shown}"
    ))
}

/// Whoever reads an archive and finds it damaged writes that down, so that `list`
/// shows it and prune does not count on it. A missing key says nothing of it, nor
/// does what a server made of it.
pub(super) fn remember_damage(
    vault: &Vault<'_>,
    backup: &Backup,
    error: &OperationError,
    now: Timestamp,
) {
    let of_server = matches!(
        error,
        OperationError::Postgres(_) | OperationError::Target(_)
    );
    if let (Some(verification), Some(_), false) =
        (against(error, backup, now), &backup.file, of_server)
    {
        note(vault, backup, verification);
    }
}

/// What is written down of a backup that something was found against.
fn against(error: &OperationError, backup: &Backup, at: Timestamp) -> Option<Verification> {
    let level = match error.standing()? {
        Standing::Good(level) => level,
        // It was read whole before.
        Standing::DoesNotRestore => ProofLevel::Verified,
        Standing::Damaged => ProofLevel::Stored,
    };
    Some(Verification {
        level,
        at,
        ok: false,
        detail: Some(error.recorded(backup.is_foreign).into_text()),
    })
}

/// Writes a verdict into the backup's state. A failure to do so is told and changes
/// nothing else.
fn note(vault: &Vault<'_>, backup: &Backup, mut verification: Verification) {
    // An error may repeat what somebody else wrote: too much for a state.
    let detail = verification
        .detail
        .map(|text| abridged(&text, DETAIL_BYTES_MAX).into_owned());
    verification.detail = detail;
    if let Err(error) = write_down(vault, backup, verification) {
        let text = format!("the result could not be written down: {error}");
        vault.reporter.warn(&text);
    }
}

/// A lower proof never replaces a higher one that still stands, nor what a restore
/// found, which only a restore takes back; what it says of the header's copies is news
/// all the same. What was read before the lock was taken may be another backup's by
/// now: of that nothing was seen. Where there is no key at all, what a key sealed stays.
fn write_down(
    vault: &Vault<'_>,
    backup: &Backup,
    verification: Verification,
) -> Result<(), OperationError> {
    change_state(vault, &backup.archive, |file| {
        // Its id alone may come again, beside another archive.
        let read = backup.file.as_ref();
        let is_it = read.is_some_and(|read| read.has_manifest_of(file));
        if !is_it || vault.ring.knows_nothing() && file.has_sealed_state() {
            return false;
        }
        let known = file.state.verification.clone();
        let better = known.filter(|known| {
            let stands = known.ok && known.level > verification.level
                || known.standing() == Standing::DoesNotRestore
                    && verification.level < ProofLevel::Restored;
            verification.ok && stands
        });
        file.state.verification = match better {
            Some(known) if !known.ok || known.detail == verification.detail => return false,
            Some(known) => Some(Verification {
                detail: verification.detail,
                ..known
            }),
            None => Some(verification),
        };
        true
    })
}
