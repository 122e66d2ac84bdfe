//! `kluis doctor`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::ServerFlags;

/// Check everything that backups and restores need
///
/// Looks at the storage, the key, the client programs, the server and the
/// role's rights, and says of each whether it will do, and what to mend.
/// Changes nothing.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis doctor
  kluis doctor shop --url postgres://backup@db.example.org/shop
  kluis doctor --container shop-postgres --json

Exit code 0: backups will work, though there may be warnings. Exit code 2:
something must be mended first.")]
pub struct Doctor {
    /// The database to look into; without it the one that the connection names
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,

    #[command(flatten)]
    pub server: ServerFlags,
}
