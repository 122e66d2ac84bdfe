//! Reads a tar stream entry by entry. Every allocation is bounded before it is
//! made, whatever the headers claim; what is not understood is refused, because
//! a restore that guesses is a restore that is wrong.
//!
//! Invariant: after [`TarReader::next_entry`] has returned `Ok(None)` the stream
//! has been read to its end, and behind the archive's end were only zeros.

use std::io::{self, BufRead, ErrorKind};

use super::decode::RawHeader;
use super::pax::{self, Pax};
use super::sparse::{MAX_MAP_BYTES, MapParser};
use super::{
    Attributes, BLOCK_BYTES, Entry, EntryKind, MAX_EXTENDED_BYTES, MAX_PATH_BYTES, TarError,
    clean_path,
};

/// The entries of a tar stream and their data, in order.
pub struct TarReader<R> {
    stream: R,
    /// Of the current entry: data, then padding to the block.
    data_left: u64,
    padding_left: u64,
    /// The current entry, for errors in its data.
    current: Vec<u8>,
}

/// Headers that speak about the entry after them.
pub(super) const SINGLE_ZERO_BLOCK: &str = "is followed by a single zero block";
pub(super) const DATA_BEHIND_END: &str = "is followed by data behind the archive's end";

#[derive(Default)]
struct Extended {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: BufRead> TarReader<R> {
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            data_left: 0,
            padding_left: 0,
            current: Vec::new(),
        }
    }

    /// The next entry; what is left of the last one's data is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_rest()?;
        let mut extended = Extended::default();
        loop {
            let Some(block) = self.header_block()? else {
                return match extended.is_empty() {
                    true => Ok(None),
                    false => Err(self.refused("is announced but never comes")),
                };
            };
            let header = RawHeader::new(&block).map_err(|why| self.refused(why))?;
            if !self.take_extension(&header, &mut extended)? {
                return self.entry(&header, extended).map(Some);
            }
        }
    }

    /// The data at hand; empty at the end of the entry's data. For a sparse file
    /// the segments' data, one after the other.
    pub fn data(&mut self) -> Result<&[u8], TarError> {
        if self.data_left == 0 {
            return Ok(&[]);
        }
        let chunk = fill(&mut self.stream)?;
        if chunk.is_empty() {
            return Err(cut_off());
        }
        let at_hand = usize::try_from(self.data_left).unwrap_or(usize::MAX);
        Ok(&chunk[..chunk.len().min(at_hand)])
    }

    /// Bytes of the present entry's data that were not consumed, and of what fills its
    /// last block.
    pub(crate) fn left(&self) -> (u64, u64) {
        (self.data_left, self.padding_left)
    }

    /// Takes `bytes` of what [`TarReader::data`] gave.
    pub fn consume(&mut self, bytes: usize) {
        self.stream.consume(bytes);
        self.data_left = self.data_left.saturating_sub(bytes as u64);
    }

    /// A refusal of the current entry.
    pub fn refused(&self, why: &'static str) -> TarError {
        TarError::refused(&self.current, why)
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        loop {
            let bytes = self.data()?.len();
            if bytes == 0 {
                break;
            }
            self.consume(bytes);
        }
        while self.padding_left > 0 {
            let chunk = fill(&mut self.stream)?.len() as u64;
            if chunk == 0 {
                return Err(cut_off());
            }
            let step = chunk.min(self.padding_left);
            self.stream.consume(step as usize);
            self.padding_left -= step;
        }
        Ok(())
    }

    /// One block, or `None` at the archive's proper end.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK_BYTES]>, TarError> {
        let block = self.block()?;
        if block.iter().any(|&byte| byte != 0) {
            return Ok(Some(block));
        }
        if self.block()?.iter().any(|&byte| byte != 0) {
            return Err(self.refused(SINGLE_ZERO_BLOCK));
        }
        loop {
            let chunk = fill(&mut self.stream)?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let bytes = chunk.len();
            if chunk.iter().any(|&byte| byte != 0) {
                return Err(self.refused(DATA_BEHIND_END));
            }
            self.stream.consume(bytes);
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK_BYTES], TarError> {
        let mut block = [0; BLOCK_BYTES];
        read_exact(&mut self.stream, &mut block)?;
        Ok(block)
    }

    /// Reads a header that belongs to the next entry; `false` if it is none.
    fn take_extension(
        &mut self,
        header: &RawHeader<'_>,
        extended: &mut Extended,
    ) -> Result<bool, TarError> {
        let typeflag = header.typeflag();
        if !matches!(typeflag, b'x' | b'g' | b'L' | b'K') {
            return Ok(false);
        }
        let limit = match typeflag {
            b'x' | b'g' => MAX_EXTENDED_BYTES,
            _ => MAX_PATH_BYTES as u64 + 1,
        };
        let body = self.extension_body(header, limit)?;
        let twice = match typeflag {
            b'x' => {
                let records = pax::parse(&body).map_err(|why| self.refused(why))?;
                extended.pax.replace(records).is_some()
            }
            b'L' => extended.long_name.replace(until_nul(body)).is_some(),
            b'K' => extended.long_link.replace(until_nul(body)).is_some(),
            _ => {
                pax::check_global(&body).map_err(|why| self.refused(why))?;
                false
            }
        };
        match twice {
            true => Err(self.refused("is followed by two headers of a kind for one entry")),
            false => Ok(true),
        }
    }

    fn extension_body(&mut self, header: &RawHeader<'_>, limit: u64) -> Result<Vec<u8>, TarError> {
        let bytes = header.size().map_err(|why| self.refused(why))?;
        if bytes > limit {
            return Err(self.refused("is followed by an extended header that is too large"));
        }
        let bytes = bytes as usize;
        let mut body = vec![0; bytes.next_multiple_of(BLOCK_BYTES)];
        read_exact(&mut self.stream, &mut body)?;
        body.truncate(bytes);
        Ok(body)
    }

    fn entry(&mut self, header: &RawHeader<'_>, extended: Extended) -> Result<Entry, TarError> {
        let mut pax = extended.pax.unwrap_or_default();
        let raw_path = pax
            .sparse_name
            .take()
            .or(pax.path.take())
            .or(extended.long_name)
            .unwrap_or_else(|| header.path());
        self.current.clone_from(&raw_path);
        let path = clean_path(&raw_path).map_err(|why| self.refused(why))?;
        let raw_link = pax
            .linkpath
            .take()
            .or(extended.long_link)
            .unwrap_or_else(|| header.link().to_vec());
        let parsed = stored_bytes(header, &pax).and_then(|bytes| {
            let kind = entry_kind(header.typeflag(), &raw_path, &path, raw_link, bytes)?;
            Ok((bytes, kind))
        });
        let (bytes, kind) = parsed.map_err(|why| self.refused(why))?;
        self.data_left = bytes;
        self.padding_left = bytes.next_multiple_of(BLOCK_BYTES as u64) - bytes;
        let kind = self.unfold_sparse(kind, &pax)?;
        let attributes = attributes(header, pax).map_err(|why| self.refused(why))?;
        Ok(Entry {
            path,
            kind,
            attributes,
        })
    }

    /// Reads the map that a sparse file's data begins with.
    fn unfold_sparse(&mut self, kind: EntryKind, pax: &Pax) -> Result<EntryKind, TarError> {
        if pax.sparse_version.is_none() && pax.sparse_real_bytes.is_none() && !pax.sparse_foreign {
            return Ok(kind);
        }
        let file_bytes = match (&kind, pax.sparse_version, pax.sparse_real_bytes) {
            (EntryKind::File { .. }, Some((1, 0)), Some(bytes)) if !pax.sparse_foreign => bytes,
            _ => return Err(self.refused("is sparse in a way that is not GNU's version 1.0")),
        };
        if i64::try_from(file_bytes).is_err() {
            return Err(self.refused("has a size that is too large"));
        }
        let mut parser = MapParser::default();
        let mut map_bytes = 0;
        loop {
            if self.data_left < BLOCK_BYTES as u64 || map_bytes >= MAX_MAP_BYTES {
                return Err(self.refused("has a sparse map without an end"));
            }
            let block = self.block()?;
            self.data_left -= BLOCK_BYTES as u64;
            map_bytes += BLOCK_BYTES;
            if parser.take_block(&block).map_err(|why| self.refused(why))? {
                break;
            }
        }
        let segments = parser
            .finish(file_bytes, self.data_left)
            .map_err(|why| self.refused(why))?;
        Ok(EntryKind::SparseFile {
            bytes: file_bytes,
            segments,
        })
    }
}

