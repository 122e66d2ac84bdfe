//! Gets bytes back: the opened, decrypted, decompressed stream of an archive.
//!
//! A target receives into a staging place and shows nothing until
//! [`Target::commit`]; dropping it without commit removes what it made.

use std::io::BufRead;

use crate::dump::{Contents, Part};
use crate::format::manifest::{DatabaseContent, TreeContent};
use crate::format::mended::NotWhole;
use crate::format::tar::Entry;
use crate::ledger::{Columns, PublicSchema};
use crate::reached::Reached;

mod archive;
mod chosen;
mod contents_check;
mod directory;
mod dump_check;
mod dump_files;
mod facts_check;
mod globals;
mod in_place;
mod passage;
mod postgres;
mod psql;
mod redump;
mod restore_check;
mod selected;
mod tree_check;
mod tree_restore_check;

pub use archive::{FromCustom, FromDirectory};
pub use contents_check::ContentsCheck;
pub use directory::{DirectoryTarget, RestoreTreeOptions};
pub use dump_check::DumpCheck;
pub use facts_check::FactsCheck;
pub use globals::GlobalsTarget;
pub use in_place::InPlaceTarget;
pub use postgres::{DatabaseTarget, Placement};
pub use redump::dumped_again;
pub use restore_check::{ProofPlace, RestoreCheck};
pub use selected::Selected;
pub use tree_check::TreeCheck;
pub use tree_restore_check::TreeRestoreCheck;

pub trait Target: Send {
    /// Reads `stream` to its end into the staging place. The bytes may still
    /// turn out to be wrong after the last of them (a digest at the end), so
    /// nothing may become visible here. Checks the run's `Cancel` on the way.
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError>;

    /// Reads back what lies in the staging place now, in the form in which
    /// [`Target::receive`] tells what came: a database is dumped again. Called
    /// after the archive's end has been checked; `advance` hears of each piece's
    /// bytes. `None` where nothing is kept.
    fn read_back(&mut self, _advance: &dyn Fn(u64)) -> Result<Option<Received>, TargetError> {
        Ok(None)
    }

    /// Makes what was received visible, whole. Called once, after the archive's
    /// end has been checked. Tells `reached` how far it is, before each step whose
    /// answer may be lost, and after it: what is said of a failure comes of that. Gives
    /// what should be known of what it did.
    fn commit(&mut self, reached: &mut Reached) -> Result<Vec<String>, TargetError>;

    /// After a failure: takes away what is in the staging place; names what stays.
    /// Dropping does the same in silence.
    fn abandon(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// What a target saw in the stream, to be compared with the manifest.
#[derive(Debug, Default)]
pub struct Received {
    pub database: Option<DatabaseContent>,
    pub tree: Option<TreeContent>,
    /// Of a tree only so many entries were restored: a part was asked for.
    pub chosen: Option<u64>,
    /// What is in the tree, where that was asked for; without attributes' values.
    pub entries: Option<Vec<Entry>>,
    /// What the dump says of the schema `public`.
    pub public: PublicSchema,
    /// What stands where in the dump, where that was asked for.
    pub contents: Option<Contents>,
    /// Only this part of the dump was let through: `database` tells of it alone,
    /// and the manifest is to be compared for it alone.
    pub part: Option<Part>,
    /// Types of a dump's objects that were not made, as that was asked for.
    pub types_left_out: &'static [&'static str],
    /// Entries that were not made, each named in `warnings`.
    pub left_out: u64,
    /// Entries that were made, but not with all that they had (owner, mode,
    /// attributes, time), each named in `warnings`.
    pub not_set: u64,
    /// What did not come, where that is passed over.
    pub not_whole: Vec<NotWhole>,
    /// Roles that are to be made: those that the server does not have.
    pub roles: Vec<String>,
    /// What a replaced database is called now, where it was kept.
    pub kept_old: Option<String>,
    /// Things the operator should know that do not make the result wrong, such
    /// as ownership that could not be set without root.
    pub warnings: Vec<String>,
}

impl Received {
    /// Those of the dump's tables; none of a tree.
    pub(crate) fn columns(&self) -> Columns {
        let database = self.database.as_ref();
        database.map_or_else(Columns::default, |content| content.ledger.columns.clone())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The stream itself broke: the archive is at fault, or its storage.
    #[error("the archive's stream broke: {0}")]
    Stream(#[source] std::io::Error),
    /// The content must not be restored as it is: an entry that would leave the
    /// target, a dump without its trailer.
    #[error("refused: {what}")]
    Hostile { what: String },
    /// The archive came whole, and the program that reads it cannot.
    #[error("refused: pg_restore cannot read the archive: {0}")]
    Unreadable(#[source] crate::process::Failure),
    #[error("nothing in the backup is called so: --path fits no entry; --list shows what is there")]
    NothingChosen,
    /// The place it should go to said no.
    #[error("cannot {action} {place}: {source}")]
    Place {
        action: &'static str,
        place: String,
        #[source]
        source: std::io::Error,
    },
    /// Whole and as it should be, but not where it was to go.
    #[error(
        "the restored tree is not at {place}: somebody else who can write to a directory above it \
         moved it, or that directory, in the very moment; look for it, and restore to a place \
         that only you can write to"
    )]
    Displaced { place: String },
    /// The server or its client said no.
    #[error(transparent)]
    Postgres(#[from] crate::postgres::PostgresError),
    /// A server that has all it needs refuses the dump.
    #[error("it does not restore: {0}")]
    DoesNotRestore(#[source] crate::postgres::PostgresError),
    /// What was restored could not be dumped again to compare it.
    #[error(transparent)]
    Redump(#[from] crate::postgres::LedgerDumpError),
    /// The stream is not a whole dump.
    #[error(transparent)]
    Dump(#[from] crate::ledger::LedgerError),
    #[error(transparent)]
    Scratch(#[from] crate::scratch::ScratchError),
    #[error(transparent)]
    Cancelled(#[from] crate::cancel::Cancelled),
}
