//! Archives of pg_dump's custom and directory formats, as far as kluis reads them itself:
//! the table of contents, by which what is whole of a damaged one is told apart.
//!
//! The layout is that of PostgreSQL's `pg_backup_archiver.c` and `pg_backup_custom.c`,
//! archive versions 1.12 to 1.16: pg_dump of 9.0 to 18. Everything else is pg_restore's
//! business.

mod bytes;
mod toc;

pub use bytes::{INT_BYTES, int_of};
pub use toc::{Compression, DataEntry, DataKind, Form, Toc, TocError};

/// The first byte of a block of data in custom format.
pub const BLOCK_OF_ROWS: u8 = 1;
pub const BLOCK_OF_LARGE_OBJECTS: u8 = 3;
