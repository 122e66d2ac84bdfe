//! Makes a whole tar of what is left of a damaged one: every entry that is there, files
//! with zeros in place of their lost bytes, and a list of what is wrong with it.
//!
//! Behind a gap the next header is looked for. It may be one of an archive that is a
//! file of the tree: such a find is told as one, and dropped where it turns out by that
//! archive's own end. Refuses what [`TarReader`] refuses.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::ops::Range;

use super::decode::RawHeader;
use super::reader::{DATA_BEHIND_END, SINGLE_ZERO_BLOCK};
use super::{BLOCK_BYTES, Entry, EntryKind, TarError, TarReader, display_path, end_of_archive};
use crate::format::mended::{Gap, Plan, Stretches};

/// What can be made of a damaged tar.
#[derive(Debug, Default)]
pub struct MendedTar {
    pub plan: Plan,
    pub hurt: Vec<HurtFile>,
    pub found_again: Vec<FoundAgain>,
}

/// An entry that is not as it was, or not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HurtFile {
    pub path: Vec<u8>,
    pub hurt: Hurt,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hurt {
    /// These bytes of it are lost, and zeros stand in for them. Of a file with holes,
    /// bytes as they are stored, which leaves the holes out.
    Lost(Vec<Range<u64>>),
    /// A further name of a file that is lost.
    LinkToLost(Vec<u8>),
    /// There is one of that path already.
    Twice,
    /// What stood before its header is lost, and may have told its name and times.
    Headless,
    Refused(String),
}

/// Entries that were found by looking for the next header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAgain {
    pub first: Vec<u8>,
    pub entries: u64,
}

/// Reads `stream` to its end. `raw_bytes`: how long all of it was, where that is known:
/// what a header says of its file's length cannot be more, and zeros are made of it.
pub fn mend(stream: &mut dyn Stretches, raw_bytes: Option<u64>) -> io::Result<MendedTar> {
    let mut mender = Mender {
        raw_bytes,
        ..Mender::default()
    };
    loop {
        if mender.is_lost && !mender.find_header(stream)? {
            match stream.next_stretch()? {
                Some(_) => mender.stretch_at = stream.position(),
                None => break,
            }
            continue;
        }
        match mender.entry(stream)? {
            Step::Goes => {}
            Step::Cut => match stream.next_stretch()? {
                Some(_) => mender.loses_way(stream),
                None => break,
            },
            Step::Ended => break,
        }
    }
    mender.end_chain();
    mender.done.plan.bytes(end_of_archive());
    Ok(mender.done)
}

enum Step {
    Goes,
    /// The stretch ended in a header.
    Cut,
    Ended,
}

#[derive(Default)]
struct Mender {
    done: MendedTar,
    /// What was found since the last search, which may still turn out as nothing.
    chain: Option<(MendedTar, FoundAgain)>,
    is_lost: bool,
    raw_bytes: Option<u64>,
    /// So many were made.
    zeros: u64,
    /// Where the present stretch begins: blocks are counted from there.
    stretch_at: u64,
    hasher: RandomState,
    /// Hashes of the paths that are there, eight bytes each.
    paths: HashSet<u64>,
}

impl Mender {
    fn out(&mut self) -> &mut MendedTar {
        match &mut self.chain {
            Some((chain, _)) => chain,
            None => &mut self.done,
        }
    }

    fn loses_way(&mut self, stream: &dyn Stretches) {
        self.is_lost = true;
        self.stretch_at = stream.position();
    }

    fn end_chain(&mut self) {
        if let Some((chain, found)) = self.chain.take() {
            self.done.plan.append(chain.plan);
            self.done.hurt.extend(chain.hurt);
            if found.entries > 0 {
                self.done.found_again.push(found);
            }
        }
    }

    /// Goes to the next block of the stretch that is a header.
    fn find_header(&mut self, stream: &mut dyn Stretches) -> io::Result<bool> {
        self.end_chain();
        let into_block = (stream.position() - self.stretch_at) % BLOCK_BYTES as u64;
        let mut ahead = (BLOCK_BYTES as u64 - into_block) % BLOCK_BYTES as u64;
        loop {
            let bytes = stream.fill_buf()?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let skipped = bytes
                .len()
                .min(usize::try_from(ahead).unwrap_or(usize::MAX));
            if skipped > 0 {
                stream.consume(skipped);
                ahead -= skipped as u64;
                continue;
            }
            let Some((block, _)) = bytes.split_first_chunk::<BLOCK_BYTES>() else {
                // Blocks come whole out of a stretch, but for its end.
                let rest = bytes.len();
                stream.consume(rest);
                return Ok(false);
            };
            if let Some(typeflag) = header_type(block) {
                let found = FoundAgain {
                    first: Vec::new(),
                    entries: 0,
                };
                let mut chain = MendedTar::default();
                if !matches!(typeflag, b'x' | b'g' | b'L' | b'K') {
                    let path = RawHeader::new(block)
                        .map(|it| it.path())
                        .unwrap_or_default();
                    let hurt = Hurt::Headless;
                    chain.hurt.push(HurtFile { path, hurt });
                }
                self.chain = Some((chain, found));
                self.is_lost = false;
                return Ok(true);
            }
            stream.consume(BLOCK_BYTES);
        }
    }

