//! A backup is there once, however often its archive is. Who can add to a storage can
//! put a backup there again that was written anew since, in an archive that a key of
//! ours still opens: it is genuine, and it must not count beside itself.
//!
//! Invariant: behind [`Catalog::count_each_once`] no two of `backups` have one id.

use std::collections::{BTreeMap, HashSet};

use super::trust::read_start;
use super::{Backup, Catalog, Foreign, Named, Ours, Trust};
use crate::format::header::{self, PAYLOAD_OFFSET};
use crate::format::manifest::{Manifest, Standing};
use crate::ids::BackupId;
use crate::storage::Storage;

/// An archive whose backup was written anew into another one. Until a sweep has
/// removed it, both are there.
pub enum Superseded {
    Ours(Ours),
    /// It may be under a key that is not here any more.
    Foreign(Foreign),
}

impl Superseded {
    pub fn named(&self) -> Named<'_> {
        match self {
            Self::Ours(ours) => Named::Ours(ours),
            Self::Foreign(foreign) => Named::Foreign(foreign),
        }
    }

    pub fn backup(&self) -> &Backup {
        self.named().backup()
    }
}

/// An archive of ours with a backup that another one stands for, and nothing tells
/// that it was written in this one's place. It stays, and it is told.
pub struct Repeated {
    pub ours: Ours,
    /// The archive that counts.
    pub by: String,
}

impl Repeated {
    /// For people, behind the archive's name.
    pub fn why(&self) -> String {
        format!("it is the backup in {} once more", self.by)
    }
}

impl Catalog {
    /// Sets aside what another archive stands for.
    pub(super) fn count_each_once(&mut self, storage: &dyn Storage, trust: Trust<'_>) {
        let standing = self.standing(storage, trust);
        let mut others = Vec::new();
        for ours in std::mem::take(&mut self.backups) {
            match id(&ours).and_then(|id| standing.get(id)) {
                Some(by) if *by != ours.archive => others.push((ours, by.clone())),
                _ => self.backups.push(ours),
            }
        }
        for (ours, by) in others {
            let mut standing = self.backups.iter().filter(|it| it.archive == by);
            match standing.any(|new| may_supersede(new, trust) && supersedes(new, &ours)) {
                true => self.superseded.push(Superseded::Ours(ours)),
                false => self.repeated.push(Repeated { ours, by }),
            }
        }
        self.set_foreign_aside(trust);
    }

    /// Of each backup that is there more than once the archive that counts.
    fn standing(&self, storage: &dyn Storage, trust: Trust<'_>) -> BTreeMap<BackupId, String> {
        let mut of_id: BTreeMap<&BackupId, Vec<&Ours>> = BTreeMap::new();
        for ours in &self.backups {
            if let Some(id) = id(ours) {
                of_id.entry(id).or_default().push(ours);
            }
        }
        let repeated = of_id.into_iter().filter(|(_, all)| all.len() > 1);
        let stands = |(id, all): (&BackupId, Vec<&Ours>)| {
            let best = all.into_iter().max_by_key(|it| rank(storage, trust, it))?;
            Some((id.clone(), best.archive.clone()))
        };
        repeated.filter_map(stands).collect()
    }

    /// What an archive of ours names as the one that it was written in place of, and
    /// which no key here opens any more.
    fn set_foreign_aside(&mut self, trust: Trust<'_>) {
        let is_new = |ours: &&Ours| from(ours).is_some() && may_supersede(ours, trust);
        let new: Vec<&Ours> = self.backups.iter().filter(is_new).collect();
        let named: HashSet<&str> = new.iter().filter_map(|new| from(new)).collect();
        let is_old = |foreign: &mut Foreign| {
            let old = foreign.described();
            named.contains(old.archive.as_str()) && new.iter().any(|new| supersedes(new, old))
        };
        let old = self.foreign.extract_if(.., is_old);
        self.superseded.extend(old.map(Superseded::Foreign));
    }
}

/// With a key only what that key proved takes another's place.
fn may_supersede(new: &Ours, trust: Trust<'_>) -> bool {
    match trust {
        Trust::NoKey => true,
        Trust::Unchecked => new.is_checked(),
        Trust::Ring(ring) => new.is_checked() && ring.tells_who_wrote(),
    }
}

/// Whether `new` is the backup `old`, written anew, and seems to be there whole. Names
/// come again, so the old one is told by its checksum too.
pub fn supersedes(new: &Ours, old: &Backup) -> bool {
    let (Some(new_file), Some(old_file)) = (&new.file, &old.file) else {
        return false;
    };
    let from = new_file.manifest.reencrypted_from.as_ref();
    let is_from = from.is_some_and(|from| {
        from.file == old.archive && from.sha256 == old_file.manifest.stored.sha256
    });
    new.archive != old.archive
        && new.stored_bytes() == new_file.manifest.stored.bytes
        && new_file.manifest.id == old_file.manifest.id
        && is_from
}

/// Which of several archives of one backup counts: the one that ranks highest, by the
/// first difference.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_whole: bool,
    /// Its manifest names it.
    is_its_own: bool,
    is_checked: bool,
    /// Before what manifests say: a key that only reads may have leaked, and whoever
    /// has it writes what he likes.
    opens_by_a_writer: bool,
    /// Where that is known of who wrote it.
    times_written_anew: u32,
    /// Else what says that it was not comes first: nobody hides a backup by saying that
    /// he wrote it anew.
    is_first: bool,
    archive: String,
}

fn rank(storage: &dyn Storage, trust: Trust<'_>, ours: &Ours) -> Rank {
    let manifest = manifest(ours);
    let times = manifest.map_or(0, Manifest::times_written_anew);
    Rank {
        is_whole: ours.standing().is_some_and(|it| it != Standing::Damaged),
        is_its_own: manifest.is_some_and(|it| it.stored.file == ours.archive),
        is_checked: ours.is_checked(),
        opens_by_a_writer: opens_by_a_writer(storage, trust, ours),
        times_written_anew: if may_supersede(ours, trust) { times } else { 0 },
        is_first: times == 0,
        archive: ours.archive.clone(),
    }
}

/// Whether a key opens it that new archives are written with.
fn opens_by_a_writer(storage: &dyn Storage, trust: Trust<'_>, ours: &Ours) -> bool {
    let Trust::Ring(ring) = trust else {
        return false;
    };
    let head = read_start(storage, &ours.archive, PAYLOAD_OFFSET);
    let Some(header) = head.ok().and_then(|head| header::peek(&head).ok()) else {
        return false;
    };
    let mut writers = ring.writers();
    writers.any(|(index, _)| !header.opened_by(ring, index).is_empty())
}

fn manifest(backup: &Backup) -> Option<&Manifest> {
    backup.file.as_ref().map(|file| &file.manifest)
}

fn id(backup: &Backup) -> Option<&BackupId> {
    manifest(backup).map(|manifest| &manifest.id)
}

/// The archive in whose place it was written.
fn from(backup: &Backup) -> Option<&str> {
    let from = manifest(backup)?.reencrypted_from.as_ref()?;
    Some(from.file.as_str())
}
