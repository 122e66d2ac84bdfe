//! An archive's table of contents: which of its entries have data, where that is, and
//! where in the table it says so.
//!
//! Owns the change that makes an entry one without data: pg_restore then makes the table
//! and leaves it empty. Nothing else of the table is understood or changed.

use std::collections::HashSet;
use std::io;

use super::MAGIC;
use super::bytes::{Bytes, INT_BYTES};
use crate::format::mended::{Plan, Stretches};

/// The least and the last minor version of 1 that is known.
const VERSIONS: std::ops::RangeInclusive<u8> = 12..=16;
/// Of all names that are kept together.
const NAMES_BYTES_MAX: usize = 256 << 20;
/// In custom format: the entry has no data.
const NO_DATA: u8 = 3;

/// Which of the two an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Custom,
    Directory,
}

/// What pg_dump compressed its data with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Lz4,
    Zstd,
}

#[derive(Debug)]
pub struct Toc {
    pub compression: Compression,
    /// One file lists all large objects, whatever the entry says.
    pub has_one_list: bool,
    /// The entries with data, in the order in which that stands in custom format.
    pub data: Vec<DataEntry>,
    /// Behind its last byte.
    pub end: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataEntry {
    pub id: u32,
    pub kind: DataKind,
    pub schema: Vec<u8>,
    pub name: Vec<u8>,
    /// In directory format, without what compression adds to its name.
    pub file: Vec<u8>,
    /// Where it says that there is data.
    told_at: u64,
    /// Where custom format says so again.
    state_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// Rows for a `COPY`.
    Rows,
    /// Statements: rows of `--inserts`, or what a newer pg_dump puts there.
    Statements,
    LargeObjects,
}

#[derive(Debug, thiserror::Error)]
pub enum TocError {
    #[error(transparent)]
    Stream(#[from] io::Error),
    #[error("a part of it is lost")]
    Cut,
    #[error("it is of a version that is not known")]
    UnknownVersion,
    #[error("{0}")]
    Refused(&'static str),
}

impl Toc {
    /// Reads it from where `stream` stands.
    pub fn read(stream: &mut dyn Stretches, form: Form) -> Result<Self, TocError> {
        let mut bytes = Bytes::new(stream, NAMES_BYTES_MAX);
        let head = Head::read(&mut bytes, form)?;
        let count = bytes.int()?;
        let mut data = Vec::new();
        let mut ids = HashSet::new();
        for _ in 0..count {
            if let Some(entry) = head.entry(&mut bytes)? {
                if !ids.insert(entry.id) {
                    return Err(TocError::Refused("an entry of it comes twice"));
                }
                data.push(entry);
            }
        }
        Ok(Self {
            compression: head.compression,
            has_one_list: head.minor < 16,
            data,
            end: bytes.position(),
        })
    }

    /// The table from `start` on, with the entries alone as having data that `is_kept`
    /// takes, by their place among those that have.
    pub fn plan(&self, start: u64, is_kept: impl Fn(usize) -> bool) -> Plan {
        let mut plan = Plan::default();
        let mut at = start;
        for (_, entry) in self.data.iter().enumerate().filter(|it| !is_kept(it.0)) {
            plan.keep(at..entry.told_at);
            plan.bytes(&[0; INT_BYTES]);
            at = entry.told_at + INT_BYTES as u64;
            if let Some(state_at) = entry.state_at {
                plan.keep(at..state_at);
                plan.bytes(&[NO_DATA]);
                at = state_at + 1;
            }
        }
        plan.keep(at..self.end);
        plan
    }
}

/// What the head says of all that follows.
struct Head {
    minor: u8,
    offset_bytes: u64,
    compression: Compression,
    form: Form,
}

impl Head {
    fn read(bytes: &mut Bytes<'_>, form: Form) -> Result<Self, TocError> {
        if bytes.take()? != *MAGIC {
            return Err(TocError::Refused("it does not begin as one"));
        }
        let [major, minor, _, int_bytes, offset_bytes, format] = bytes.take()?;
        if major != 1 || !VERSIONS.contains(&minor) {
            return Err(TocError::UnknownVersion);
        }
        // A directory says that it is a tar.
        let is_meant = match form {
            Form::Custom => format == 1,
            Form::Directory => format == 3 || format == 5,
        };
        if usize::from(int_bytes) + 1 != INT_BYTES || offset_bytes > 32 || !is_meant {
            return Err(TocError::Refused("its head is none that pg_dump writes"));
        }
        let compression = match minor {
            ..15 if bytes.int()? == 0 => Compression::None,
            ..15 => Compression::Gzip,
            _ => match bytes.byte()? {
                0 => Compression::None,
                1 => Compression::Gzip,
                2 => Compression::Lz4,
                3 => Compression::Zstd,
                _ => return Err(TocError::Refused("its compression is not known")),
            },
        };
        // When it was made: seven numbers. Its database, the versions of both programs.
        for _ in 0..7 {
            bytes.int()?;
        }
        for _ in 0..3 {
            bytes.skip_text()?;
        }
        Ok(Self {
            minor,
            offset_bytes: offset_bytes.into(),
            compression,
            form,
        })
    }

    /// `None`: it has no data.
    fn entry(&self, bytes: &mut Bytes<'_>) -> Result<Option<DataEntry>, TocError> {
        let id = u32::try_from(bytes.int()?);
        let id = id.ok().filter(|id| *id > 0);
        let id = id.ok_or(TocError::Refused("an entry of it has no proper number"))?;
        let told_at = bytes.position();
        let has_data = bytes.int()? != 0;
        // The catalogue's table and the row in it.
        bytes.skip_text()?;
        bytes.skip_text()?;
        let name = text_of(bytes, has_data)?;
        let what = text_of(bytes, has_data)?;
        // Its section; what makes it, and what drops it.
        bytes.int()?;
        bytes.skip_text()?;
        bytes.skip_text()?;
        let copy = text_of(bytes, has_data)?;
        let schema = text_of(bytes, has_data)?;
        // Its tablespace, access method and kind of relation; its owner; OIDs or not.
        bytes.skip_text()?;
        if self.minor >= 14 {
            bytes.skip_text()?;
        }
        if self.minor >= 16 {
            bytes.int()?;
        }
        bytes.skip_text()?;
        bytes.skip_text()?;
        // What it depends on.
        while bytes.skip_text()? {}
        let (state_at, file) = match self.form {
            Form::Custom => {
                let at = bytes.position();
                bytes.skip(1 + self.offset_bytes)?;
                (Some(at), Vec::new())
            }
            Form::Directory => (None, text_of(bytes, has_data)?),
        };
        let kind = match () {
            () if what == b"BLOBS" => DataKind::LargeObjects,
            () if copy.is_empty() => DataKind::Statements,
            () => DataKind::Rows,
        };
        Ok(has_data.then_some(DataEntry {
            id,
            kind,
            schema,
            name,
            file,
            told_at,
            state_at,
        }))
    }
}

fn text_of(bytes: &mut Bytes<'_>, is_kept: bool) -> Result<Vec<u8>, TocError> {
    if is_kept {
        return bytes.text();
    }
    bytes.skip_text().map(|_| Vec::new())
}
