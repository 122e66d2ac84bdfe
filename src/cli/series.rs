//! `kluis series`.

use clap::{Args, Subcommand};

use super::KindArg;
use crate::config::values::parse_label;

/// See which backups belong together, and move those of a renamed host
#[derive(Subcommand)]
pub enum SeriesCommand {
    List(SeriesList),
    Move(SeriesMove),
}

/// List the series: what retention, check and latest count together
///
/// A tree's series is the label of its host, its name and its root; a database's
/// is the label of its server and its name. Parts, what was adopted, and what
/// restores replaced are series of their own. What no key of ours sealed is listed apart.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis series list
  kluis series list --json")]
pub struct SeriesList {}

/// Give the backups of a renamed host or server its new label
///
/// A label is a setting (host, database.server), else the host's name or the way
/// to the server, as kluis series list shows it. Moved backups belong to the
/// series of the new label from then on: retention, check, status, reports and
/// latest count them there. A host takes along the servers that it calls by a
/// name of its own. Their manifests stay as they are; what was moved is sealed
/// beside them. Asks first; scripts say --yes.
#[derive(Args)]
#[command(after_help = "\
Examples:
  kluis series move alpha beta --dry-run
  kluis series move alpha beta
  kluis series move old.example:5432 db.example:5432 --kind db --yes

Only what a key of ours sealed is moved. A move that was interrupted goes on when
it is given again. kluis series move beta alpha moves back, and what beta made
itself too.")]
pub struct SeriesMove {
    /// The label as it was: a host's, or a server's
    #[arg(value_name = "OLD", value_parser = parse_label_or_service)]
    pub old: String,

    /// The label from now on
    #[arg(value_name = "NEW", value_parser = parse_label)]
    pub new: String,

    /// Only this kind
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Option<KindArg>,

    /// Only backups of this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,

    /// Print what would be moved; change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Do not ask
    #[arg(long)]
    pub yes: bool,

    /// Also where both labels made backups at the same time, as two hosts would
    #[arg(long)]
    pub force: bool,
}

/// Those of a service file have a blank.
fn parse_label_or_service(text: &str) -> Result<String, String> {
    let label = text.strip_prefix("service ").unwrap_or(text);
    parse_label(label).map(|_| text.to_owned())
}
