//! A damaged archive in custom format. Its table of contents stands first, then a block
//! for each entry with data, in the table's order: a byte for its kind, the entry's
//! number, and pieces with their lengths before them, up to one of no length.
//!
//! Rows are text, and no text has a NUL byte, but every number has: so no row can look
//! like a block, and a block whose lengths are wrong shows that at once.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;

use super::data::{Data, Packing};
use super::walk::{Over, Step, Walk};
use super::{Known, MendArchiveError, MendedArchive, Verdict};
use crate::format::mended::Stretches;
use crate::format::pg_archive::{
    BLOCK_OF_LARGE_OBJECTS, BLOCK_OF_ROWS, Compression, DataKind, Form, INT_BYTES, Toc,
};
use crate::ledger::Ledger;

const HEAD_BYTES: usize = 1 + INT_BYTES;
/// pg_dump's own pieces of compressed data are of 128 KiB at most.
const PACKED_PIECE_BYTES_MAX: i64 = 16 << 20;

/// Reads `stream` to its end. `known`: what the manifest knows of the dump.
pub fn mend_custom(
    stream: &mut dyn Stretches,
    known: Option<&Ledger>,
) -> Result<MendedArchive, MendArchiveError> {
    let start = stream.position();
    let toc = Toc::read(stream, Form::Custom)?;
    let ids = toc.data.iter().enumerate().map(|(at, it)| (it.id, at));
    let mut mender = Mender {
        ids: ids.collect(),
        places: vec![None; toc.data.len()],
        known: Known::new(known),
        walk: Walk::new(stream),
        next: 0,
        is_lost: false,
        is_doubtful: false,
        toc: &toc,
    };
    mender.run()?;
    let places = mender.places;
    let is_kept = |at: usize| places[at].is_some();
    let mut done = MendedArchive {
        plan: toc.plan(start, is_kept),
        is_doubtful: mender.is_doubtful,
        ..MendedArchive::default()
    };
    mender.known.tell_lost(&toc, is_kept, &mut done);
    let kept = places.iter().flatten();
    kept.for_each(|place| done.plan.keep(place.clone()));
    Ok(done)
}

struct Mender<'a> {
    toc: &'a Toc,
    /// Where the entry of a number stands among those with data.
    ids: HashMap<u32, usize>,
    known: Known<'a>,
    walk: Walk<'a>,
    /// The blocks that are whole.
    places: Vec<Option<Range<u64>>>,
    /// No entry before this one can have a block here.
    next: usize,
    /// The way was lost before: this place was found by looking for it.
    is_lost: bool,
    is_doubtful: bool,
}

enum Block {
    /// Of the entry of this place; doubtful or not.
    Whole(usize, bool),
    /// It is none, or not as it was.
    Broken,
}

