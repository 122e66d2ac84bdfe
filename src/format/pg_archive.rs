//! Archives of pg_dump's custom and directory formats, as far as kluis reads them itself:
//! the table of contents, by which what is whole of a damaged one is told apart.
//!
//! The layout is that of PostgreSQL's `pg_backup_archiver.c` and `pg_backup_custom.c`,
//! archive versions 1.12 to 1.16: pg_dump of 9.0 to 18. Everything else is pg_restore's
//! business.

mod bytes;
mod files;
mod toc;

pub use bytes::{INT_BYTES, int_of};
pub use files::{CONTENTS_FILE, ONE_LIST, is_file_name, listed_file};
pub use toc::{Compression, DataEntry, DataKind, Form, Toc, TocError};

/// An archive begins with it, and so does a directory's table of contents.
pub const MAGIC: &[u8; 5] = b"PGDMP";
/// The first byte of a block of data in custom format.
pub const BLOCK_OF_ROWS: u8 = 1;
pub const BLOCK_OF_LARGE_OBJECTS: u8 = 3;
