//! The raw stream of a damaged archive: what is left of it, in order, and how much is
//! missing in between.
//!
//! What is lost with a damaged byte is the block of raw bytes that was compressed
//! together, 1 MiB: each is a member of its own, found again by its front, and checked
//! by its own checksum. A stream that somebody else compressed is one member: of that
//! everything behind the damage is lost.
//!
//! Invariant: no byte comes out that its checksum, or the tag of its chunk, does not
//! stand for; only where there is neither (not encrypted and not compressed) it is as it
//! lies there. Nor do more come than the manifest tells: there it ends, as a restore does.

use std::io::{self, Read};

use memchr::memmem::Finder;

use super::codec::{self, Decoder};
use super::opened::Opening;
use super::unseal::UnsealError;
use crate::cancel::Cancel;
use crate::format::manifest::{Codec, MemberIndex};
use crate::format::{gzip, zstd_frame};

mod window;

use window::{Inner, PIECE_BYTES, Window};

/// What is known of the archive beforehand.
#[derive(Clone, Default)]
pub struct Known {
    /// `None`: as the stream's first bytes show.
    pub codec: Option<Codec>,
    pub index: Option<MemberIndex>,
    pub raw_bytes: Option<u64>,
    /// What an earlier reading found the gaps to be, in order.
    pub gaps: Vec<Option<u64>>,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Bytes(Vec<u8>),
    /// So many raw bytes are missing here; `None` where that is not known.
    Gap(Option<u64>),
}

/// Reads on past what is damaged.
pub struct PastDamage<R: Read> {
    content: Window<R>,
    known: Known,
    cancel: Cancel,
    state: State,
    /// Where the next member begins in the content.
    at: u64,
    /// Where it begins in the raw stream, if that is known.
    raw_at: Option<u64>,
    open_gap: Option<Option<u64>>,
    /// The good bytes that wait for the gap before them.
    waiting: Option<Vec<u8>>,
    gaps: Gaps,
    /// Good bytes that were handed on. They are pieces of the raw stream that do not
    /// overlap, whatever is thought of the gaps between them.
    given: u64,
    is_beyond: bool,
}

enum State {
    Begin,
    Members(Decoder, Codec),
    /// Not compressed.
    Bare,
    Ended,
}

/// The gaps so far, and what may still tell of the last one how large it was.
#[derive(Default)]
struct Gaps {
    sizes: Vec<Option<u64>>,
    /// Where the last one of an unknown size began, and the raw bytes since.
    unknown: Option<(u64, u64)>,
}

impl<R: Read> PastDamage<R> {
    /// Of Kanbu's files only whole ones have an `opening`.
    pub fn new(
        stored: R,
        opening: Opening,
        known: Known,
        cancel: Cancel,
    ) -> Result<Self, UnsealError> {
        Ok(Self {
            content: Window::new(Inner::new(stored, opening)?),
            known,
            cancel,
            state: State::Begin,
            at: 0,
            raw_at: Some(0),
            open_gap: None,
            waiting: None,
            gaps: Gaps::default(),
            given: 0,
            is_beyond: false,
        })
    }

    /// How large the gaps were that came; of some of them that shows only later on.
    pub fn gaps(&self) -> &[Option<u64>] {
        &self.gaps.sizes
    }

    /// Whether there is more than the manifest tells, none of which came.
    pub fn is_beyond(&self) -> bool {
        self.is_beyond
    }

