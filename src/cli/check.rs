//! The commands that tell how things stand.

use std::path::PathBuf;

use clap::Args;

use super::RunFlags;

/// Tell whether the backups are as they should be
///
/// Looks at the age, size and proof of each name's backups, at failed runs, the
/// room on the disk, and databases that have no backup. What is still healthy
/// stands under [check] in kluis.toml. Nothing is read but manifests and records.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis check
  kluis check --nagios              as a plugin: exit code 0, 1 or 2
  kluis check --prometheus /var/lib/node_exporter/kluis.prom

Exit code 5 where something is wrong; a plugin's own codes with --nagios.")]
pub struct Check {
    /// One line and performance data, with the exit codes of a Nagios plugin
    #[arg(long)]
    pub nagios: bool,

    /// Also write metrics into this file, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE", conflicts_with = "nagios")]
    pub prometheus: Option<PathBuf>,

    /// Do not ask the server which databases it has
    #[arg(long)]
    pub no_server: bool,

    #[command(flatten)]
    pub run: RunFlags,
}

/// Show how things stand, on one screen
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis status
  watch --color kluis status --color always")]
pub struct Status {}