    fn entry(&mut self, stream: &mut dyn Stretches) -> io::Result<Step> {
        let start = stream.position();
        let mut reader = TarReader::new(&mut *stream);
        match reader.next_entry() {
            Ok(Some(entry)) => {
                let left = reader.left();
                self.take(stream, start, entry, left)?;
                Ok(Step::Goes)
            }
            // Of an archive in the tree, or of the tree.
            Ok(None) => match self.chain {
                Some(_) => Ok(Step::Cut),
                None => Ok(Step::Ended),
            },
            Err(TarError::Stream(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                Ok(Step::Cut)
            }
            Err(TarError::Stream(error)) => Err(error),
            Err(TarError::Refused { entry, why }) => {
                self.refused(entry, why);
                Ok(Step::Goes)
            }
        }
    }

    fn refused(&mut self, entry: String, why: &'static str) {
        self.is_lost = true;
        // More follows an archive's end: then that was a file of the tree.
        if self.chain.is_some() && [SINGLE_ZERO_BLOCK, DATA_BEHIND_END].contains(&why) {
            self.chain = None;
            return;
        }
        let hurt = HurtFile {
            path: Vec::new(),
            hurt: Hurt::Refused(format!("entry {entry}: {why}")),
        };
        self.out().hurt.push(hurt);
    }

    /// An entry, with its data as far as that is there.
    fn take(
        &mut self,
        stream: &mut dyn Stretches,
        start: u64,
        entry: Entry,
        (data, padding): (u64, u64),
    ) -> io::Result<()> {
        let mut plan = Plan::default();
        plan.keep(start..stream.position());
        let (lost, is_too_long) = self.data(stream, &mut plan, data, padding)?;
        let (known, path) = (self.hasher.hash_one(&entry.path), entry.path);
        let mut hurt = None;
        let mut is_made = true;
        match &entry.kind {
            EntryKind::Directory => {}
            _ if is_too_long => {
                let why = "it would be longer than all that was backed up";
                hurt = Some(Hurt::Refused(why.to_owned()));
                is_made = false;
            }
            EntryKind::HardLink { target }
                if !self.paths.contains(&self.hasher.hash_one(target)) =>
            {
                hurt = Some(Hurt::LinkToLost(target.clone()));
                is_made = false;
            }
            _ if !self.paths.insert(known) => {
                hurt = Some(Hurt::Twice);
                is_made = false;
            }
            _ if !lost.is_empty() => hurt = Some(Hurt::Lost(lost)),
            _ => {}
        }
        if let Some((_, found)) = &mut self.chain {
            if found.entries == 0 {
                found.first.clone_from(&path);
            }
            found.entries += 1;
        }
        let out = self.out();
        if is_made {
            out.plan.append(plan);
        }
        out.hurt.extend(hurt.map(|hurt| HurtFile { path, hurt }));
        Ok(())
    }

    /// Keeps the data, with zeros for what is lost of it, and tells which bytes those
    /// are; and whether they are more than there can have been.
    fn data(
        &mut self,
        stream: &mut dyn Stretches,
        plan: &mut Plan,
        data: u64,
        padding: u64,
    ) -> io::Result<(Vec<Range<u64>>, bool)> {
        let mut lost = Vec::new();
        let mut is_too_long = false;
        let all = data + padding;
        let mut at = 0;
        while at < all {
            let here = stream.position();
            let bytes = stream.fill_buf()?.len() as u64;
            if bytes > 0 {
                let step = bytes.min(all - at);
                stream.consume(usize::try_from(step).unwrap_or(usize::MAX));
                plan.keep(here..here + step);
                at += step;
                continue;
            }
            let left = all - at;
            let missing = match stream.next_stretch()? {
                Some(Gap { bytes: Some(bytes) }) if bytes <= left => bytes,
                Some(_) => {
                    self.loses_way(stream);
                    left
                }
                None => left,
            };
            self.stretch_at = stream.position();
            // What was found again in the place of lost bytes can be counted twice.
            self.zeros = self.zeros.saturating_add(missing);
            let fits = |told: u64| all <= told && self.zeros <= told.saturating_mul(2);
            is_too_long |= !self.raw_bytes.is_none_or(fits);
            if !is_too_long {
                plan.zeros(missing);
            }
            let place = at.min(data)..(at + missing).min(data);
            if !place.is_empty() {
                lost.push(place);
            }
            at += missing;
        }
        Ok((lost, is_too_long))
    }
}

/// The kind of entry of a block that is a header of one.
fn header_type(block: &[u8; BLOCK_BYTES]) -> Option<u8> {
    let header = RawHeader::new(block).ok()?;
    let typeflag = header.typeflag();
    let is_known = matches!(
        typeflag,
        0 | b'0' | b'1' | b'2' | b'5' | b'7' | b'x' | b'g' | b'L' | b'K'
    );
    (is_known && block[257..].starts_with(b"ustar")).then_some(typeflag)
}

impl std::fmt::Display for Hurt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(places) => {
                let shown = places
                    .iter()
                    .map(|it| format!("{} to {}", it.start, it.end));
                let shown: Vec<String> = shown.collect();
                write!(
                    f,
                    "damaged: bytes {} are lost, and zeros here",
                    shown.join(", ")
                )
            }
            Self::LinkToLost(target) => write!(
                f,
                "not restored: a further name of {}, which is lost",
                display_path(target)
            ),
            Self::Twice => f.write_str("not restored: found a second time"),
            Self::Headless => f.write_str(
                "doubtful: what stood before its header is lost; its name, times and attributes \
                 may be others",
            ),
            Self::Refused(why) => write!(f, "not restored: {why}"),
        }
    }
}