    /// `None` at the end.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, UnsealError> {
        loop {
            self.cancel.check()?;
            if let Some(bytes) = self.waiting.take() {
                return Ok(Some(Piece::Bytes(bytes)));
            }
            let found = match &self.state {
                State::Begin => {
                    self.begin()?;
                    continue;
                }
                State::Members(..) => self.next_member()?,
                State::Bare => self.next_bare()?,
                State::Ended => return Ok(None),
            };
            match found {
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => return Ok(Some(self.give(bytes))),
                None => return Ok(self.end()),
            }
        }
    }

    fn begin(&mut self) -> Result<(), UnsealError> {
        self.content.fill_to(zstd_frame::PREFIX_BYTES as u64)?;
        let front = self.content.bytes(0..zstd_frame::PREFIX_BYTES as u64);
        let codec = self.known.codec.unwrap_or_else(|| codec::sniff(front));
        let is_there = !self.content.is_lost(&(0..front.len() as u64));
        let is_foreign = is_there && matches!(codec::member_len(codec, front), Ok(None));
        self.state = match Decoder::new(codec)? {
            Some(_) if is_foreign => {
                return Err(UnsealError::Foreign(io::Error::other(
                    "it was not compressed by kluis: nothing behind a damage can be found again",
                )));
            }
            Some(decoder) => State::Members(decoder, codec),
            None => State::Bare,
        };
        Ok(())
    }

    /// The next good bytes; `None` at the end. What is between is added to the gap.
    fn next_bare(&mut self) -> Result<Option<Vec<u8>>, UnsealError> {
        let from = self.at;
        self.content.fill_to(from + PIECE_BYTES as u64)?;
        let end = self.content.end();
        if from >= end {
            return Ok(None);
        }
        let hole = self.content.holes.iter().find(|hole| hole.end > from);
        let (good, lost) = match hole {
            Some(hole) if hole.start <= from => (from..from, hole.end - from),
            Some(hole) => (from..hole.start, 0),
            None => (from..end, 0),
        };
        if lost > 0 {
            self.lose(Some(lost));
        }
        let bytes = self.content.bytes(good.clone()).to_vec();
        self.at = good.end + lost;
        self.content.let_go(self.at);
        Ok(Some(bytes))
    }

    fn next_member(&mut self) -> Result<Option<Vec<u8>>, UnsealError> {
        let State::Members(decoder, codec) = &mut self.state else {
            return Ok(None);
        };
        let codec = *codec;
        let front = codec::prefix_len(codec) as u64;
        self.content.fill_to(self.at + front)?;
        if self.at >= self.content.end() {
            return Ok(None);
        }
        let member = member_at(&self.content, codec, self.at);
        if let Some((len, raw_bytes)) = member {
            self.content.fill_to(self.at + len)?;
            let place = self.at..self.at + len;
            let mut raw = Vec::new();
            if self.content.end() >= place.end
                && !self.content.is_lost(&place)
                && decoder
                    .decode(self.content.bytes(place.clone()), &mut raw)
                    .is_ok()
            {
                self.at = place.end;
                self.content.let_go(self.at);
                return Ok(Some(raw));
            }
            // Its length is to be believed where a tag stands for it, or another one follows.
            self.content.fill_to(place.end + front)?;
            let is_sure = self.content.is_sealed() || self.content.end() == place.end;
            if is_sure || member_at(&self.content, codec, place.end).is_some() {
                self.lose(Some(raw_bytes));
                self.at = place.end;
                self.content.let_go(self.at);
                return Ok(Some(Vec::new()));
            }
        }
        self.lose(None);
        self.at = self.find_member(codec, self.at + 1)?;
        Ok(Some(Vec::new()))
    }

    /// Where the next member's front stands at `from` or behind it; the end where there
    /// is none.
    fn find_member(&mut self, codec: Codec, from: u64) -> Result<u64, UnsealError> {
        let mark = match codec {
            Codec::Gzip => gzip::MEMBER_START,
            _ => zstd_frame::FRAME_START,
        };
        let finder = Finder::new(mark);
        let mut from = from;
        loop {
            self.cancel.check()?;
            self.content.let_go(from);
            let more = self.content.fill_to(from + 4 * PIECE_BYTES as u64)?;
            let end = self.content.end();
            if let Some(found) = finder.find(self.content.bytes(from..end)) {
                from += found as u64;
                let front = codec::prefix_len(codec) as u64;
                self.content.fill_to(from + front)?;
                if member_at(&self.content, codec, from).is_some() {
                    return Ok(from);
                }
                from += 1;
                continue;
            }
            if !more {
                return Ok(end);
            }
            from = end.saturating_sub(mark.len() as u64).max(from);
        }
    }

    fn lose(&mut self, raw_bytes: Option<u64>) {
        let gap = self.open_gap.get_or_insert(Some(0));
        *gap = gap.zip(raw_bytes).map(|(so_far, more)| so_far + more);
    }

    /// Hands on good bytes, the gap before them first.
    fn give(&mut self, mut bytes: Vec<u8>) -> Piece {
        if let Some(told) = self.known.raw_bytes {
            let left = usize::try_from(told - self.given.min(told)).unwrap_or(usize::MAX);
            if bytes.len() > left {
                bytes.truncate(left);
                self.is_beyond = true;
                self.state = State::Ended;
            }
        }
        let len = bytes.len() as u64;
        self.given += len;
        let gap = self.open_gap.take().map(|size| self.close_gap(size, false));
        self.gaps.unknown = self.gaps.unknown.map(|(at, since)| (at, since + len));
        self.raw_at = self.raw_at.map(|at| at + len);
        self.resolve();
        match gap {
            Some(gap) => {
                self.waiting = Some(bytes);
                gap
            }
            None => Piece::Bytes(bytes),
        }
    }

    fn end(&mut self) -> Option<Piece> {
        self.state = State::Ended;
        let is_short = match (self.known.raw_bytes, self.raw_at) {
            (Some(all), Some(at)) => at < all,
            _ => !self.content.is_whole(),
        };
        if self.open_gap.is_none() && !is_short {
            self.resolve_by_end();
            return None;
        }
        let size = self.open_gap.take().unwrap_or(None);
        Some(self.close_gap(size, true))
    }

    /// Writes the gap down, with what is known of its size by now.
    fn close_gap(&mut self, size: Option<u64>, at_end: bool) -> Piece {
        let told = self
            .known
            .gaps
            .get(self.gaps.sizes.len())
            .copied()
            .flatten();
        let to_end = || {
            self.known
                .raw_bytes
                .zip(self.raw_at)
                .map(|(all, at)| all.saturating_sub(at))
        };
        let size = match at_end {
            true => to_end().or(size),
            false => size.or(told),
        };
        self.gaps.sizes.push(size);
        self.gaps.unknown = match (size, self.raw_at) {
            (None, Some(at)) if !at_end => Some((at, 0)),
            _ => None,
        };
        self.raw_at = self.raw_at.zip(size).map(|(at, size)| at + size);
        Piece::Gap(size)
    }

    /// Where the manifest lists the member that is next, its place in the raw stream
    /// tells how large the last gap was.
    fn resolve(&mut self) {
        let Some((begun, since)) = self.gaps.unknown else {
            return;
        };
        let Some(index) = &self.known.index else {
            return;
        };
        if let Ok(listed) = index.offsets.binary_search(&self.at) {
            let raw_at = listed as u64 * index.every * index.block_bytes;
            self.settle(raw_at, begun, since);
        }
    }

    fn resolve_by_end(&mut self) {
        if let (Some((begun, since)), Some(all)) = (self.gaps.unknown, self.known.raw_bytes) {
            self.settle(all, begun, since);
        }
    }

    fn settle(&mut self, raw_at: u64, begun: u64, since: u64) {
        self.gaps.unknown = None;
        let size = raw_at.checked_sub(begun + since);
        if let (Some(last), Some(size)) = (self.gaps.sizes.last_mut(), size) {
            *last = Some(size);
            self.raw_at = Some(raw_at);
        }
    }
}