impl Mender<'_> {
    fn run(&mut self) -> Result<(), MendArchiveError> {
        loop {
            let start = self.walk.position();
            let is_over = match self.block()? {
                Ok(Block::Whole(entry, is_doubtful)) => {
                    self.places[entry] = Some(start..self.walk.position());
                    self.next = entry + 1;
                    self.is_doubtful |= is_doubtful;
                    continue;
                }
                Ok(Block::Broken) => {
                    self.walk.back_to(start + 1);
                    false
                }
                Err(Over) => true,
            };
            self.is_lost = true;
            if is_over && !self.walk.next_stretch()? {
                return Ok(());
            }
            while !self.find_block()? {
                if !self.walk.next_stretch()? {
                    return Ok(());
                }
            }
        }
    }

    /// A whole block, from where the walk stands.
    fn block(&mut self) -> Step<Block> {
        let head = match self.head()? {
            Ok(head) => head,
            Err(over) => return Ok(Err(over)),
        };
        let Some(at) = self.entry_of(head) else {
            return Ok(Ok(Block::Broken));
        };
        let entry = &self.toc.data[at];
        let is_whole = match entry.kind {
            DataKind::LargeObjects => self.large_objects()?,
            _ => self.data(true)?,
        };
        let data = match is_whole {
            Ok(Some(data)) => data,
            Ok(None) => return Ok(Ok(Block::Broken)),
            Err(over) => return Ok(Err(over)),
        };
        Ok(Ok(
            match self.known.judge(entry, &data.end(), self.is_lost) {
                Verdict::Kept => Block::Whole(at, false),
                Verdict::Doubtful => Block::Whole(at, true),
                Verdict::Lost => Block::Broken,
            },
        ))
    }

    fn head(&mut self) -> Step<[u8; HEAD_BYTES]> {
        let mut head = [0; HEAD_BYTES];
        for place in &mut head {
            match self.walk.byte()? {
                Ok(byte) => *place = byte,
                Err(over) => return Ok(Err(over)),
            }
        }
        Ok(Ok(head))
    }

    /// The entry whose block begins so.
    fn entry_of(&self, head: [u8; HEAD_BYTES]) -> Option<usize> {
        let [kind, 0, number @ ..] = head else {
            return None;
        };
        if kind != BLOCK_OF_ROWS && kind != BLOCK_OF_LARGE_OBJECTS {
            return None;
        }
        let at = self.ids.get(&u32::from_le_bytes(number)).copied();
        let at = at.filter(|at| *at >= self.next)?;
        let is_large = self.toc.data[at].kind == DataKind::LargeObjects;
        (is_large == (kind == BLOCK_OF_LARGE_OBJECTS)).then_some(at)
    }

    /// Pieces up to the one of no length; `None`: they are not as pg_dump writes them.
    fn data(&mut self, is_text: bool) -> Step<Option<Data>> {
        let packing = self.packing();
        let mut data = Data::new(packing)?;
        let most = match packing {
            Packing::None => i64::from(i32::MAX),
            _ => PACKED_PIECE_BYTES_MAX,
        };
        loop {
            let length = match self.walk.int()? {
                Ok(length) => length.filter(|length| (0..=most).contains(length)),
                Err(over) => return Ok(Err(over)),
            };
            let mut left = match length.map(usize::try_from) {
                Some(Ok(0)) => return Ok(Ok(Some(data))),
                Some(Ok(length)) => length,
                _ => return Ok(Ok(None)),
            };
            while left > 0 {
                let ahead = self.walk.ahead()?;
                let piece = &ahead[..ahead.len().min(left)];
                let bytes = piece.len();
                if bytes == 0 {
                    return Ok(Err(Over));
                }
                data.feed(piece);
                self.walk.pass(bytes)?;
                left -= bytes;
                if is_text && data.is_no_text() {
                    return Ok(Ok(None));
                }
            }
        }
    }

    /// Each has its number before its pieces; behind the last one stands none.
    fn large_objects(&mut self) -> Step<Option<Data>> {
        loop {
            match self.walk.int()? {
                Ok(Some(0)) => return Ok(Ok(Some(Data::new(Packing::Other)?))),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Ok(None)),
                Err(over) => return Ok(Err(over)),
            }
            let data = match self.data(false)? {
                Ok(data) => data.map(Data::end),
                Err(over) => return Ok(Err(over)),
            };
            if !data.is_some_and(|seen| seen.is_readable()) {
                return Ok(Ok(None));
            }
        }
    }

    fn packing(&self) -> Packing {
        match self.toc.compression {
            Compression::None => Packing::None,
            Compression::Gzip => Packing::Zlib,
            Compression::Zstd => Packing::Zstd,
            Compression::Lz4 => Packing::Other,
        }
    }

    /// To the next place in the stretch at which a block may begin.
    fn find_block(&mut self) -> Result<bool, MendArchiveError> {
        let mut last = [0xff; HEAD_BYTES];
        let mut window = [0; 4096];
        loop {
            let bytes = self.walk.ahead()?.read(&mut window)?;
            if bytes == 0 {
                return Ok(false);
            }
            for (at, byte) in window[..bytes].iter().enumerate() {
                last.rotate_left(1);
                last[HEAD_BYTES - 1] = *byte;
                if last[1] == 0 && self.entry_of(last).is_some() {
                    self.walk.pass(at + 1)?;
                    let start = self.walk.position() - HEAD_BYTES as u64;
                    self.walk.back_to(start);
                    return Ok(true);
                }
            }
            self.walk.pass(bytes)?;
        }
    }
}
