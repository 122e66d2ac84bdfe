//! Gives back what is left of a backup, and lists what is not whole. For a new
//! destination only: what is there is worth more than a part.
//!
//! The archive is read three times, of a dump in directory format four times. The first
//! reading finds what is damaged, the next what can be kept of it, by the form of what is
//! in it; the last is the restore itself, of a stream that is whole again. Each is held to
//! what the first one saw, so that whoever writes to the storage meanwhile brings nothing
//! in.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::read::{OpenedArchive, at_archive, integrity, open_damaged};
use super::remove::still_there;
use super::restore::{Course, NotRestored, failed, record_end};
use super::verify::remember_damage;
use super::{OperationError, Run, Vault};
use crate::catalog::Backup;
use crate::format::manifest::{Codec, DatabaseContent};
use crate::format::mended::NotWhole;
use crate::format::witness::{Held as HeldTo, Noting, Witness};
use crate::lock::LockKind;
use crate::pipeline::{Digesting, Known, PastDamage, Stretched, UnsealError};
use crate::reached::{Goal, Reached, ended_before, ended_within};
use crate::target::{Received, Target};

mod survey;
mod told;

use told::{add, differences, missing};

/// As large as a block of the archive.
const BUFFER_BYTES: usize = 1 << 20;

pub struct SalvageSteps<'a> {
    pub goal: Goal,
    pub start: StartSalvage<'a>,
}

/// Makes the place that it goes to, once the damage is known.
pub type StartSalvage<'a> =
    Box<dyn FnOnce(&Damage) -> Result<Box<dyn Target>, OperationError> + 'a>;

/// What was found before anything was restored.
#[derive(Debug, Default)]
pub struct Damage {
    pub not_whole: Vec<NotWhole>,
    /// Some of it may be the content of what was backed up: it must lend nobody rights.
    pub is_doubtful: bool,
}

#[derive(Debug)]
pub struct SalvageDone {
    pub received: Received,
    pub not_whole: Vec<NotWhole>,
    pub raw_bytes: u64,
    pub took: Duration,
}

/// Restores what is left of `backup`.
pub fn salvage(
    vault: &Vault<'_>,
    backup: &Backup,
    now: Timestamp,
    steps: SalvageSteps<'_>,
) -> Result<SalvageDone, NotRestored> {
    let begun = Instant::now();
    let goal = steps.goal.clone();
    let mut course = Course::default();
    let mut run = None;
    let result = in_order(vault, backup, now, steps, (&mut run, &mut course))
        .map_err(|error| vault.stopped_or(error))
        .map_err(|error| failed(goal, course, error));
    vault.cancel.if_ended_at_once(None);
    record_end(run, backup, result.as_ref().map(|done| done.raw_bytes));
    Ok(SalvageDone {
        took: begun.elapsed(),
        ..result?
    })
}

fn in_order<'a>(
    vault: &'a Vault<'a>,
    backup: &Backup,
    now: Timestamp,
    steps: SalvageSteps<'_>,
    (run, course): (&mut Option<Run<'a>>, &mut Course),
) -> Result<SalvageDone, OperationError> {
    let lock = vault.lock(LockKind::Shared, now)?;
    still_there(vault.storage, backup)?;
    *run = Some(Run::start_reading(vault, Some(&backup.archive), now)?);
    let _held = super::Held::archive(vault, backup, lock)?;
    let found = First::read(vault, backup)?;
    if let Some(damaged) = found.damaged() {
        remember_damage(vault, backup, &integrity(&backup.archive, &damaged), now);
    }
    let (way, damage) = found.survey(vault, backup)?;
    let to = &steps.goal.shown;
    vault.cancel.if_ended_at_once(Some(ended_before(to, None)));
    let mut target = (steps.start)(&damage)?;
    course.reached = Reached::Staged;
    let mut not_whole = damage.not_whole;
    let filled = found.fill(vault, backup, way, target.as_mut());
    let committed = filled.and_then(|mut filled| {
        not_whole.append(&mut filled.not_whole);
        vault.cancel.check()?;
        let found = differences(vault, backup, &filled, target.as_mut())?;
        add(&mut not_whole, found);
        vault.cancel.check()?;
        vault.cancel.if_ended_at_once(Some(ended_within(to)));
        let told = target.commit(&mut course.reached)?;
        filled.warnings.extend(told);
        Ok(filled)
    });
    if committed.is_err() {
        course.left = target.abandon();
    }
    let received = committed?;
    not_whole.extend(missing(backup, received.tree.as_ref()));
    Ok(SalvageDone {
        received,
        not_whole,
        raw_bytes: found.raw_bytes,
        took: Duration::ZERO,
    })
}

/// What the first reading found.
struct First {
    witness: Witness,
    /// Of what is stored, so much; there is more where it goes on beyond its end.
    seen_bytes: u64,
    /// The gaps' sizes, in order.
    gaps: Vec<Option<u64>>,
    raw_bytes: u64,
    /// Nothing tells which bytes are others than they were.
    is_unclear: bool,
    /// It goes on beyond this length, which the manifest tells.
    beyond: Option<u64>,
}

