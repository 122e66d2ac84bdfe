//! The flags of what looks at keys and changes nothing.

use clap::Args;

/// Show which keys open which backups
///
/// Reads the 8 KiB header of every archive, or of those that are named. Kanbu's
/// archives have none: there the manifest tells the key.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis key list           the keys, and how many backups each opens
  kluis key list latest    one archive's key slots, and what opens each")]
pub struct KeyList {
    /// Id, its first digits, file name, path, latest, latest:db or latest:NAME
    #[arg(value_name = "BACKUP")]
    pub backups: Vec<String>,
}

/// Try every key, and say what its loss would cost
///
/// Unlocks the header of every backup with each configured key by itself, and
/// reads a sample of the backups whole.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis key drill
  kluis key drill --sample 20
  kluis key drill --all

Exit code 4: a backup that no configured key opens, or one of the sample that
is not right.")]
pub struct KeyDrill {
    /// Read this many backups whole: the newest, the oldest, others between
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub sample: usize,

    /// Read all of them whole
    #[arg(long, conflicts_with = "sample")]
    pub all: bool,
}
