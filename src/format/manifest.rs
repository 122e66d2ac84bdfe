//! The manifest: one JSON document beside each archive, written last. A backup
//! exists if and only if its manifest exists.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::checked::{FileName, Sha256Hex};
use crate::ids::BackupId;

mod database;

pub use database::{
    DatabaseContent, LeftOut, LeftOutObject, OutputSettings, Selection, Warned, Warning,
};

pub const MANIFEST_VERSION: u32 = 1;

/// `database.format` of an archive of roles and tablespaces.
pub const GLOBALS: &str = "globals";
/// The name that such archives have in place of a database's.
pub const GLOBALS_NAME: &str = "pg_globals";

/// The immutable part. Unknown fields are kept out of the way, so that a newer
/// kluis's manifest can still be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub version: u32,
    pub id: BackupId,
    pub kind: Kind,
    /// The database's name, or the source tree's.
    pub name: String,
    pub created_at: Timestamp,
    pub host: String,
    /// Of the host, or of the database's server: it tells series apart. Absent in
    /// manifests of earlier versions, and where nobody knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub trigger: Trigger,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Made of what a restore of this archive was about to replace: probably not
    /// what anybody wants back, so it is no `latest` and takes no other's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_restore_of: Option<String>,
    /// Made of a file of which nothing tells how it was made: neither a dump nor a tar
    /// says whether it holds the whole. See [`Manifest::is_adopted`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// The archive in whose place this one was written, under another data key:
    /// the same backup. Until a sweep has removed that one, both are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reencrypted_from: Option<ReencryptedFrom>,
    pub tool_version: String,
    pub stored: Stored,
    pub content: Content,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DatabaseContent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<TreeContent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gzip_index: Option<MemberIndex>,
}

/// The note of what is adopted: of earlier versions it is the only mark.
pub const ADOPTED: &str = "adopted";

impl Manifest {
    /// Whether nobody knows if the whole of the database or tree is in it. A backup
    /// that was made from one names the way to the server, or the root.
    pub fn is_adopted(&self) -> bool {
        let way = self.database.as_ref().map(|database| &database.mode);
        let from = way.or(self.source.as_ref().map(|tree| &tree.root));
        let is_marked = self.note.as_deref() == Some(ADOPTED);
        self.adopted || is_marked && from.is_some_and(String::is_empty)
    }

    /// Whether the archive is said to have a header of ours, with keys in slots.
    pub fn is_kluis1(&self) -> bool {
        let encryption = self.encryption.as_ref();
        encryption.is_some_and(|encryption| encryption.format == "KLUIS1")
    }

    /// How often the backup was written into another archive, as far as is known.
    pub fn times_written_anew(&self) -> u32 {
        let from = self.reencrypted_from.as_ref();
        from.map_or(0, |from| from.times.unwrap_or(1))
    }

    /// How much of what was to be backed up is not in the archive; 0 is a complete
    /// one. What merely changed or vanished while it was read is in no state that an
    /// archive could have.
    pub fn lacks(&self) -> u64 {
        let tree = self.source.as_ref();
        let files = tree.map_or(0, |tree| tree.unreadable + u64::from(tree.emptied));
        let database = self.database.as_ref();
        files
            + database.map_or(0, |database| {
                database.left_out.count + database.warned.lacking
            })
    }

    /// What the dump's programs said by which nothing is missing.
    pub fn warnings(&self) -> Vec<String> {
        let databases = self.database.iter();
        let warnings = databases.flat_map(|database| database.warned.harmless());
        warnings.map(str::to_owned).collect()
    }

    pub fn is_complete(&self) -> bool {
        self.lacks() == 0
    }

