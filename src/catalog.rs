//! What a storage holds: its manifests, read once, and the archives beside them.
//! Finds and selects; changes nothing.
//!
//! Invariant: a backup exists if and only if its manifest exists. An archive
//! without one is listed as what it is, and never counted as a backup; one that
//! a run is making or removing, or left when it died, is not listed at all. With
//! a key at hand a backup is ours only if that key vouches for it: see `trust`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::format::manifest::{GLOBALS, GLOBALS_NAME, Kind, ProofLevel, Standing, Verification};
use crate::format::manifest_file::{ManifestError, ManifestFile};
use crate::format::names::{ArchiveFormat, ArchiveName, archive_of_manifest, manifest_key};
use crate::series::{Series, Titles, titles};
use crate::storage::{StorageError, StoredObject};

mod found;
mod latest;
mod load;
mod named_file;
mod once;
mod records;
mod salts;
mod small;
mod totals;
mod trust;
mod unproven;

pub use found::file_of_ours;
pub use once::{Repeated, Superseded, supersedes};
pub use records::{RECORDS_READ_MAX, UNSEALED_TOLD, read_record, sort_by_last_word, storage_id};
pub use salts::{try_named, with_common_salts};
pub use small::{MANIFEST_BYTES_MAX, MARKER_BYTES_MAX, RECORD_BYTES_MAX, read_whole};
pub use trust::{Foreign, Ours, Trust};
pub use unproven::Unproven;

/// One archive, with its manifest or without.
#[derive(Clone)]
pub struct Backup {
    /// The archive's key.
    pub archive: String,
    /// `None`: the manifest is there and the archive is gone.
    pub stored: Option<StoredObject>,
    /// `None`: written by another program, no checksum.
    pub file: Option<ManifestFile>,
    /// What the archive's name says, or seems to say.
    pub named: Option<ArchiveName>,
    /// What it belongs to; `None` without a manifest.
    pub series: Option<Series>,
    /// Nothing but its own header tells that it is ours: its reading asks for that.
    pub vouched_only: bool,
    /// No key of ours vouches for it.
    pub is_foreign: bool,
}

impl Backup {
    pub fn kind(&self) -> Option<Kind> {
        let named = || self.named.as_ref().map(|named| named.format.kind());
        self.file
            .as_ref()
            .map(|file| file.manifest.kind)
            .or_else(named)
    }

    /// What the stream inside is. `None`: nothing says it, or a newer kluis made
    /// it in a format that this one does not know.
    pub fn format(&self) -> Option<ArchiveFormat> {
        let Some(file) = &self.file else {
            return self.named.as_ref().map(|named| named.format);
        };
        match (file.manifest.kind, &file.manifest.database) {
            (Kind::Source, _) => Some(ArchiveFormat::Tree),
            (Kind::Db, Some(database)) => ArchiveFormat::of_database(&database.format),
            (Kind::Db, None) => self.named.as_ref().map(|named| named.format),
        }
    }

    /// Another program's file by its name: what it is shows only when it is adopted.
    pub fn is_loose(&self) -> bool {
        self.file.is_none() && ArchiveName::parse(&self.archive).is_none()
    }

    /// Whether it holds what all databases of a server share, and no database.
    pub fn holds_globals(&self) -> bool {
        match &self.file {
            Some(file) => {
                let database = file.manifest.database.as_ref();
                database.is_some_and(|database| database.format == GLOBALS)
            }
            None => self.kind() == Some(Kind::Db) && self.name() == GLOBALS_NAME,
        }
    }

    pub fn name(&self) -> &str {
        match (&self.file, &self.named) {
            (Some(file), _) => &file.manifest.name,
            (None, Some(named)) => &named.name,
            (None, None) => &self.archive,
        }
    }

    pub fn created_at(&self) -> Timestamp {
        match (&self.file, &self.named, &self.stored) {
            (Some(file), ..) => file.manifest.created_at,
            (None, Some(named), _) => named.created,
            (None, None, Some(stored)) => stored.modified,
            (None, None, None) => Timestamp::UNIX_EPOCH,
        }
    }

    pub fn stored_bytes(&self) -> u64 {
        self.stored.as_ref().map_or(0, |stored| stored.bytes)
    }

    /// `None` without a manifest: then nothing can be known. An archive of another
    /// length than was written needs no look into it to be damaged.
    pub fn standing(&self) -> Option<Standing> {
        let file = self.file.as_ref()?;
        let Some(stored) = &self.stored else {
            return Some(Standing::Damaged);
        };
        if stored.bytes != file.manifest.stored.bytes {
            return Some(Standing::Damaged);
        }
        let verification = file.state.verification.as_ref();
        Some(verification.map_or(Standing::Good(ProofLevel::Stored), Verification::standing))
    }
}

