//! Makes bytes. A source is a reader whose clean end means that its producer
//! succeeded; what it learned on the way is told by [`Source::finish`].

use std::io::Read;

use crate::format::manifest::{DatabaseContent, TreeContent};

mod child_dump;
mod directory;
mod globals;
mod pg_dump;
mod warned;

pub use directory::{DEFAULT_EXCLUDES, DirectorySource, TreeError, TreeOptions, excludes_below};
pub use globals::GlobalsSource;
pub use pg_dump::{CustomDumpSource, DirectoryDump, DirectoryDumpSource, DumpError, PgDumpSource};

/// The contract: `read` gives the stream in order; `Ok(0)` comes only after the
/// producer has succeeded whole (every child exited 0, the dump's trailer was
/// seen); any failure is a read error, at the latest at the end of the stream.
/// A source checks the run's `Cancel` between reads.
pub trait Source: Read + Send {
    /// What the stream held. Called once, after `read` has returned `Ok(0)`.
    fn finish(self: Box<Self>) -> Produced;
}

/// What a source learned while its stream went by.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one per run; a box would only be unpacked again"
)]
pub enum Produced {
    Database(DatabaseContent),
    Tree(TreeContent),
}
