//! Writes the headers of an entry. The caller appends the data and
//! [`padding`], and [`end_of_archive`] after the last entry.
//!
//! Invariant: the same entry gives the same bytes, and a PAX header appears
//! only where ustar cannot say it: this keeps small trees readable by anything.

use super::pax::{format_time, push_record, push_xattr};
use super::sparse::encode_map;
use super::{Attributes, BLOCK_BYTES, Entry, EntryKind, MAX_EXTENDED_BYTES, MAX_PATH_BYTES};

const ZEROS: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];
const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
/// The largest numbers that the octal fields hold.
const MAX_OCTAL_7: u64 = 0o7_777_777;
const MAX_OCTAL_11: u64 = 0o77_777_777_777;

/// Why an entry cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("its path is longer than 16 KiB")]
    PathTooLong,
    #[error("its extended attributes need more than 1 MiB")]
    AttributesTooLarge,
    #[error("it is too large for an archive, and this file system tells of no holes in it")]
    TooLarge,
}

/// Appends the headers, and for a sparse file its map: what follows is the
/// data, in the order of the segments.
pub fn encode(entry: &Entry, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if entry.path.len() > MAX_PATH_BYTES {
        return Err(EncodeError::PathTooLong);
    }
    let mut extended = Extended::default();
    let mut header = Header::new();
    let mut map = Vec::new();
    let mut stored_bytes = 0;
    match &entry.kind {
        EntryKind::Directory => {
            let mut name = entry.path.clone();
            name.extend_from_slice(if name.is_empty() { b"./" } else { b"/" });
            header.name(&name, &mut extended);
            header.kind(b'5');
        }
        EntryKind::File { bytes } => {
            header.name(&entry.path, &mut extended);
            header.kind(b'0');
            stored_bytes = *bytes;
        }
        EntryKind::SparseFile { bytes, segments } => {
            map = encode_map(*bytes, segments);
            stored_bytes = map.len() as u64 + segments.iter().map(|s| s.bytes).sum::<u64>();
            push_sparse(&entry.path, *bytes, &mut header, &mut extended);
        }
        EntryKind::Symlink { target } => {
            header.name(&entry.path, &mut extended);
            header.link(b'2', target, &mut extended)?;
        }
        EntryKind::HardLink { target } => {
            header.name(&entry.path, &mut extended);
            header.link(b'1', target, &mut extended)?;
        }
    }
    if stored_bytes > super::MAX_STORED_BYTES {
        return Err(EncodeError::TooLarge);
    }
    header.size(stored_bytes, &mut extended);
    header.attributes(&entry.attributes, &mut extended);
    extended.push_to(out)?;
    out.extend_from_slice(&header.finish());
    out.extend_from_slice(&map);
    Ok(())
}

/// The zeros that fill the last block after `data_bytes` of data.
pub fn padding(data_bytes: u64) -> &'static [u8] {
    let used = (data_bytes % BLOCK_BYTES as u64) as usize;
    &ZEROS[..(BLOCK_BYTES - used) % BLOCK_BYTES]
}

/// The two zero blocks that end an archive.
pub fn end_of_archive() -> &'static [u8] {
    &ZEROS
}

fn push_sparse(path: &[u8], bytes: u64, header: &mut Header, extended: &mut Extended) {
    let real_bytes = bytes.to_string();
    push_record(&mut extended.records, b"GNU.sparse.major", b"1");
    push_record(&mut extended.records, b"GNU.sparse.minor", b"0");
    push_record(
        &mut extended.records,
        b"GNU.sparse.realsize",
        real_bytes.as_bytes(),
    );
    header.kind(b'0');
    if !path.is_ascii() {
        // A record would not come through every locale; see `Extended::path`.
        return header.name(path, extended);
    }
    push_record(&mut extended.records, b"GNU.sparse.name", path);
    // The name for readers that know no sparse files, as GNU tar gives it.
    let base = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let mut name = b"GNUSparseFile.0/".to_vec();
    name.extend_from_slice(&base[..base.len().min(NAME_BYTES - name.len())]);
    header.field(0, NAME_BYTES, &name);
}

/// What goes before an entry's header.
#[derive(Default)]
struct Extended {
    /// PAX records, still without their header.
    records: Vec<u8>,
    /// GNU's headers for long names, ready.
    long_names: Vec<u8>,
}

impl Extended {
    /// A path or link target that ustar cannot hold: a PAX record, but GNU's
    /// header of kind `gnu` where the bytes are not ASCII. Those GNU tar and
    /// bsdtar take as they are in any locale; PAX records are UTF-8 by
    /// definition, and bsdtar fails on them where the locale is not.
    fn path(&mut self, key: &[u8], gnu: u8, path: &[u8]) {
        if path.is_ascii() {
            push_record(&mut self.records, key, path);
        } else {
            let terminated = [path, b"\0"].concat();
            push_extension(&mut self.long_names, b"././@LongLink", gnu, &terminated);
        }
    }

