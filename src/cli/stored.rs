//! The commands over what a storage holds: list, show, verify, prune, delete,
//! keep.

use clap::{ArgGroup, Args, ValueEnum};

use super::{RunFlags, ServerFlags};
use crate::config::duration::parse_age;
use crate::format::manifest::Kind;
use crate::retention::Age;

/// List the backups
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis list
  kluis list --kind db --name shop --limit 10
  kluis list --sort size --reverse --json

PROOF: stored (the file lies there), verified (read to its end and found
right), restored (restored and compared), DOES NOT RESTORE (it is whole, and
the last proof of it failed), DAMAGED (it is not what was written), no checksum
(another program's file, without a manifest).
MARKS: kept (prune never removes it), plain (not encrypted), part (of the
database only), adopted (nothing tells whether all is in it; latest takes one
that kluis made before it), replaced (made of what a restore was about to replace; latest
passes it over).")]
pub struct List {
    /// Only this kind
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Option<KindArg>,

    /// Only backups of this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Order: newest, largest or first name on top
    #[arg(long, value_enum, value_name = "BY", default_value_t = SortArg::Date)]
    pub sort: SortArg,

    /// Turn the order round
    #[arg(long)]
    pub reverse: bool,

    /// At most this many
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Show everything that is known about a backup
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis show latest
  kluis show latest:shop --json")]
pub struct Show {
    /// Id, its first digits, file name, path, latest, latest:db or latest:NAME
    #[arg(value_name = "BACKUP")]
    pub backup: String,
}

/// Check that backups are whole and readable
///
/// Reads each archive to its end: decrypts, hashes, decompresses and parses it,
/// and compares what it holds with the manifest. The result is remembered and
/// shown by list.
#[derive(Args)]
#[command(
    group = ArgGroup::new("which").required(true).args(["backups", "all", "pending"]),
    after_help = "\
Examples:
  kluis verify latest
  kluis verify --pending
  kluis verify --all --quick

Exit code 3: one that no key of yours proved is nearly all hole, and was not
read. Exit code 4: at least one is not right, or its key is missing. A wrong key
takes no earlier proof away.")]
pub struct Verify {
    /// Id, its first digits, file name, path, latest, latest:db or latest:NAME
    #[arg(value_name = "BACKUP")]
    pub backups: Vec<String>,

    /// All of them
    #[arg(long)]
    pub all: bool,

    /// Those that were not verified yet, or failed
    #[arg(long)]
    pub pending: bool,

    /// Only compare the stored file's checksum; needs no key, and does not tell
    /// whether a header that a change of keys wrote anew still opens
    #[arg(long)]
    pub quick: bool,

    /// Restore each into a throwaway place, and compare what came back
    #[arg(long, conflicts_with = "quick")]
    pub restore: bool,

    /// With --restore: into a throwaway database on the configured server,
    /// instead of a throwaway server on this machine
    #[arg(long, requires = "restore")]
    pub in_server: bool,

    /// With --in-server: also where that login is a superuser's. Code that stands
    /// in the dump runs with its rights there
    #[arg(long, requires = "in_server")]
    pub as_superuser: bool,

    /// With --restore: also a backup that no key of ours sealed; what it holds is
    /// run to prove it
    #[arg(long, requires = "restore")]
    pub accept_unsealed: bool,

    #[command(flatten)]
    pub server: ServerFlags,

    #[command(flatten)]
    pub run: RunFlags,
}

/// Remove the backups that no rule keeps
///
/// Never removed: kept ones, the newest three of a name, the newest verified
/// one. Nothing is removed while the clock is behind the newest backup.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis prune --dry-run
  kluis prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12
  kluis prune --name shop --max-age 90d
  kluis prune --simulate 2y --keep-monthly 24    what would lie there in 2 years
  kluis prune --dry-run --schedule nightly       what it backs up, by its rules

Each rule keeps the newest backup of that many hours, days, ISO weeks, months
or years in the configured time zone; 0 turns a rule off. Rules that are not
named are as configured, else 7 daily, 4 weekly and 12 monthly. A maximum age
alone keeps everything that is younger.")]
pub struct Prune {
    /// Print what would be kept and removed, and why; remove nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Play the rules over so much time of nightly backups, each as large as the
    /// newest one; remove nothing
    #[arg(long, value_name = "AGE", value_parser = parse_age, conflicts_with = "dry_run")]
    pub simulate: Option<Age>,

    /// Only this kind
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Option<KindArg>,

    /// Only backups of this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    #[command(flatten)]
    pub retention: RetentionFlags,

    #[command(flatten)]
    pub run: RunFlags,
}

/// The keep rules.
#[derive(Args, Default)]
pub struct RetentionFlags {
    /// Keep the newest N
    #[arg(long, value_name = "N")]
    pub keep_last: Option<u32>,

    /// Keep the newest of each of N hours
    #[arg(long, value_name = "N")]
    pub keep_hourly: Option<u32>,

    /// Keep the newest of each of N days
    #[arg(long, value_name = "N")]
    pub keep_daily: Option<u32>,

    /// Keep the newest of each of N weeks
    #[arg(long, value_name = "N")]
    pub keep_weekly: Option<u32>,

    /// Keep the newest of each of N months
    #[arg(long, value_name = "N")]
    pub keep_monthly: Option<u32>,

    /// Keep the newest of each of N years
    #[arg(long, value_name = "N")]
    pub keep_yearly: Option<u32>,

    /// Keep all younger than this, such as 48h, 2w or 6m
    #[arg(long, value_name = "D", value_parser = parse_age)]
    pub keep_within: Option<Age>,

    /// Remove all older than this, such as 90d, whatever other rules say
    #[arg(long, value_name = "D", value_parser = parse_age)]
    pub max_age: Option<Age>,
}

/// Delete backups for good
///
/// Asks first; scripts say --yes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis delete 3f9a7c01
  kluis delete 3f9a7c01 77ab02de --yes")]
pub struct Delete {
    /// Id, its first digits, file name, path, latest, latest:db or latest:NAME
    #[arg(value_name = "BACKUP", required = true)]
    pub backups: Vec<String>,

    /// Do not ask
    #[arg(long)]
    pub yes: bool,

    /// Also kept ones, and the last good one of a database or tree
    #[arg(long)]
    pub force: bool,
}

/// Keep backups whatever the retention says
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis keep latest:shop
  kluis keep 3f9a7c01 --release")]
pub struct Keep {
    /// Id, its first digits, file name, path, latest, latest:db or latest:NAME
    #[arg(value_name = "BACKUP", required = true)]
    pub backups: Vec<String>,

    /// Let the retention decide again
    #[arg(long)]
    pub release: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindArg {
    /// Databases
    Db,
    /// Source trees
    Source,
}

impl RetentionFlags {
    /// What these leave open is as in the others.
    pub fn or(self, others: Self) -> Self {
        Self {
            keep_last: self.keep_last.or(others.keep_last),
            keep_hourly: self.keep_hourly.or(others.keep_hourly),
            keep_daily: self.keep_daily.or(others.keep_daily),
            keep_weekly: self.keep_weekly.or(others.keep_weekly),
            keep_monthly: self.keep_monthly.or(others.keep_monthly),
            keep_yearly: self.keep_yearly.or(others.keep_yearly),
            keep_within: self.keep_within.or(others.keep_within),
            max_age: self.max_age.or(others.max_age),
        }
    }
}

impl From<KindArg> for Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Db => Self::Db,
            KindArg::Source => Self::Source,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortArg {
    /// Newest first
    Date,
    /// Largest first
    Size,
    /// By name
    Name,
}
