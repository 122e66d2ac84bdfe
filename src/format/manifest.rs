//! The manifest: one JSON document beside each archive, written last. A backup
//! exists if and only if its manifest exists.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::BackupId;
use crate::ledger::Ledger;

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
    pub trigger: Trigger,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Made of what a restore of this archive was about to replace: probably not
    /// what anybody wants back, so it is no `latest` and takes no other's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_restore_of: Option<String>,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Db,
    Source,
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
    pub file: String,
    /// Of that whole file, as its manifest had it, hex.
    pub sha256: String,
}

/// The archive as it lies in the storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub file: String,
    pub bytes: u64,
    /// Of the whole file as it was written, hex. A change of keys rewrites the
    /// header of an encrypted one, and then only `payload_sha256` still holds.
    pub sha256: String,
    /// Of bytes 8192.. of an encrypted archive, hex: survives key rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_sha256: Option<String>,
}

/// The stream inside: compressed, before encryption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub codec: Codec,
    pub bytes: u64,
    /// Of the compressed stream, before encryption, hex.
    pub sha256: String,
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

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DatabaseContent {
    /// As the server says it: "15.18 (Debian 15.18-0+deb12u1)".
    pub server_version: String,
    pub client_version: String,
    /// "direct" or "docker".
    pub mode: String,
    /// Why this mode was taken, where it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// "plain", "custom", "directory" or "globals".
    pub format: String,
    #[serde(default, skip_serializing_if = "Selection::is_everything")]
    pub selection: Selection,
    /// Further options of pg_dump: a dump to compare with is made with them too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// On the server's disk when it was dumped: what a restore will need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_bytes: Option<u64>,
    pub encoding: String,
    /// LC_COLLATE.
    pub locale: String,
    /// LC_CTYPE, where it differs from `locale`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctype: Option<String>,
    /// "icu" or "builtin"; absent means libc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale_provider: Option<String>,
    /// The locale by that provider's names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_locale: Option<String>,
    /// Name to version.
    pub extensions: BTreeMap<String, String>,
    /// Roles that own something in the dump or are granted something by it.
    pub roles: Vec<String>,
    /// Those of them that were superusers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub superusers: Vec<String>,
    /// Tablespaces that the dump names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tablespaces: Vec<String>,
    /// lc_monetary as it was: amounts of money are read and written by it, so a
    /// copy needs the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub output_settings: BTreeMap<String, String>,
    #[serde(flatten)]
    pub ledger: Ledger,
}

/// What of the database was asked for; empty means all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    pub schemas: Vec<String>,
    pub exclude_schemas: Vec<String>,
    pub tables: Vec<String>,
    pub exclude_tables: Vec<String>,
}

impl Selection {
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// As pg_dump's flags have it; nothing where it is everything.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            ("-n", &self.schemas),
            ("-N", &self.exclude_schemas),
            ("-t", &self.tables),
            ("-T", &self.exclude_tables),
        ];
        for (flag, patterns) in flags {
            for pattern in patterns {
                write!(f, " {flag} {pattern}")?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeContent {
    /// The root's path on the host, lossily decoded for people.
    pub root: String,
    /// Entries by kind.
    pub files: u64,
    pub directories: u64,
    pub symlinks: u64,
    pub hard_links: u64,
    /// Device nodes, fifos and sockets: left out, counted.
    pub special: u64,
    /// Sum of the files' sizes.
    pub bytes: u64,
    pub excludes: Vec<String>,
    /// Files that changed while they were read, vanished or could not be read:
    /// at most 1,000 are named, the counts are whole.
    pub problems: Vec<TreeProblem>,
    pub changed: u64,
    pub vanished: u64,
    pub unreadable: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeProblem {
    pub path: String,
    /// "changed", "vanished" or "unreadable".
    pub problem: String,
    pub detail: String,
}

/// The part that changes while a backup lives; not sealed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// The proof reached.
    pub level: ProofLevel,
    pub at: Timestamp,
    pub ok: bool,
    /// Why not; or, if `ok`, what is damaged although it restores: one of the two
    /// copies of its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
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