    /// What it lacks, for people; `None` of a complete one.
    pub fn lack(&self) -> Option<String> {
        let tree = self.source.as_ref();
        if tree.is_some_and(|tree| tree.emptied) {
            return Some(
                "the directory holds no file, and did so far: is something not mounted? Where \
                 that is right, say --allow-empty"
                    .to_owned(),
            );
        }
        if let Some(database) = &self.database {
            return database.lack();
        }
        let number = self.lacks();
        (number > 0).then(|| format!("{number} of its files could not be read"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Db,
    Source,
}

impl Kind {
    /// As manifests and operators write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Db => "db",
            Self::Source => "source",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Trigger {
    Manual,
    Scheduled,
    External,
}

impl Trigger {
    /// As manifests and records have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Manual => "MANUAL",
            Self::Scheduled => "SCHEDULED",
            Self::External => "EXTERNAL",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReencryptedFrom {
    pub file: FileName,
    /// Of that whole file, as its manifest had it.
    pub sha256: Sha256Hex,
    /// How often the backup was written anew by then; absent in manifests of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// The archive as it lies in the storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub file: FileName,
    pub bytes: u64,
    /// Of the whole file as it was written. A change of keys rewrites the header
    /// of an encrypted one, and then only `payload_sha256` still holds.
    pub sha256: Sha256Hex,
    /// Of bytes 8192.. of an encrypted archive: survives key rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_sha256: Option<Sha256Hex>,
}

/// The stream inside: compressed, before encryption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub codec: Codec,
    pub bytes: u64,
    /// Of the compressed stream, before encryption.
    pub sha256: Sha256Hex,
    /// Before compression.
    pub raw_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    Gzip,
    Zstd,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// "KLUIS1" or "kanbu".
    pub format: String,
    /// Of the key of the first slot, hex; for a passphrase the id of the key
    /// derived from it.
    pub key_id: String,
}

/// Where members of the compressed stream begin, for parallel reading.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberIndex {
    /// Raw bytes in each member but the last.
    pub block_bytes: u64,
    /// Only every n-th member is listed, so that the index stays small.
    pub every: u64,
    /// Byte offsets in the compressed stream of members 0, n, 2n, ...
    pub offsets: Vec<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeContent {
    /// The root's path on the host, lossily decoded for people.
    pub root: String,
    /// The root as it was given, where links led from there to `root`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// Entries by kind.
    pub files: u64,
    pub directories: u64,
    pub symlinks: u64,
    pub hard_links: u64,
    /// Device nodes, fifos and sockets: left out, counted.
    pub special: u64,
    /// The first 1,000 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub specials: Vec<TreeSpecial>,
    /// Directories that are marked as caches, whose content was left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub caches: u64,
    /// Sum of the files' sizes.
    pub bytes: u64,
    pub excludes: Vec<String>,
    /// Files that changed while they were read, vanished or could not be read:
    /// at most 1,000 are named, the counts are whole.
    pub problems: Vec<TreeProblem>,
    pub changed: u64,
    pub vanished: u64,
    pub unreadable: u64,
    /// No file was there, and the backup before had some; nobody said that this is
    /// right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emptied: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeSpecial {
    pub path: String,
    /// "fifo", "socket", "block device" or "character device".
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeProblem {
    pub path: String,
    /// "changed", "vanished" or "unreadable".
    pub problem: String,
    pub detail: String,
}

/// The part that changes while a backup lives; sealed by itself, see `manifest_file`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    /// The label that its series goes on under, where the host or server was renamed
    /// since: in place of the manifest's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A newer kluis' list, kept as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<Replicas>,
}

impl State {
    /// Whether it says something that is believed only where a key of ours sealed it.
    pub fn claims(&self) -> bool {
        self.verification.is_some() || self.label.is_some()
    }

    pub fn is_but_for_its_pin(&self, other: &Self) -> bool {
        let pinned = other.pinned;
        let alike = Self {
            pinned,
            ..self.clone()
        };
        alike == *other
    }

    pub fn forget_claims(&mut self) {
        self.verification = None;
        self.label = None;
    }
}

/// JSON that is not looked into: understood, it would take 30 times the memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Replicas(Box<RawValue>);

impl PartialEq for Replicas {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The proof reached, also where the next one was refused.
    pub level: ProofLevel,
    pub at: Timestamp,
    pub ok: bool,
    /// Why not; or, if `ok`, what is damaged although it restores: one of the two
    /// copies of its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Verification {
    pub fn standing(&self) -> Standing {
        match (self.ok, self.level) {
            (true, level) => Standing::Good(level),
            (false, ProofLevel::Stored) => Standing::Damaged,
            (false, ProofLevel::Verified | ProofLevel::Restored) => Standing::DoesNotRestore,
        }
    }
}

/// What is known of a backup. The two that are not good have other remedies: the
/// bytes of one that does not restore are all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing is known against it.
    Good(ProofLevel),
    /// Read to its end and as it was written; a server that had all it needs refused
    /// it, or made something else of it.
    DoesNotRestore,
    /// Not what was written, or not there.
    Damaged,
}

impl Standing {
    /// The proof of a good one.
    pub fn proof(self) -> Option<ProofLevel> {
        match self {
            Self::Good(level) => Some(level),
            Self::DoesNotRestore | Self::Damaged => None,
        }
    }

    pub fn is_good(self) -> bool {
        self.proof().is_some()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofLevel {
    /// It lies there; its stored checksum was right when last looked at.
    Stored,
    /// Decrypted, hashed, decompressed and parsed to the end.
    Verified,
    /// Restored into a throwaway place and compared.
    Restored,
}
