//! `kluis backup db` and `kluis backup source`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueEnum};

use super::ServerFlags;
use crate::format::manifest::{Codec, Trigger};
use crate::format::names::ArchiveFormat;

/// Make a backup of a database or of source trees
#[derive(Subcommand)]
pub enum BackupCommand {
    Db(BackupDb),
    Source(BackupSource),
}

/// Back up PostgreSQL databases, each as one archive
///
/// Runs the pg_dump that matches the server, reads the dump while it streams
/// by (rows and a row hash per table), and publishes the backup only when
/// pg_dump ended well and the dump is whole. One database that fails does not
/// stop the others.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis backup db shop
  kluis backup db --url postgres://backup@db.example.org/shop
  kluis backup db shop -n public -T 'public.sessions'
  kluis backup db shop --codec zstd --note 'before the migration' --keep
  kluis backup db --all --exclude-db 'test_*' --globals
  kluis backup db big --format directory -j 4
  kluis backup db --container shop-postgres

The connection comes from --url, DATABASE_URL, or libpq's variables (PGHOST,
PGUSER, PGPASSFILE, ...). A password in --url is visible to others in the
process list: keep it in DATABASE_URL or a passfile.

The key comes from BACKUP_ENCRYPTION_KEY_FILE, BACKUP_ENCRYPTION_KEY or
[encryption] key_file. Without one the backup is not encrypted, with a warning.
A run that fails leaves nothing, and earlier backups as they were.

Hooks and key_command get PATH, HOME, TZ and the locale of kluis' environment:
name further variables in pass_env under [hooks], or in key_command_env.")]
pub struct BackupDb {
    #[command(flatten)]
    pub databases: DatabaseFlags,

    #[command(flatten)]
    pub server: ServerFlags,

    /// Only these schemas (pg_dump's pattern; may be repeated)
    #[arg(short = 'n', long = "schema", value_name = "SCHEMA")]
    pub schemas: Vec<String>,

    /// Not these schemas
    #[arg(short = 'N', long = "exclude-schema", value_name = "SCHEMA")]
    pub exclude_schemas: Vec<String>,

    /// Only these tables
    #[arg(short = 't', long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,

    /// Not these tables
    #[arg(short = 'T', long = "exclude-table", value_name = "TABLE")]
    pub exclude_tables: Vec<String>,

    /// Leave out whose everything is (as --no-owner in dump_options)
    #[arg(short = 'O', long)]
    pub no_owner: bool,

    /// Leave out what is granted and revoked
    #[arg(short = 'x', long)]
    pub no_privileges: bool,

    /// A -n or -t that finds nothing is no error
    #[arg(long)]
    pub ignore_missing: bool,

    #[command(flatten)]
    pub sealing: SealingFlags,

    #[command(flatten)]
    pub record: RecordFlags,
}

/// Which databases, and in which form.
#[derive(Args, Default)]
pub struct DatabaseFlags {
    /// The databases; without any the one that the connection names
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub names: Vec<String>,

    /// Every database of the server but template0 and template1
    #[arg(long, conflicts_with = "names")]
    pub all: bool,

    /// With --all: not those that match
    #[arg(long, value_name = "GLOB")]
    pub exclude_db: Vec<String>,

    /// Also what all databases share: roles and tablespaces
    #[arg(long)]
    pub globals: bool,

    /// pg_dump's output format
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<FormatArg>,

    /// Dump so many tables at once; needs --format directory
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// SQL text that any psql reads
    Plain,
    /// One file for pg_restore
    Custom,
    /// A file per table for pg_restore, as one tar
    Directory,
}

impl From<FormatArg> for ArchiveFormat {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Plain => Self::Plain,
            FormatArg::Custom => Self::Custom,
            FormatArg::Directory => Self::Directory,
        }
    }
}

/// Back up directories or single files, each as one tar archive
///
/// Files that vanish, change or cannot be read meanwhile are named and
/// counted; the archive stays valid and the exit code is 3.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis backup source /srv/app
  kluis backup source . --name app --exclude '*.tmp' --exclude target/debug
  kluis backup source /home --one-file-system --exclude-caches