    fn push_to(self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.records.len() as u64 > MAX_EXTENDED_BYTES {
            return Err(EncodeError::AttributesTooLarge);
        }
        out.extend_from_slice(&self.long_names);
        if !self.records.is_empty() {
            push_extension(out, b"././@PaxHeader", b'x', &self.records);
        }
        Ok(())
    }
}

/// A header that speaks about the next entry, and its body.
fn push_extension(out: &mut Vec<u8>, name: &[u8], typeflag: u8, body: &[u8]) {
    let mut header = Header::new();
    header.field(0, NAME_BYTES, name);
    header.kind(typeflag);
    header.octal(100, 8, 0o644);
    header.octal(108, 8, 0);
    header.octal(116, 8, 0);
    header.octal(124, 12, body.len() as u64);
    header.octal(136, 12, 0);
    out.extend_from_slice(&header.finish());
    out.extend_from_slice(body);
    out.extend_from_slice(padding(body.len() as u64));
}

/// One ustar block; offsets and widths as POSIX.1-1988 has them.
struct Header([u8; BLOCK_BYTES]);

impl Header {
    fn new() -> Self {
        let mut block = [0; BLOCK_BYTES];
        block[257..265].copy_from_slice(b"ustar\x0000");
        Self(block)
    }

    fn kind(&mut self, typeflag: u8) {
        self.0[156] = typeflag;
    }

    fn field(&mut self, offset: usize, width: usize, value: &[u8]) {
        debug_assert!(value.len() <= width);
        self.0[offset..offset + value.len()].copy_from_slice(value);
    }

    /// Octal digits up to the field's last byte, which stays NUL.
    fn octal(&mut self, offset: usize, width: usize, mut value: u64) {
        for place in self.0[offset..offset + width - 1].iter_mut().rev() {
            *place = b'0' + (value & 7) as u8;
            value >>= 3;
        }
    }

    fn name(&mut self, path: &[u8], extended: &mut Extended) {
        if path.len() <= NAME_BYTES {
            self.field(0, NAME_BYTES, path);
        } else if let Some(slash) = prefix_split(path) {
            self.field(345, PREFIX_BYTES, &path[..slash]);
            self.field(0, NAME_BYTES, &path[slash + 1..]);
        } else {
            extended.path(b"path", b'L', path);
            self.field(0, NAME_BYTES, &path[..NAME_BYTES]);
        }
    }

    fn link(
        &mut self,
        kind: u8,
        target: &[u8],
        extended: &mut Extended,
    ) -> Result<(), EncodeError> {
        if target.len() > MAX_PATH_BYTES {
            return Err(EncodeError::PathTooLong);
        }
        self.kind(kind);
        if target.len() > NAME_BYTES {
            extended.path(b"linkpath", b'K', target);
        }
        self.field(157, NAME_BYTES, &target[..target.len().min(NAME_BYTES)]);
        Ok(())
    }

    fn size(&mut self, bytes: u64, extended: &mut Extended) {
        if bytes > MAX_OCTAL_11 {
            push_record(&mut extended.records, b"size", bytes.to_string().as_bytes());
        }
        self.octal(124, 12, bytes.min(MAX_OCTAL_11));
    }

    fn attributes(&mut self, attributes: &Attributes, extended: &mut Extended) {
        self.octal(100, 8, u64::from(attributes.mode & 0o7777));
        for (key, offset, id) in [
            (&b"uid"[..], 108, attributes.uid),
            (b"gid", 116, attributes.gid),
        ] {
            if id > MAX_OCTAL_7 {
                push_record(&mut extended.records, key, id.to_string().as_bytes());
            }
            self.octal(offset, 8, if id > MAX_OCTAL_7 { 0 } else { id });
        }
        for (key, offset, name) in [
            (&b"uname"[..], 265, &attributes.uname),
            (b"gname", 297, &attributes.gname),
        ] {
            if name.len() < 32 {
                self.field(offset, 32, name);
            } else {
                push_record(&mut extended.records, key, name);
            }
        }
        let time = attributes.mtime;
        let seconds = u64::try_from(time.seconds)
            .ok()
            .filter(|&s| s <= MAX_OCTAL_11);
        if seconds.is_none() || time.nanoseconds != 0 {
            push_record(
                &mut extended.records,
                b"mtime",
                format_time(time).as_bytes(),
            );
        }
        self.octal(136, 12, seconds.unwrap_or(0));
        for xattr in &attributes.xattrs {
            push_xattr(&mut extended.records, xattr);
        }
    }

    /// The block with its checksum, which counts its own field as spaces.
    fn finish(mut self) -> [u8; BLOCK_BYTES] {
        self.0[148..156].fill(b' ');
        let sum = self.0.iter().map(|&byte| u64::from(byte)).sum();
        self.octal(148, 7, sum);
        self.0[154] = 0;
        self.0
    }
}

/// Where a path of 101 to 256 bytes parts into prefix and name, both non-empty.
fn prefix_split(path: &[u8]) -> Option<usize> {
    let first = path.len().checked_sub(NAME_BYTES + 1)?;
    let last = PREFIX_BYTES.min(path.len().checked_sub(2)?);
    (first.max(1)..=last).find(|&at| path[at] == b'/')
}