impl Extended {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

fn stored_bytes(header: &RawHeader<'_>, pax: &Pax) -> Result<u64, &'static str> {
    let bytes = match pax.size {
        Some(bytes) => bytes,
        None => header.size()?,
    };
    if bytes > super::MAX_STORED_BYTES {
        return Err("has a size that is too large");
    }
    Ok(bytes)
}

fn entry_kind(
    typeflag: u8,
    raw_path: &[u8],
    path: &[u8],
    raw_link: Vec<u8>,
    bytes: u64,
) -> Result<EntryKind, &'static str> {
    let kind = match typeflag {
        b'0' | 0 | b'7' => EntryKind::File { bytes },
        b'5' => EntryKind::Directory,
        b'1' => EntryKind::HardLink {
            target: hard_link_target(&raw_link)?,
        },
        b'2' => EntryKind::Symlink {
            target: symlink_target(raw_link)?,
        },
        b'3' | b'4' | b'6' => return Err("is a device or a fifo"),
        _ => return Err("is of a kind that is not known"),
    };
    let is_directory = matches!(kind, EntryKind::Directory);
    if !is_directory && (path.is_empty() || raw_path.ends_with(b"/") || raw_path.ends_with(b"/.")) {
        return Err("is named like a directory but is none");
    }
    if bytes != 0 && !matches!(kind, EntryKind::File { .. }) {
        return Err("carries data that its kind cannot have");
    }
    Ok(kind)
}

fn hard_link_target(raw: &[u8]) -> Result<Vec<u8>, &'static str> {
    match clean_path(raw) {
        Ok(target) if !target.is_empty() => Ok(target),
        _ => Err("is a hard link that leaves the tree"),
    }
}

