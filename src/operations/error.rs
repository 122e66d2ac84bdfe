//! What can go wrong in an operation, sorted by what it means for the data.

use super::compare::Comparison;
use crate::cancel::Cancelled;
use crate::catalog::{CatalogError, Unproven};
use crate::checked::{NotThat, shell_word};
use crate::format::header::HeaderError;
use crate::format::legacy::LegacyError;
use crate::format::manifest::Standing;
use crate::format::manifest_file::ManifestError;
use crate::lock::LockError;
use crate::pipeline::{SealError, UnsealError};
use crate::postgres::{LedgerDumpError, PostgresError};
use crate::scratch::{ScratchError, UnpackError};
use crate::source::{DumpError, TreeError};
use crate::storage::StorageError;
use crate::target::TargetError;

#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Unseal(#[from] UnsealError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    #[error("the dump could not be fetched from its container: {0}")]
    Fetch(#[source] UnpackError),
    #[error("{archive}: {source}")]
    Header {
        archive: String,
        source: HeaderError,
    },
    /// Seen without a key: the payload is as it was written, the header is not.
    #[error(
        "{archive}: its header was changed since it was written, by a rotation of keys or by \
         damage; its payload is as it was"
    )]
    HeaderChanged { archive: String },
    #[error("{archive}: {source}")]
    Legacy {
        archive: String,
        source: LegacyError,
    },
    #[error("the manifest of {archive}: {source}")]
    Manifest {
        archive: String,
        source: ManifestError,
    },
    /// The archive, its manifest or what was restored is not what it should be.
    #[error("{archive}: {what}")]
    Integrity { archive: String, what: String },
    /// It is what was written, and what was restored of it to prove it is something
    /// else.
    #[error("{archive}: {what}")]
    CopyDiffers { archive: String, what: String },
    /// A database was restored, and holds something else than its dump.
    #[error("{archive}: the restored database differs from its dump: {comparison}")]
    NotAsDumped {
        archive: String,
        comparison: Box<Comparison>,
    },
    /// Wrong input, found only here: nothing was changed.
    #[error("{what}")]
    Usage { what: String },
    /// Another run took the backup away between its finding and the lock.
    #[error(
        "{archive} is gone: another run removed it meanwhile; `kluis list` shows what is there"
    )]
    Gone { archive: String },
    /// Another run reads it, without the storage's lock.
    #[error(
        "{archive} is being proven or restored by another run; try again when that has ended, or \
         wait for it with --lock-wait"
    )]
    Held { archive: String },
    /// It was not read: days of a hole.
    #[error(
        "{archive} is not read: of its {bytes} bytes {data} are data and all others a hole, as no \
         backup has it; if it is yours all the same, `kluis {command} {}` reads it",
        shell_word(.archive)
    )]
    Hollow {
        archive: String,
        bytes: u64,
        data: u64,
        command: &'static str,
    },
    /// It was done, and only the run's record does not say so.
    #[error("{what}, but the run's record could not be written: {source}")]
    Unrecorded { what: String, source: StorageError },
    /// It was asked for something that would lose data.
    #[error("{what}")]
    Refused { what: String },
}

impl From<NotThat> for OperationError {
    fn from(error: NotThat) -> Self {
        Self::Usage {
            what: error.to_string(),
        }
    }
}

impl From<DumpError> for OperationError {
    fn from(error: DumpError) -> Self {
        match error {
            DumpError::Cancelled(cancelled) => cancelled.into(),
            DumpError::Postgres(error) => error.into(),
            DumpError::Scratch(error) => error.into(),
            DumpError::Fetch(UnpackError::Cancelled(cancelled)) => cancelled.into(),
            DumpError::Fetch(error) => Self::Fetch(error),
        }
    }
}

/// Words that may stand in the storage, in a record or a state. Made of an error by
/// [`OperationError::recorded`] alone.
#[derive(Debug)]
pub(super) struct Recorded(String);

