//! What a storage holds: its manifests, read once, and the archives beside them.
//! Finds and selects; changes nothing.
//!
//! Invariant: a backup exists if and only if its manifest exists. An archive
//! without one is listed as what it is, and never counted as a backup; one that
//! a run is making or removing, or left when it died, is not listed at all.

use std::io::Read;

use jiff::Timestamp;

use crate::format::manifest::{GLOBALS, GLOBALS_NAME, Kind, ProofLevel};
use crate::format::manifest_file::{ManifestError, ManifestFile};
use crate::format::names::{ArchiveFormat, ArchiveName, archive_of_manifest, manifest_key};
use crate::storage::{Storage, StorageError, StoredObject};

mod load;

pub use load::supersedes;

/// One archive, with its manifest or without.
pub struct Backup {
    /// The archive's key.
    pub archive: String,
    /// `None`: the manifest is there and the archive is gone.
    pub stored: Option<StoredObject>,
    /// `None`: written by another program, no checksum.
    pub file: Option<ManifestFile>,
    /// What the archive's name says.
    pub named: Option<ArchiveName>,
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

    /// The best proof so far; `None` without a manifest or after a failed check.
    pub fn proof(&self) -> Option<ProofLevel> {
        match &self.file.as_ref()?.state.verification {
            Some(verification) if verification.ok => Some(verification.level),
            Some(_) => None,
            None => Some(ProofLevel::Stored),
        }
    }
}

/// A manifest that cannot be read: its backup may be there, but not be believed.
pub struct Unreadable {
    pub key: String,
    pub error: ManifestError,
}

#[derive(Default)]
pub struct Catalog {
    /// Newest first.
    pub backups: Vec<Backup>,
    /// Archives whose backup was written anew under another data key, and which
    /// a crash has left beside the new one: found by their file names only.
    pub superseded: Vec<Backup>,
    pub unreadable: Vec<Unreadable>,
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
         {archive}"
    )]
    NoManifest { archive: String, location: String },
    #[error("{wanted:?} fits several backups: {}; give more of the id", .fitting.join(", "))]
    Ambiguous {
        wanted: String,
        fitting: Vec<String>,
    },
    #[error("{wanted:?} is too short to name a backup: give {PREFIX_MIN} digits of its id or more")]
    TooShort { wanted: String },
    #[error("the manifest {key} cannot be believed: {reason}")]
    Unreadable { key: String, reason: String },
}

impl CatalogError {
    /// What the operator can do about it, where the message does not say it.
    pub fn hint(&self) -> Option<&'static str> {
        matches!(self, Self::Unreadable { .. }).then_some(
            "the archive may be whole: move its .json away, and verify or restore the archive \
             by its path",
        )
    }
}

/// A mistyped letter must not pick a backup that is then restored or deleted.
const PREFIX_MIN: usize = 4;

impl Catalog {
    /// Finds what an operator means by BACKUP: `latest`, `latest:db`,
    /// `latest:source`, `latest:NAME`, an id, a file name, or a unique prefix of
    /// either. A file name may begin with `latest` like any other.
    pub fn find(&self, wanted: &str, location: &str) -> Result<&Backup, CatalogError> {
        match wanted
            .strip_prefix("latest")
            .map(|of| (of, of.strip_prefix(':')))
        {
            Some(("", _)) => return self.latest(None, location),
            Some((_, Some(of))) => return self.latest(Some(of), location),
            _ => {}
        }
        let exact = |backup: &&Backup| {
            backup.archive == wanted
                || manifest_key(&backup.archive) == wanted
                || backup
                    .file
                    .as_ref()
                    .is_some_and(|f| f.manifest.id.as_str() == wanted)
        };
        if let Some(backup) = self.backups.iter().find(exact) {
            return Ok(backup);
        }
        let mut superseded = self.superseded.iter();
        if let Some(backup) = superseded.find(|backup| backup.archive == wanted) {
            return Ok(backup);
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

    /// Only backups count here: what has no manifest must be named.
    fn latest(&self, of: Option<&str>, location: &str) -> Result<&Backup, CatalogError> {
        let matches = |backup: &&Backup| match of {
            None => true,
            Some("db") => backup.kind() == Some(Kind::Db),
            Some("source") => backup.kind() == Some(Kind::Source),
            Some(name) => backup.name() == name,
        };
        let mut fitting = self.backups.iter().filter(matches);
        // One made before a restore is what somebody wanted to be rid of.
        let counts = |backup: &&Backup| {
            let file = backup.file.as_ref();
            file.is_some_and(|file| file.manifest.before_restore_of.is_none())
        };
        let newest = fitting.clone().find(counts);
        let newest = newest.or_else(|| fitting.clone().find(|backup| backup.file.is_some()));
        newest.ok_or_else(|| match fitting.next() {
            Some(alone) => CatalogError::NoManifest {
                archive: alone.archive.clone(),
                location: location.to_owned(),
            },
            None => CatalogError::Empty {
                of: match of {
                    None => String::new(),
                    Some("db") => "of a database ".to_owned(),
                    Some("source") => "of a source tree ".to_owned(),
                    // It may come from the command line as it is.
                    Some(name) => format!("of {} ", name.escape_debug()),
                },
                location: location.to_owned(),
            },
        })
    }

    fn by_prefix(&self, wanted: &str, location: &str) -> Result<&Backup, CatalogError> {
        let fits = |backup: &&Backup| {
            let id = backup
                .file
                .as_ref()
                .map_or("", |file| file.manifest.id.as_str());
            !wanted.is_empty() && (id.starts_with(wanted) || backup.archive.starts_with(wanted))
        };
        let fitting: Vec<&Backup> = self.backups.iter().filter(fits).collect();
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
                    .map(|backup| backup.archive.clone())
                    .collect(),
            }),
        }
    }
}

/// Reads one small object.
pub fn read_whole(storage: &dyn Storage, key: &str) -> Result<Vec<u8>, StorageError> {
    let mut bytes = Vec::new();
    let mut reader = storage.open(key, 0)?;
    reader
        .read_to_end(&mut bytes)
        .map_err(|source| StorageError {
            kind: crate::storage::ErrorKind::Other,
            action: "read",
            place: format!("{}/{key}", storage.location()),
            source,
        })?;
    Ok(bytes)
}