fn symlink_target(raw: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if raw.is_empty() || raw.contains(&0) || raw.len() > MAX_PATH_BYTES {
        return Err("is a symlink without a proper target");
    }
    Ok(raw)
}

fn attributes(header: &RawHeader<'_>, pax: Pax) -> Result<Attributes, &'static str> {
    Ok(Attributes {
        mode: header.mode()?,
        uid: pax.uid.map_or_else(|| header.uid(), Ok)?,
        gid: pax.gid.map_or_else(|| header.gid(), Ok)?,
        uname: pax.uname.unwrap_or_else(|| header.uname().to_vec()),
        gname: pax.gname.unwrap_or_else(|| header.gname().to_vec()),
        mtime: pax.mtime.map_or_else(|| header.mtime(), Ok)?,
        xattrs: pax.xattrs,
    })
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

fn fill(stream: &mut impl BufRead) -> Result<&[u8], TarError> {
    loop {
        match stream.fill_buf() {
            // To ask again would read again, and that may be interrupted.
            Ok([]) => return Ok(&[]),
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(TarError::Stream(error)),
        }
    }
    // Asked twice, because the borrow checker will not let the loop's answer out.
    stream.fill_buf().map_err(TarError::Stream)
}

fn read_exact(stream: &mut impl BufRead, out: &mut [u8]) -> Result<(), TarError> {
    stream.read_exact(out).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => cut_off(),
        _ => TarError::Stream(error),
    })
}

fn cut_off() -> TarError {
    TarError::Stream(io::Error::new(
        ErrorKind::UnexpectedEof,
        "the tar stream ends in the middle",
    ))
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader, ErrorKind, Read};

    use super::TarReader;
    use crate::format::tar::end_of_archive;

    /// Ends, and is interrupted by a signal when it is asked again.
    struct Ends<'a>(&'a [u8], bool);

    impl Read for Ends<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            self.1 = self.0.is_empty();
            self.0.read(out)
        }
    }

    #[test]
    fn the_end_is_not_asked_for_twice() {
        let stream = Ends(end_of_archive(), false);
        let mut reader = TarReader::new(BufReader::new(stream));
        assert_eq!(reader.next_entry().expect("a whole archive"), None);
    }
}