impl Recorded {
    /// Behind our own words of what stands where.
    pub(super) fn behind(self, what: &impl std::fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl OperationError {
    /// Whether the archive is at fault (corrupt, wrong key, differs), rather
    /// than the place where it lies or goes to.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Integrity { .. }
            | Self::CopyDiffers { .. }
            | Self::NotAsDumped { .. }
            | Self::Header { .. }
            | Self::HeaderChanged { .. }
            | Self::Manifest { .. } => true,
            Self::Legacy { source, .. } => !matches!(source, LegacyError::Read(_)),
            Self::Unseal(error) => !matches!(
                error,
                UnsealError::Storage(_)
                    | UnsealError::Cancelled(_)
                    | UnsealError::Broken
                    | UnsealError::NoThread(_)
            ),
            Self::Target(error) => matches!(
                error,
                TargetError::Stream(_)
                    | TargetError::Hostile { .. }
                    | TargetError::Unreadable(_)
                    | TargetError::Dump(_)
                    | TargetError::DoesNotRestore(_)
                    | TargetError::Redump(LedgerDumpError::Dump { .. })
            ),
            Self::Catalog(CatalogError::Unreadable { .. }) => true,
            _ => false,
        }
    }

    /// What it says against the backup itself. `None`: nothing, such as for want of its
    /// key, or because a server of the operator's made something else of it.
    pub fn standing(&self) -> Option<Standing> {
        match self {
            Self::NotAsDumped { .. } => None,
            Self::CopyDiffers { .. }
            | Self::Target(
                TargetError::DoesNotRestore(_) | TargetError::Redump(LedgerDumpError::Dump { .. }),
            ) => Some(Standing::DoesNotRestore),
            error => (error.is_integrity() && !error.lacks_key()).then_some(Standing::Damaged),
        }
    }

    /// Whether it is for want of something that this place, and the server here, lack:
    /// an extension, room, a right.
    pub fn is_of_the_place(&self) -> bool {
        match self {
            Self::Postgres(error) | Self::Target(TargetError::Postgres(error)) => {
                matches!(error, PostgresError::NotProvable { .. }) || error.is_of_the_place()
            }
            Self::Scratch(_)
            | Self::Target(TargetError::Scratch(_) | TargetError::Place { .. }) => true,
            _ => false,
        }
    }

    /// What the operator can do about it, where the error does not say it itself.
    pub fn hint(&self) -> Option<String> {
        if let Self::Postgres(error) | Self::Target(TargetError::Postgres(error)) = self {
            return error.hint().map(str::to_owned);
        }
        if let Self::Catalog(error) = self {
            return error.hint().map(str::to_owned);
        }
        if let Self::NotAsDumped { .. } = self {
            let hint = "code of the database's own that changes rows, or a setting of the \
                        server? `kluis verify` tells whether the archive itself is whole; where \
                        only these places may differ, --accept-differences takes it";
            return Some(hint.to_owned());
        }
        if let Self::HeaderChanged { .. } = self {
            return Some("verify it where its key is: that tells which".to_owned());
        }
        if let Self::Header {
            source: HeaderError::TooCostly,
            ..
        } = self
        {
            return Some(Unproven::NOT_TRIED_REMEDY.to_owned());
        }
        let hint = "point BACKUP_ENCRYPTION_KEY_FILE at that key; the archive itself may be \
                    whole, and `kluis verify --quick` needs no key";
        self.lacks_key().then(|| hint.to_owned())
    }

    /// What is written of it into the storage. `is_foreign`: of an archive that no key
    /// of ours vouches for. A program's or server's words may hold what it found here,
    /// where such an archive led it, and whoever wrote that may read the storage: they
    /// are shown, and not kept.
    pub(super) fn recorded(&self, is_foreign: bool) -> Recorded {
        let what = match self {
            Self::Target(TargetError::Unreadable(_)) => "pg_restore cannot read the archive",
            Self::Postgres(_)
            | Self::Target(
                TargetError::Postgres(_)
                | TargetError::DoesNotRestore(_)
                | TargetError::Dump(_)
                | TargetError::Redump(_),
            ) if is_foreign => "its dump was refused",
            _ => return Recorded(self.to_string()),
        };
        Recorded(format!(
            "{what}; why was told where it was read, and is not written down here"
        ))
    }

    /// Whether the archive could not be looked into for want of its key.
    pub fn lacks_key(&self) -> bool {
        let no_key = |source: &HeaderError| {
            matches!(source, HeaderError::NoKey { .. } | HeaderError::TooCostly)
        };
        match self {
            Self::Header { source, .. } => no_key(source),
            Self::HeaderChanged { .. } => true,
            _ => false,
        }
    }
}