Left out by default, at any depth: node_modules .git .turbo dist .next *.log
.env.local .DS_Store coverage .nyc_output

The key comes from BACKUP_ENCRYPTION_KEY_FILE, BACKUP_ENCRYPTION_KEY or
[encryption] key_file. Without one the backup is not encrypted, with a warning.

Hooks and key_command get PATH, HOME, TZ and the locale of kluis' environment:
name further variables in pass_env under [hooks], or in key_command_env.")]
pub struct BackupSource {
    /// The directories or files; without them those of the configuration
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Call the backup this, instead of by the directory's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Leave out what matches: a name at any depth, or a path with a slash
    ///
    /// As in .gitignore: * and ? stay within a name, ** does not, a / at the end is for
    /// directories, !GLOB takes back what an earlier one left out, and the last that
    /// matches counts. {a,b} is a or b. An absolute path must lie below the tree, unless
    /// its first name stands in it.
    #[arg(long = "exclude", value_name = "GLOB")]
    pub excludes: Vec<String>,

    /// Read excludes from a file, one glob a line
    #[arg(long, value_name = "FILE")]
    pub exclude_from: Vec<PathBuf>,

    /// Leave out the content of directories with a CACHEDIR.TAG, but for that
    #[arg(long)]
    pub exclude_caches: bool,

    /// Leave out directories that hold a file of this name
    #[arg(long, value_name = "FILE")]
    pub exclude_if_present: Vec<String>,

    /// Keep also what is left out by default
    #[arg(long)]
    pub no_default_excludes: bool,

    /// A directory without files is no problem, also where it had some before
    #[arg(long)]
    pub allow_empty: bool,

    /// Do not enter other file systems
    #[arg(long)]
    pub one_file_system: bool,

    #[command(flatten)]
    pub sealing: SealingFlags,

    #[command(flatten)]
    pub record: RecordFlags,
}

/// How the stream is compressed and encrypted.
#[derive(Args)]
pub struct SealingFlags {
    /// How to compress
    #[arg(long, value_enum, value_name = "CODEC")]
    pub codec: Option<CodecArg>,

    /// Compression level: gzip 1 to 12, zstd 1 to 19
    #[arg(long, value_name = "N")]
    pub level: Option<u32>,

    /// Write the archive unencrypted, even if a key is configured
    #[arg(long)]
    pub no_encrypt: bool,
}

/// What the manifest and the run record say about the backup.
#[derive(Args)]
pub struct RecordFlags {
    /// A remark to keep in the manifest
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,

    /// Keep this backup: prune never removes it
    #[arg(long)]
    pub keep: bool,

    /// What started the run, for the history
    #[arg(long, value_enum, value_name = "TRIGGER", default_value_t = TriggerArg::Manual)]
    pub trigger: TriggerArg,

    /// The name that tells this host's backups from other hosts' in one storage
    #[arg(long, value_name = "LABEL")]
    pub host: Option<String>,

    /// Back up what this [[schedule]] of kluis.toml names, and prune by its rules
    #[arg(long, value_name = "NAME")]
    pub schedule: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CodecArg {
    /// Any gunzip reads it
    Gzip,
    /// Smaller and faster; any zstd reads it
    Zstd,
    /// As it is
    None,
}

impl From<CodecArg> for Codec {
    fn from(codec: CodecArg) -> Self {
        match codec {
            CodecArg::Gzip => Self::Gzip,
            CodecArg::Zstd => Self::Zstd,
            CodecArg::None => Self::None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TriggerArg {
    /// A person
    Manual,
    /// A timer, such as cron or systemd
    Scheduled,
    /// Another program
    External,
}

impl From<TriggerArg> for Trigger {
    fn from(trigger: TriggerArg) -> Self {
        match trigger {
            TriggerArg::Manual => Self::Manual,
            TriggerArg::Scheduled => Self::Scheduled,
            TriggerArg::External => Self::External,
        }
    }
}