impl First {
    fn read(vault: &Vault<'_>, backup: &Backup) -> Result<Self, OperationError> {
        let opened = open_damaged(vault, backup)?;
        let stored = vault.storage.open(&backup.archive, opened.offset)?;
        let hashing = Hashing(stored, Digesting::new(io::sink()));
        let mut noting = Noting::new(hashing);
        let offset = opened.offset;
        vault.reporter.phase(
            &format!("looking for damage in {}", backup.name()),
            Some(backup.stored_bytes()),
        );
        let read = read_all(vault, backup, opened, &mut noting);
        vault.reporter.phase_done();
        let (gaps, raw_bytes, is_beyond) = read?;
        if !is_beyond {
            // Also what lies behind the end: the next readings meet it too.
            io::copy(&mut noting, &mut io::sink()).map_err(UnsealError::Storage)?;
        }
        let (Hashing(_, digest), witness) = noting.into_parts();
        let manifest = backup.file.as_ref().map(|file| &file.manifest);
        let is_bare = manifest.is_some_and(|it| it.content.codec == Codec::None && offset == 0);
        let (_, sha256, seen_bytes) = digest.finish();
        let is_unclear = is_bare && manifest.is_some_and(|it| it.stored.sha256 != sha256);
        Ok(Self {
            witness,
            gaps,
            raw_bytes,
            is_unclear,
            seen_bytes,
            beyond: told_bytes(backup).filter(|_| is_beyond),
        })
    }

    fn damaged(&self) -> Option<String> {
        let places = self.gaps.len();
        let damaged = match (places, self.is_unclear) {
            (0, false) => None,
            (0, true) => Some("it is not what was written".to_owned()),
            (1, _) => Some("it is damaged in one place".to_owned()),
            (places, _) => Some(format!("it is damaged in {places} places")),
        };
        let Some(told) = self.beyond else {
            return damaged;
        };
        let beyond = format!(
            "it goes on beyond the {told} bytes that its manifest tells, and was read no further"
        );
        let both = damaged.map(|damaged| format!("{damaged}; {beyond}"));
        Some(both.unwrap_or(beyond))
    }

    /// The archive once more, held to what was seen.
    fn again<'v>(
        &self,
        vault: &'v Vault<'_>,
        backup: &Backup,
    ) -> Result<Stretched<impl Read + use<'v>>, OperationError> {
        let opened = open_damaged(vault, backup)?;
        let stored = vault.storage.open(&backup.archive, opened.offset)?;
        let held = HeldTo::new(stored.take(self.seen_bytes), self.witness.clone());
        let known = Known {
            gaps: self.gaps.clone(),
            ..known(backup, &opened)
        };
        let cancel = vault.cancel.clone();
        let pieces = PastDamage::new(held, opened.opening, known, cancel)?;
        Ok(Stretched::new(pieces))
    }
}

fn content(backup: &Backup) -> Option<&DatabaseContent> {
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    manifest.and_then(|manifest| manifest.database.as_ref())
}

/// How long all of it was before it was compressed, as its manifest tells.
fn told_bytes(backup: &Backup) -> Option<u64> {
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    manifest.map(|it| it.content.raw_bytes)
}

/// Notes each byte's part of a checksum.
struct Hashing<R>(R, Digesting<io::Sink>);

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        io::Write::write_all(&mut self.1, &buffer[..count])?;
        Ok(count)
    }
}

fn known(backup: &Backup, opened: &OpenedArchive) -> Known {
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let of_header = opened.meta.as_ref().map(|meta| meta.codec);
    Known {
        codec: manifest.map(|it| it.content.codec).or(of_header),
        index: manifest.and_then(|it| it.gzip_index.clone()),
        raw_bytes: told_bytes(backup),
        gaps: Vec::new(),
    }
}

/// The gaps, how many bytes there are between them, and whether there would be more.
fn read_all(
    vault: &Vault<'_>,
    backup: &Backup,
    opened: OpenedArchive,
    stored: impl Read,
) -> Result<(Vec<Option<u64>>, u64, bool), OperationError> {
    let at = |error: UnsealError| at_archive(error.into(), &backup.archive);
    let known = known(backup, &opened);
    let cancel = vault.cancel.clone();
    let mut pieces = PastDamage::new(stored, opened.opening, known, cancel).map_err(at)?;
    let mut raw_bytes = 0;
    while let Some(piece) = pieces.next_piece().map_err(at)? {
        if let crate::pipeline::Piece::Bytes(bytes) = piece {
            raw_bytes += bytes.len() as u64;
            vault.reporter.advance(bytes.len() as u64);
        }
    }
    Ok((pieces.gaps().to_vec(), raw_bytes, pieces.is_beyond()))
}