/// A manifest that cannot be read: its backup may be there, but not be believed.
pub struct Unreadable {
    pub key: String,
    pub error: ManifestError,
}

impl Unreadable {
    /// For people.
    pub fn what(&self) -> String {
        match archive_of_manifest(&self.key) {
            Some(_) => format!("the manifest {}", self.key),
            None => self.key.clone(),
        }
    }
}

#[derive(Default)]
pub struct Catalog {
    /// Newest first.
    pub backups: Vec<Ours>,
    /// What no key of ours vouches for, newest first.
    pub foreign: Vec<Foreign>,
    /// Archives whose backup was written anew under another data key, and which
    /// a crash has left beside the new one: found by their file names only.
    pub superseded: Vec<Superseded>,
    /// Archives of backups that another archive stands for: found by their file names
    /// only, and never removed but by who names them.
    pub repeated: Vec<Repeated>,
    pub unreadable: Vec<Unreadable>,
}

/// What an operator's BACKUP means.
#[derive(Clone, Copy)]
pub enum Named<'a> {
    Ours(&'a Ours),
    Foreign(&'a Foreign),
}

impl<'a> Named<'a> {
    pub fn backup(self) -> &'a Backup {
        match self {
            Self::Ours(ours) => ours,
            Self::Foreign(foreign) => foreign.described(),
        }
    }

    pub fn foreign(self) -> Option<&'a Foreign> {
        match self {
            Self::Ours(_) => None,
            Self::Foreign(foreign) => Some(foreign),
        }
    }

    /// Whether a key of ours proved it.
    pub fn is_checked(self) -> bool {
        matches!(self, Self::Ours(ours) if ours.is_checked())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("no backup is called {wanted:?} in {location}; `kluis list` shows what is there")]
    NotFound { wanted: String, location: String },
    #[error("there is no backup {of}in {location} yet; `kluis backup` makes one")]
    Empty { of: String, location: String },
    #[error(
        "in {location} are only archives without a manifest; give the file's name, such as \
         {archive}, or make backups of them with `kluis adopt --all`"
    )]
    NoManifest { archive: String, location: String },
    /// What is there might be anybody's.
    #[error(
        "in {location} nothing that a key of ours sealed is meant by that; {archive} and others \
         are not: name one, or make them ours with `kluis adopt FILE`"
    )]
    OnlyForeign { archive: String, location: String },
    #[error(
        "{archive} and others that fit were not tried: passphrase slots of other archives took \
         what a run spends on them"
    )]
    NotTried { archive: String },
    #[error("{archive}, the newest that fits, is not as it was written: {why}")]
    Damaged { archive: String, why: String },
    /// Most likely the wrong key is configured.
    #[error("no configured key opens or vouches for {archive}, the newest that fits: {why}")]
    OtherKey { archive: String, why: String },
    #[error("{wanted:?} fits several backups: {}; give more of the id", .fitting.join(", "))]
    Ambiguous {
        wanted: String,
        fitting: Vec<String>,
    },
    #[error(
        "{:?} fits several series; say which: {}", format!("latest:{wanted}"), .fitting.join(", ")
    )]
    SeveralSeries {
        wanted: String,
        fitting: Vec<String>,
    },
    #[error(
        "{archive}, the newest that fits, is dated in the future ({dated:.0}), and there is no \
         other; name it to take it"
    )]
    OnlyAhead { archive: String, dated: Timestamp },
    #[error("{wanted:?} is too short to name a backup: give {PREFIX_MIN} digits of its id or more")]
    TooShort { wanted: String },
    #[error("the manifest {key} cannot be believed: {reason}")]
    Unreadable { key: String, reason: String },
}

impl CatalogError {
    /// What the operator can do about it, where the message does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable { .. } => Some(
                "the archive may be whole: move its .json away, and verify or restore the archive \
                 by its path",
            ),
            Self::OtherKey { .. } => Some(
                "point BACKUP_ENCRYPTION_KEY_FILE at that key; the archive itself may be whole, \
                 and `kluis verify --quick` needs no key",
            ),
            Self::NotTried { .. } => Some(Unproven::NOT_TRIED_REMEDY),
            Self::Damaged { .. } => Some(
                "verify or restore it by its name to see what is left of it, or take an older \
                 one: `kluis list`",
            ),
            _ => None,
        }
    }
}