/// The length of the member that begins at `at`, and of what is in it, as its front
/// says.
fn member_at<R: Read>(content: &Window<R>, codec: Codec, at: u64) -> Option<(u64, u64)> {
    let place = at..at + codec::prefix_len(codec) as u64;
    if content.is_lost(&place) {
        return None;
    }
    codec::member_sizes(codec, content.bytes(place))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::keyring::{KeyMaterial, Keyring};
    use crate::format::manifest::Kind;
    use crate::pipeline::{
        ArchiveMeta, BLOCK_LEN, Envelope, Sealing, Stretched, new_archive, seal,
    };

    const HEADS: usize = 8192;

    struct Archive {
        raw: Vec<u8>,
        stored: Vec<u8>,
        codec: Codec,
        known: Known,
        payload_key: Option<crate::format::keys::SecretKey>,
    }

    /// Text that shrinks to about a third, each block of it another.
    fn text(bytes: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let mut state = 7_u64;
        while text.len() < bytes {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            text.extend_from_slice(format!("{} {:x}\n", text.len(), state).as_bytes());
        }
        text.truncate(bytes);
        text
    }

    fn archive(codec: Codec, sealed: bool, knows: bool) -> Archive {
        let raw = text(3 * BLOCK_LEN + 12_345);
        let key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let ring = Keyring::of(KeyMaterial::parse(key).unwrap());
        let meta = ArchiveMeta {
            kind: Kind::Db,
            name: "shop".to_owned(),
            created: "2026-01-18T10:30:00Z".parse().unwrap(),
            codec,
        };
        let (envelope, payload_key) = match sealed {
            false => (Envelope::None, None),
            true => {
                let new = new_archive(&ring, &meta, &[7; 16]).unwrap();
                let opened = crate::format::header::open(new.head(), &ring).unwrap();
                (Envelope::Kluis1(Box::new(new)), Some(opened.keys.payload))
            }
        };
        let sealing = Sealing {
            codec,
            level: 1,
            workers: 2,
            envelope,
            cancel: Cancel::default(),
        };
        let mut stored = Vec::new();
        let receipt = seal(&mut &raw[..], &mut stored, sealing, &|_| {}).unwrap();
        let known = Known {
            codec: Some(codec),
            index: receipt.index.filter(|_| knows),
            raw_bytes: knows.then_some(receipt.raw_bytes),
            gaps: Vec::new(),
        };
        Archive {
            raw,
            stored,
            codec,
            known,
            payload_key,
        }
    }

    impl Archive {
        fn read(&self, stored: &[u8], known: Known) -> (Vec<Piece>, Vec<Option<u64>>) {
            let (opening, from) = match &self.payload_key {
                None => (Opening::Plain, 0),
                Some(key) => {
                    let payload_key = crate::format::keys::SecretKey::from_bytes(*key.expose());
                    (Opening::Kluis1 { payload_key }, HEADS)
                }
            };
            let stored = &stored[from..];
            let mut reader = PastDamage::new(stored, opening, known, Cancel::default()).unwrap();
            let mut pieces = Vec::new();
            while let Some(piece) = reader.next_piece().unwrap() {
                pieces.push(piece);
            }
            let gaps = reader.gaps().to_vec();
            (pieces, gaps)
        }

        /// All that came stands where it was; tells how much came. The second reading
        /// knows what the first one found.
        fn checked(&self, stored: &[u8]) -> usize {
            let (_, gaps) = self.read(stored, self.known.clone());
            let known = Known {
                gaps: gaps.clone(),
                ..self.known.clone()
            };
            let (pieces, again) = self.read(stored, known);
            assert_eq!(gaps, again);
            let mut at = Some(0);
            let mut came = 0;
            for piece in pieces {
                match piece {
                    Piece::Bytes(bytes) => {
                        came += bytes.len();
                        match at {
                            Some(from) => {
                                assert!(self.raw[from..].starts_with(&bytes), "at {from}");
                                at = Some(from + bytes.len());
                            }
                            None => assert!(
                                memchr::memmem::find(&self.raw, &bytes).is_some(),
                                "not of it"
                            ),
                        }
                    }
                    Piece::Gap(gap) => at = at.zip(gap).map(|(at, gap)| at + gap as usize),
                }
            }
            came
        }
    }

    #[test]
    fn a_whole_archive_has_no_gap() {
        for codec in [Codec::Gzip, Codec::Zstd, Codec::None] {
            for (sealed, knows) in [(false, true), (true, false), (true, true)] {
                let archive = archive(codec, sealed, knows);
                let (pieces, gaps) = archive.read(&archive.stored, archive.known.clone());
                assert_eq!(gaps, []);
                let bytes = pieces.into_iter().map(|piece| match piece {
                    Piece::Bytes(bytes) => bytes,
                    Piece::Gap(_) => panic!("a gap"),
                });
                assert!(bytes.collect::<Vec<_>>().concat() == archive.raw);
            }
        }
    }

    #[test]
    fn a_damage_costs_its_own_blocks_and_no_more() {
        for codec in [Codec::Gzip, Codec::Zstd] {
            for (sealed, knows) in [(false, true), (true, false), (true, true)] {
                let archive = archive(codec, sealed, knows);
                let first = if sealed { HEADS } else { 0 };
                for part in 0..4 {
                    let at = first + (archive.stored.len() - first - 1) * part / 3;
                    let mut stored = archive.stored.clone();
                    stored[at] ^= 0x55;
                    let came = archive.checked(&stored);
                    // A chunk may have the end of one block and the front of the next.
                    assert!(came >= archive.raw.len() - 2 * BLOCK_LEN, "{at}: {came}");
                    assert!(came < archive.raw.len() || !sealed, "{at}");
                }
            }
        }
    }

    #[test]
    fn uncompressed_chunks_are_lost_one_by_one() {
        let archive = archive(Codec::None, true, true);
        let mut stored = archive.stored.clone();
        stored[HEADS + 2_000_000] ^= 1;
        assert_eq!(archive.codec, Codec::None);
        assert_eq!(archive.checked(&stored), archive.raw.len() - (1 << 16));
    }

    #[test]
    fn what_goes_on_beyond_what_the_manifest_tells_ends_there() {
        for (codec, sealed) in [
            (Codec::Gzip, false),
            (Codec::Zstd, false),
            (Codec::None, false),
            (Codec::Gzip, true),
        ] {
            let archive = archive(codec, sealed, true);
            for told in [0, 1, BLOCK_LEN, archive.raw.len() - 1] {
                let known = Known {
                    raw_bytes: Some(told as u64),
                    ..archive.known.clone()
                };
                let payload_key = archive.payload_key.as_ref();
                let payload_key = payload_key.map(|key| *key.expose());
                let (opening, from) = match payload_key {
                    None => (Opening::Plain, 0),
                    Some(key) => {
                        let payload_key = crate::format::keys::SecretKey::from_bytes(key);
                        (Opening::Kluis1 { payload_key }, HEADS)
                    }
                };
                let stored = &archive.stored[from..];
                let reader = PastDamage::new(stored, opening, known, Cancel::default());
                let mut reader = reader.unwrap();
                let mut came = Vec::new();
                while let Some(piece) = reader.next_piece().unwrap() {
                    match piece {
                        Piece::Bytes(bytes) => came.extend(bytes),
                        Piece::Gap(gap) => panic!("{codec:?}: {gap:?}"),
                    }
                }
                assert!(came == archive.raw[..told], "{codec:?}, {told}");
                assert!(reader.is_beyond(), "{codec:?}, {told}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn whatever_is_damaged_nothing_comes_that_was_not_there(
            places in proptest::collection::vec((0.0..1.0_f64, 1..200_000_usize), 1..6),
            cut in proptest::option::of(0.0..1.0_f64),
            kind in 0..6_usize,
        ) {
            let archive = archive([Codec::Gzip, Codec::Zstd][kind % 2], kind >= 2, kind >= 4);
            let mut stored = archive.stored.clone();
            let first = if kind >= 2 { HEADS } else { 0 };
            let place = |part: f64| first + ((stored.len() - first) as f64 * part) as usize;
            let places: Vec<_> = places.iter().map(|(part, len)| (place(*part), *len)).collect();
            let cut = cut.map(place);
            for (at, len) in places {
                let end = (at + len).min(stored.len());
                stored[at..end].fill(0xa5);
            }
            stored.truncate(cut.unwrap_or(usize::MAX));
            archive.checked(&stored);
        }
    }

    #[test]
    fn a_stretch_ends_at_a_gap() {
        use crate::format::mended::Stretches;
        let archive = archive(Codec::Gzip, false, true);
        let mut stored = archive.stored.clone();
        let at = stored.len() / 2;
        stored[at] ^= 1;
        let known = archive.known.clone();
        let pieces = PastDamage::new(&stored[..], Opening::Plain, known, Cancel::default());
        let mut stretched = Stretched::new(pieces.unwrap());
        let mut before = Vec::new();
        stretched.read_to_end(&mut before).unwrap();
        let gap = stretched.next_stretch().unwrap().unwrap();
        assert_eq!(gap.bytes, Some(BLOCK_LEN as u64));
        let mut behind = Vec::new();
        stretched.read_to_end(&mut behind).unwrap();
        assert_eq!(stretched.next_stretch().unwrap(), None);
        assert!(archive.raw.starts_with(&before) && archive.raw.ends_with(&behind));
        assert_eq!(before.len() + BLOCK_LEN + behind.len(), archive.raw.len());
    }
}
