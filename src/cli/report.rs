//! The command that puts everything about a storage on one page.

use std::path::PathBuf;

use clap::Args;

/// Tell how the backups stand and grow, as text or as a page for a browser
///
/// The page holds everything in one file: what check finds, sizes and durations
/// over time, the room on the disk, the rows of the largest tables, all backups
/// and the runs. It asks no network for anything. It names databases, hosts and
/// errors, but no secrets.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis report
  kluis report --html /var/www/kluis/index.html
  kluis report --html - | gzip > report.html.gz
  kluis report --json

FILE is replaced at once. A new one can be read by everybody (0644); one that is
there keeps its mode. The exit code is 0 whatever the page says: check judges.")]
pub struct Report {
    /// Write the page into this file; - is stdout
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Do not ask the server which databases it has
    #[arg(long)]
    pub no_server: bool,
}