impl Catalog {
    /// Every archive as its manifest or name describes it, ours or not: for looking
    /// and for changes of keys. Nothing is counted by it.
    pub fn all(&self) -> impl Iterator<Item = &Backup> {
        let ours = self.backups.iter().map(|ours| &**ours);
        ours.chain(self.foreign.iter().map(Foreign::described))
    }

    /// The series of our backups.
    pub fn series(&self) -> BTreeSet<&Series> {
        let ours = self.backups.iter();
        ours.filter_map(|ours| ours.series.as_ref()).collect()
    }

    /// What tables call the whole ones; a part is called as the whole is.
    pub fn titles(&self) -> Titles {
        let wholes: Vec<Series> = self.series().iter().map(|it| it.whole()).collect();
        titles(&wholes)
    }
}

/// A mistyped letter must not pick a backup that is then restored or deleted.
const PREFIX_MIN: usize = 4;

impl Catalog {
    /// Finds what an operator means by BACKUP: `latest`, `latest:db`,
    /// `latest:source`, `latest:` and what names a series, an id, a file name, or a
    /// unique prefix of either. A file name may begin with `latest` like any other. A foreign one is
    /// found where none of ours is meant, and never as the latest.
    pub fn find(
        &self,
        wanted: &str,
        now: Timestamp,
        location: &str,
    ) -> Result<Named<'_>, CatalogError> {
        match wanted
            .strip_prefix("latest")
            .map(|of| (of, of.strip_prefix(':')))
        {
            Some(("", _)) => return self.latest(None, now, location).map(Named::Ours),
            Some((_, Some(of))) => return self.latest(Some(of), now, location).map(Named::Ours),
            _ => {}
        }
        let exact = |backup: &Backup| {
            backup.archive == wanted
                || manifest_key(&backup.archive) == wanted
                || backup
                    .file
                    .as_ref()
                    .is_some_and(|f| f.manifest.id.as_str() == wanted)
        };
        if let Some(backup) = self.backups.iter().find(|backup| exact(backup)) {
            return Ok(Named::Ours(backup));
        }
        let superseded = self.superseded.iter().map(Superseded::named);
        let repeated = self.repeated.iter().map(|it| Named::Ours(&it.ours));
        let mut aside = superseded.chain(repeated);
        if let Some(named) = aside.find(|named| named.backup().archive == wanted) {
            return Ok(named);
        }
        let mut foreign = self.foreign.iter();
        if let Some(foreign) = foreign.find(|foreign| exact(foreign.described())) {
            return Ok(Named::Foreign(foreign));
        }
        let broken = |broken: &&Unreadable| {
            broken.key == wanted || archive_of_manifest(&broken.key) == Some(wanted)
        };
        if let Some(broken) = self.unreadable.iter().find(broken) {
            return Err(CatalogError::Unreadable {
                key: broken.key.clone(),
                reason: broken.error.to_string(),
            });
        }
        self.by_prefix(wanted, location)
    }

    /// Nothing in the storage is called so.
    pub fn has_none(&self, wanted: &str, now: Timestamp) -> bool {
        let found = self.find(wanted, now, "");
        matches!(found, Err(CatalogError::NotFound { .. }))
    }

    fn by_prefix(&self, wanted: &str, location: &str) -> Result<Named<'_>, CatalogError> {
        let fits = |backup: &Backup| {
            let id = backup
                .file
                .as_ref()
                .map_or("", |file| file.manifest.id.as_str());
            !wanted.is_empty() && (id.starts_with(wanted) || backup.archive.starts_with(wanted))
        };
        let ours = self.backups.iter().filter(|backup| fits(backup));
        let mut fitting: Vec<Named<'_>> = ours.map(Named::Ours).collect();
        if fitting.is_empty() {
            let foreign = self.foreign.iter().filter(|it| fits(it.described()));
            fitting.extend(foreign.map(Named::Foreign));
        }
        match fitting[..] {
            [_] if wanted.len() < PREFIX_MIN => Err(CatalogError::TooShort {
                wanted: wanted.to_owned(),
            }),
            [one] => Ok(one),
            [] => Err(CatalogError::NotFound {
                wanted: wanted.to_owned(),
                location: location.to_owned(),
            }),
            _ => Err(CatalogError::Ambiguous {
                wanted: wanted.to_owned(),
                fitting: fitting
                    .iter()
                    .take(5)
                    .map(|named| named.backup().archive.clone())
                    .collect(),
            }),
        }
    }
}
