//! The command over past runs.

use clap::{Args, ValueEnum};

use crate::config::duration::parse_age;
use crate::operations::RunState;
use crate::retention::Age;

/// Tell what was done to this storage, by whom, and how it ended
///
/// Every run leaves a record in the storage: backups, restores, verifications,
/// deletions, prunes, changes of keys. One whose process is gone without a word
/// is shown as interrupted. With a key configured, a record that none of yours
/// sealed is shown as not sealed: somebody may have put it there.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis history
  kluis history --result failed --since 7d
  kluis history --command backup --limit 30 --json
  kluis history --about shop")]
pub struct History {
    /// Only this command, such as backup, 'backup db' or prune
    #[arg(long, value_name = "COMMAND")]
    pub command: Option<String>,

    /// Only runs that ended so
    #[arg(long, value_enum, value_name = "RESULT")]
    pub result: Option<ResultArg>,

    /// Only runs about archives with this in their name
    #[arg(long, value_name = "TEXT")]
    pub about: Option<String>,

    /// Only runs that began so long ago or less, such as 12h, 7d or 1m
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub since: Option<Age>,

    /// At most this many; 0 is all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResultArg {
    /// Ended well
    Completed,
    /// Ended with an error
    Failed,
    /// Under way
    Running,
    /// Gone without a word
    Interrupted,
}

impl From<ResultArg> for RunState {
    fn from(result: ResultArg) -> Self {
        match result {
            ResultArg::Completed => Self::Completed,
            ResultArg::Failed => Self::Failed,
            ResultArg::Running => Self::Running,
            ResultArg::Interrupted => Self::Interrupted,
        }
    }
}
