//! The flags of `kluis adopt`.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args};

use super::KindArg;

/// Make manifests for files that have none
///
/// Takes Kanbu's .enc archives, dumps (.sql, .dump, .dir.tar), trees (.tar),
/// compressed by gzip or zstd or not at all, and KLUIS1 archives that lost their
/// manifest. A manifest without a seal is kept where it fits, and sealed. Each is read whole first; one that is damaged or cut is refused. A
/// file from elsewhere is copied into the storage. Of several copies of one
/// encrypted archive one is adopted. No dump and no tar tells whether all is in it:
/// what was adopted counts beside what kluis made, never in its place.
#[derive(Args)]
#[command(
    group = ArgGroup::new("which").required(true).args(["files", "all"]),
    after_help = "\
Examples:
  kluis adopt kanbu_backup_2026-01-18T10-30-00.sql.gz.enc
  kluis adopt /old/shop.sql.gz --name shop
  kluis adopt --all

Exit code 2: not a kind of file that can be a backup. Exit code 3: some were
adopted, others not, or --all passed over what is nearly all hole. Exit code 4: damaged, cut, or its key is missing.")]
pub struct Adopt {
    /// File names in the storage, ids as kluis list shows them, or paths
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Every file of the storage that has no manifest, or one that was never sealed
    #[arg(long, conflicts_with_all = ["name", "kind"])]
    pub all: bool,

    /// With --all, and a key configured: also files that are not encrypted, Kanbu's,
    /// or for a recipient alone, which anybody who can write there may have put there
    #[arg(long, requires = "all")]
    pub accept_unsealed: bool,

    /// The database's or tree's name, where the file's name does not tell it
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,

    /// What a tar holds, where nothing tells it: a dump in directory format, or
    /// a tree
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Option<KindArg>,
}
