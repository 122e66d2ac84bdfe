//! What every reader of foreign bytes must hold, for whatever bytes.
//!
//! Each target takes the bytes that a fuzzer made up and panics where a property
//! does not hold. `tests/fuzz` runs them with a fuzzer, `tests/fuzz_corpus.rs`
//! with the inputs that were kept: in `fuzz/corpus`, where they reach a place
//! that no other reaches, and in `fuzz/crashes`, where they once found a fault.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, BufReader, Read, Write};

use aes_gcm::aead::consts::U16;
use aes_gcm::aead::{Aead, AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, AesGcm, Nonce};
use hmac::{Hmac, Mac};
use kluis::dump::{Choice, Contents, ContentsReader, Name, Pattern};
use kluis::format::frames::{CHUNK_LEN, FrameOpener, FrameSealer, TAG_LEN};
use kluis::format::header::{ArchiveKeys, CopyName, HEADER_LEN, HeaderError, open, peek};
use kluis::format::keyring::{KeyMaterial, Keyring};
use kluis::format::keys::SecretKey;
use kluis::format::legacy::{self, LegacyWriter};
use kluis::format::manifest::Codec;
use kluis::format::manifest_file::{ManifestFile, SealedBy};
use kluis::format::names::{self, ArchiveFormat, ArchiveName};
use kluis::format::tar::{self, BLOCK_BYTES, EntryKind, TarReader};
use kluis::ledger::{Attribute, DumpReader, Global, Globals, GlobalsReader, Ledger, LedgerError};
use sha2::Sha256;

#[path = "archive.rs"]
mod archive;
#[path = "psql.rs"]
mod psql;

use archive::archive;

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("header", header),
    ("frames", frames),
    ("legacy", legacy),
    ("manifest", manifest),
    ("names", names),
    ("dump", dump),
    ("endless", endless),
    ("globals", globals),
    ("restoration", restoration),
    ("tar", tar),
    ("archive", archive),
];

/// Takes decisions off the front of an input; at its end all are zero.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self, bytes: usize) -> usize {
        let taken = self.take(bytes).iter();
        taken.fold(0, |number, byte| number << 8 | usize::from(*byte))
    }

    fn byte(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// Of three bytes, below `end`; 0 where that is 0.
    fn below(&mut self, end: usize) -> usize {
        self.number(3).checked_rem(end).unwrap_or(0)
    }

    /// 1 to 4 sizes from 1 byte to 64 KiB, to be used in turn.
    fn sizes(&mut self) -> Vec<usize> {
        let count = 1 + self.below(4);
        (0..count).map(|_| 1 + self.number(2)).collect()
    }

    /// Up to `limit` bytes, fewer where the sizes are small: thousands of pieces
    /// tell no more than hundreds.
    fn plain(&mut self, limit: usize, sizes: &[usize]) -> Vec<u8> {
        let smallest = sizes.iter().min().copied().unwrap_or(1);
        let bytes = self.below(limit + 1).min(500 * smallest);
        (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
    }
}

/// Gives and takes as many bytes a time as its sizes say, and is interrupted in
/// between.
struct Uneven<T> {
    inner: T,
    sizes: Vec<usize>,
    turn: usize,
}

impl<T> Uneven<T> {
    fn new(inner: T, sizes: &[usize]) -> Self {
        Self {
            inner,
            sizes: sizes.to_vec(),
            turn: 0,
        }
    }

    fn next_size(&mut self) -> usize {
        self.turn += 1;
        self.sizes[self.turn % self.sizes.len()]
    }
}

impl<R: Read> Read for Uneven<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let size = self.next_size().min(out.len());
        if self.turn % 5 == 4 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.inner.read(&mut out[..size])
    }
}

/// `bytes` in pieces of these sizes, in turn.
fn pieces<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*size).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

/// Counts each thread's memory, so that a reader that keeps what it reads is
/// found.
struct Counting;

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends has no counters any more, and measures nothing.
    let _ = LIVE_BYTES.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK_BYTES.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: all is the system's allocator's; the counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes as isize - layout.size() as isize);
        unsafe { System.realloc(at, layout, bytes) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What `work` gives, and the most memory that it held at once.
fn peak_bytes<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE_BYTES.get();
    PEAK_BYTES.set(before);
    let result = work();
    (result, (PEAK_BYTES.get() - before).unsigned_abs())
}

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes([byte; 32])
}

fn sample(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
}

/// Changes bytes somehow, as a broken disk or an attacker would, who may have
/// older archives of the same key but not the key.
fn damage(bytes: &mut Vec<u8>, unit_bytes: usize, choices: &mut Choices<'_>) {
    let action = choices.byte() % 7;
    let at = choices.below(bytes.len());
    let unit = at / unit_bytes * unit_bytes;
    let unit_end = (unit + unit_bytes).min(bytes.len());
    match action {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << choices.below(8),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(unit..unit_end)),
        3 => {
            let doubled = bytes[unit..unit_end].to_vec();
            let place = choices.below(bytes.len() + 1) / unit_bytes * unit_bytes;
            bytes.splice(place..place, doubled);
        }
        4 => bytes.extend_from_slice(choices.take(at % 40)),
        5 => {
            let new = choices.take(1 + at % 40);
            let end = (at + new.len()).min(bytes.len());
            bytes.splice(at..end, new.iter().copied());
        }
        _ => {
            let mid = unit_end;
            let end = (mid + unit_bytes).min(bytes.len());
            bytes[unit..end].rotate_left(mid - unit);
        }
    }
}

// Header -------------------------------------------------------------------

/// What opens is, re-encoded, the same bytes; and what opens no longer does, or
/// says which copy is damaged, after any bit of it is turned.
///
/// The input is both copies up to their padding. Who makes it up is allowed to
/// know the data key: the HMAC is put right, else nothing behind it was tried.
fn header(input: &[u8]) {
    let mut choices = Choices(input);
    let flags = choices.byte();
    let keys = ArchiveKeys::derive(key(9), &[3; 16], &[4; 32], b"");
    let a_bytes = choices.below(HEADER_LEN - 31);
    let mut head = copy(choices.take(a_bytes), flags & 1 == 0, &keys.header);
    if flags & 2 == 0 {
        let mut same = head[..HEADER_LEN - 32].to_vec();
        same[11] ^= 1;
        same[15] ^= flags >> 4;
        head.extend(copy(&same, true, &keys.header));
    } else {
        head.extend(copy(choices.0, flags & 4 == 0, &keys.header));
    }
    if flags & 8 != 0 {
        head.truncate(choices.below(head.len()));
        assert!(opens(&head).is_err(), "of {} bytes", head.len());
        return;
    }
    let Ok(damaged) = opens(&head) else { return };
    // Any place will do; that it follows from the input makes it come again.
    let sum = input.iter().fold(7_usize, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    let at = sum % head.len();
    head[at] ^= 1 << (sum >> 16 & 7);
    let of = match at {
        at if at < HEADER_LEN => CopyName::A,
        _ => CopyName::B,
    };
    match opens(&head) {
        Ok(found) => assert_eq!(found, Some(of), "a bit of byte {at} was turned"),
        Err(_) => assert!(damaged.is_some_and(|name| name != of), "one copy is whole"),
    }
}

fn copy(content: &[u8], is_sealed: bool, header_key: &SecretKey) -> Vec<u8> {
    let mut bytes = content[..content.len().min(HEADER_LEN - 32)].to_vec();
    bytes.resize(HEADER_LEN - 32, 0);
    let mut mac = Hmac::<Sha256>::new_from_slice(header_key.expose()).expect("any length");
    mac.update(&bytes);
    match is_sealed {
        true => bytes.extend_from_slice(&mac.finalize().into_bytes()),
        false => bytes.resize(HEADER_LEN, 0),
    }
    bytes
}

/// The damaged copy, where one opens; and that what opens is what was read.
fn opens(head: &[u8]) -> Result<Option<CopyName>, HeaderError> {
    let ring = Keyring::of(KeyMaterial::Raw(key(1)));
    if let Ok(header) = peek(head) {
        header
            .slots
            .iter()
            .for_each(|slot| drop(slot.name().to_string()));
    }
    let opened = open(head, &ring)?;
    if let Ok(renewed) = opened.with_slots(opened.header.slots.clone()) {
        let again = open(&renewed.concat(), &ring)?;
        assert_eq!(again.header.generation, opened.header.generation + 1);
        assert!(again.damaged_copy.is_none() && !again.is_between);
    }
    let damaged = opened.damaged_copy.as_ref().map(|(name, _)| *name);
    assert_eq!(opened.keys.data.expose(), key(9).expose());
    let mut taken = 0;
    for (name, bytes) in [CopyName::A, CopyName::B]
        .into_iter()
        .zip(head.chunks(HEADER_LEN))
    {
        let generation = u32::from_be_bytes(bytes[12..16].try_into().expect("4 bytes"));
        if damaged == Some(name) {
            continue;
        }
        assert!(generation <= opened.header.generation, "copy {name}");
        if generation == opened.header.generation {
            let encoded = opened.header.encode(name, &opened.keys.header);
            assert!(encoded.expect("it was read") == bytes, "copy {name}");
            taken += 1;
        }
    }
    assert!(taken > 0, "no copy is what was opened");
    Ok(damaged)
}

// Frames -------------------------------------------------------------------

const SEALED_LEN: usize = CHUNK_LEN + TAG_LEN;

/// What was sealed in whatever pieces comes back; damaged, it ends in an error
/// after whole chunks of the truth. And chunks that the key sealed, but in an
/// order or of lengths that no writer makes, are refused.
fn frames(input: &[u8]) {
    let mut choices = Choices(input);
    if choices.byte() % 4 == 0 {
        return crafted_frames(&mut choices);
    }
    let sizes = choices.sizes();
    let plain = choices.plain(3 * CHUNK_LEN + 1, &sizes);
    let mut sealer = FrameSealer::new(Vec::new(), key(7));
    for piece in pieces(&plain, &sizes) {
        sealer.write_all(piece).expect("memory takes all");
    }
    let sealed = sealer.finish().expect("memory takes all");
    let chunks = plain.len().div_ceil(CHUNK_LEN).max(1);
    assert_eq!(sealed.len(), plain.len() + chunks * TAG_LEN);
    expect_frames(&sealed, &sizes, &plain, true);
    let mut damaged = sealed.clone();
    while !choices.0.is_empty() {
        damage(&mut damaged, SEALED_LEN, &mut choices);
    }
    if damaged != sealed {
        expect_frames(&damaged, &sizes, &plain, false);
    }
}

/// Opens `sealed`: whole chunks of `plain`, then the end, or an error that stays.
fn expect_frames(sealed: &[u8], sizes: &[usize], plain: &[u8], is_whole: bool) {
    let mut opener = FrameOpener::new(Uneven::new(sealed, sizes), &key(7));
    let mut rest = plain;
    let error = loop {
        match opener.next_chunk() {
            Ok([]) => break None,
            Ok(chunk) => {
                let whole = CHUNK_LEN.min(rest.len());
                assert!(chunk == &rest[..whole], "a chunk that was never sealed");
                rest = &rest[whole..];
            }
            Err(error) => break Some(error),
        }
    };
    assert_eq!(error.is_none(), is_whole, "{error:?}");
    assert_eq!(opener.is_done(), is_whole);
    assert_eq!(opener.next_chunk().is_ok(), is_whole, "it is asked again");
    assert!(rest.is_empty() || !is_whole, "{} bytes missing", rest.len());
}

fn crafted_frames(choices: &mut Choices<'_>) {
    let cipher = Aes256Gcm::new(key(7).expose().into());
    let count = 1 + choices.below(4);
    let (mut sealed, mut plain) = (Vec::new(), Vec::new());
    let mut is_whole = true;
    for place in 0..count {
        let shape = choices.byte();
        let length = match shape & 3 {
            0 | 1 => CHUNK_LEN,
            2 => 0,
            _ => choices.below(CHUNK_LEN + 1),
        };
        let is_last = (shape & 4 != 0) != (place + 1 == count);
        let counter = place as u32 + u32::from(shape >> 3 & 1);
        let mut nonce = [0; 12];
        nonce[7..11].copy_from_slice(&counter.to_be_bytes());
        nonce[11] = is_last.into();
        let mut chunk = sample(length);
        let tag = cipher
            .encrypt_inout_detached(&nonce.into(), &[], chunk.as_mut_slice().into())
            .expect("a short chunk");
        sealed.extend([chunk.as_slice(), &tag].concat());
        plain.extend(sample(length));
        let ends = place + 1 == count;
        is_whole &= is_last == ends && counter == place as u32;
        is_whole &= length == CHUNK_LEN || (ends && (length > 0 || count == 1));
    }
    expect_frames(&sealed, &[CHUNK_LEN], &plain, is_whole);
}

// Legacy -------------------------------------------------------------------

/// What was written in whatever pieces is what AES-GCM gives for the whole, and
/// comes back; damaged, before or between the two passes, it ends in an error.
fn legacy(input: &[u8]) {
    let mut choices = Choices(input);
    let sizes = choices.sizes();
    let plain = choices.plain(2 * CHUNK_LEN + 40, &sizes);
    let iv: [u8; 16] = std::array::from_fn(|_| choices.byte());
    let mut writer = LegacyWriter::new(Vec::new(), &key(5), iv).expect("memory takes all");
    for piece in pieces(&plain, &sizes) {
        writer.write_all(piece).expect("memory takes all");
    }
    let sealed = writer.finish().expect("memory takes all");
    let reference = AesGcm::<aes::Aes256, U16>::new(key(5).expose().into());
    let expected = reference.encrypt(&Nonce::<U16>::from(iv), plain.as_slice());
    assert!(sealed[..16] == iv && sealed[16..] == expected.expect("a short text"));
    assert_eq!(legacy_plain(&sealed, &sealed, &sizes), Some(plain));
    let mut damaged = sealed.clone();
    while !choices.0.is_empty() {
        damage(&mut damaged, 4096, &mut choices);
    }
    if damaged != sealed {
        let first = legacy::authenticate(damaged.as_slice(), &key(5));
        assert!(first.is_err(), "damaged before the first pass");
        assert_eq!(legacy_plain(&sealed, &damaged, &sizes), None);
    }
}

/// What `second` decrypts to after `first` was authenticated, if it ends well.
fn legacy_plain(first: &[u8], second: &[u8], sizes: &[usize]) -> Option<Vec<u8>> {
    let authenticated = legacy::authenticate(Uneven::new(first, sizes), &key(5));
    let authenticated = authenticated.unwrap_or_else(|error| panic!("{error}"));
    let expected_bytes = authenticated.plaintext_bytes();
    let mut reader = authenticated.decrypt(Uneven::new(second, sizes)).ok()?;
    let mut plain = Vec::new();
    if reader.read_to_end(&mut plain).is_err() {
        let again = reader.read(&mut [0; 64]);
        assert!(!matches!(again, Ok(0)), "an end after an error");
        return None;
    }
    assert_eq!(plain.len() as u64, expected_bytes);
    Some(plain)
}

// Manifest -----------------------------------------------------------------

/// What is read is written and read again the same, and no change of the sealed
/// part goes unseen.
fn manifest(input: &[u8]) {
    let Ok(file) = ManifestFile::parse(input) else {
        return;
    };
    let bytes = file.to_bytes().expect("it was read");
    let again = ManifestFile::parse(&bytes).expect("it was written");
    assert_eq!(again.manifest, file.manifest);
    assert_eq!(again.state, file.state);
    assert!(again.to_bytes().expect("it was read") == bytes);

    let sealed = ManifestFile::seal(file.manifest.clone(), &SealedBy::Archive(&key(6)), None)
        .expect("it was read");
    let bytes = sealed.to_bytes().expect("it was sealed");
    let again = ManifestFile::parse(&bytes).expect("it was sealed");
    again.check_seal(&key(6)).expect("nobody changed it");
    assert!(again.check_seal(&key(7)).is_err(), "under another key");
    assert_eq!(again.manifest, file.manifest);
    let raw = b"{\"manifest\":".len()..memchr_seal(&bytes);
    let mut choices = Choices(&input[input.len().saturating_sub(8)..]);
    let mut changed = bytes[raw.clone()].to_vec();
    damage(&mut changed, 8, &mut choices);
    // Blanks around a value are no part of it.
    if changed.trim_ascii() == &bytes[raw.clone()] {
        return;
    }
    let changed = [&bytes[..raw.start], &changed, &bytes[raw.end..]].concat();
    if let Ok(changed) = ManifestFile::parse(&changed) {
        assert!(changed.check_seal(&key(6)).is_err(), "changed unseen");
    }
}

/// Where the manifest ends and its seal follows; nothing in a manifest can look
/// like that, since quotes in it are escaped.
fn memchr_seal(bytes: &[u8]) -> usize {
    let mark = b",\"seal\":\"";
    let is_mark = |window: &[u8]| window == mark;
    let at = bytes.windows(mark.len()).rposition(is_mark);
    at.expect("a sealed manifest")
}

// Names --------------------------------------------------------------------

/// A name that is read is written and read again the same, and so is a name
/// built of any text; a pattern made of a name finds that name.
fn names(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Some(name) = ArchiveName::parse(text) {
        let key = comes_back(&name);
        let infix = match name.format {
            ArchiveFormat::Tree => "_source_",
            _ => "_backup_",
        };
        let behind_name = |key: &str| key.rsplit_once(infix).map(|(_, rest)| rest.to_owned());
        assert_eq!(behind_name(text), behind_name(&key), "another spelling");
    }
    if let Some(at) = names::parse_utc(text) {
        assert_eq!(names::utc_in_name(at), text);
    }
    if let Some(archive) = names::archive_of_manifest(text) {
        assert_eq!(names::manifest_key(archive), text);
    }
    let _ = text.parse::<Pattern>().map(|pattern| {
        assert_eq!(pattern.to_string(), text);
        pattern.finds(&name_of(text))
    });
    let mut characters = text.chars();
    let shape = characters.next().map_or(0, u32::from);
    comes_back(&ArchiveName {
        name: characters.as_str().to_owned(),
        created: jiff::Timestamp::from_second(i64::from(shape) * 65_537).expect("before 9999"),
        format: match shape & 3 {
            0 => ArchiveFormat::Plain,
            1 => ArchiveFormat::Custom,
            2 => ArchiveFormat::Directory,
            _ => ArchiveFormat::Tree,
        },
        codec: match shape >> 2 & 3 {
            0 => Codec::Gzip,
            1 => Codec::Zstd,
            _ => Codec::None,
        },
        encrypted: shape & 16 != 0,
        copy: 1 + (shape >> 5),
    });
    let name = name_of(characters.as_str());
    if !name.name.is_empty() {
        let pattern: Pattern = name.to_string().parse().expect("a name is a pattern");
        assert!(pattern.finds(&name), "{pattern} does not find {name:?}");
        let mut other = name.clone();
        other.name.push('x');
        assert!(!pattern.finds(&other), "{pattern} finds {other:?}");
    }
}

/// `schema|name`.
fn name_of(text: &str) -> Name {
    let (schema, name) = text.split_once('|').unwrap_or(("", text));
    Name {
        schema: schema.to_owned(),
        name: name.to_owned(),
    }
}

fn comes_back(name: &ArchiveName) -> String {
    let key = name.to_key();
    assert!(names::manifest_key(&key).len() <= 255, "{key} is too long");
    assert!(!key.starts_with(['.', '-']) && !key.contains(['/', '\0', '\n']));
    let again = ArchiveName::parse(&key).unwrap_or_else(|| panic!("{key} is not read"));
    // One that was shortened has a hash in place of its end.
    let name_is_whole = !key.contains("%~");
    assert!(!name_is_whole || again == *name, "{again:?} from {key}");
    key
}

// Dumps --------------------------------------------------------------------

const DUMP_HEADER: &[u8] = b"--\n-- PostgreSQL database dump\n--\n\n";
const DUMP_TRAILER: &[u8] = b"\n--\n-- PostgreSQL database dump complete\n--\n\n";
/// Of the ledger's reader, beyond what grows with tables and sequences: a
/// statement, a line and an `INSERT`'s beginning of 1 MiB each, and twice that
/// while they grow or are parsed.
const DUMP_READER_BYTES: usize = 5 << 20;
/// Per byte of a dump: what makes most of a few bytes is a row of tables with
/// names of one letter.
const LEDGER_BYTES_PER_BYTE: usize = 32;
const CONTENTS_BYTES_PER_BYTE: usize = 256;

/// However the dump is cut while it is read, the ledger is the same, in memory
/// that its length bounds; the contents tell the same ledger, and any choice
/// can be made among them.
fn dump(input: &[u8]) {
    let mut choices = Choices(input);
    let flags = choices.byte();
    let sizes = [1 + usize::from(choices.byte()), 1 + usize::from(flags >> 2)];
    let body = choices.0;
    let text = match flags & 3 {
        0 => body.to_vec(),
        _ => [DUMP_HEADER, body, DUMP_TRAILER].concat(),
    };
    let (whole, held_bytes) = peak_bytes(|| read_dump(&[&text]));
    let bound = 4096 + LEDGER_BYTES_PER_BYTE * text.len();
    assert!(held_bytes <= bound, "{held_bytes} of {} bytes", text.len());
    assert_eq!(read_dump(&pieces(&text, &sizes)), whole, "by {sizes:?}");
    assert_eq!(read_dump(&pieces(&text, &[1])), whole, "bytewise");

    let (contents, held_bytes) = peak_bytes(|| read_contents(&[&text]));
    let bound = 4096 + CONTENTS_BYTES_PER_BYTE * text.len();
    assert!(held_bytes <= bound, "{held_bytes} of {} bytes", text.len());
    assert_eq!(read_contents(&pieces(&text, &sizes)), contents);
    assert_eq!(
        contents.as_ref().map(|contents| &contents.ledger),
        whole.as_ref()
    );
    if let Ok(contents) = &contents {
        assert_eq!(contents.raw_bytes(), text.len() as u64);
        let objects: u64 = contents.ledger.objects.values().sum();
        assert_eq!(contents.entries.len() as u64, objects);
        choose(contents);
    }
    if let Ok(ledger) = &whole {
        assert_eq!(ledger.differences(ledger), []);
        let json = serde_json::to_string(ledger).expect("a ledger is JSON");
        let again: Ledger = serde_json::from_str(&json).expect("a ledger's JSON");
        // In which order the columns came is of this dump's text alone.
        let kept = Ledger {
            columns: again.columns.clone(),
            ..ledger.clone()
        };
        assert_eq!(again, kept);
    }
}

fn read_dump(slices: &[&[u8]]) -> Result<Ledger, LedgerError> {
    let mut reader = DumpReader::new();
    slices.iter().for_each(|slice| reader.feed(slice));
    reader.finish()
}

fn read_contents(slices: &[&[u8]]) -> Result<Contents, LedgerError> {
    let mut reader = ContentsReader::new();
    slices.iter().for_each(|slice| reader.feed(slice));
    reader.finish()
}

fn choose(contents: &Contents) {
    let all: Pattern = "*".parse().expect("a pattern");
    let by_schema = Choice::resolve(contents, &[], std::slice::from_ref(&all));
    let by_table = Choice::resolve(contents, std::slice::from_ref(&all), &[]);
    for choice in [by_schema, by_table].into_iter().flatten() {
        assert!(choice.relations.len() <= contents.entries.len());
        let _ = choice.warnings();
        let _ = choice.differences(&contents.ledger);
    }
    for entry in contents.entries.iter().filter(|entry| entry.is_relation()) {
        let name = Name {
            schema: entry.schema.clone(),
            name: entry.name.clone(),
        };
        // A title may have an empty name.
        if let Ok(pattern) = name.to_string().parse::<Pattern>() {
            let _ = Choice::resolve(contents, &[pattern], &[]);
        }
    }
}

/// The same text over and over has no more tables than the text, so its length
/// must not show in the memory.
fn endless(input: &[u8]) {
    const LONG_BYTES: usize = 2 * DUMP_READER_BYTES;
    if input.is_empty() {
        return;
    }
    let block = input.repeat((64 * 1024_usize).div_ceil(input.len()));
    let mut reader = DumpReader::new();
    let ((), held_bytes) = peak_bytes(|| {
        reader.feed(DUMP_HEADER);
        (0..LONG_BYTES / block.len()).for_each(|_| reader.feed(&block));
        let _ = reader.finish();
    });
    let bound = DUMP_READER_BYTES + LEDGER_BYTES_PER_BYTE * 2 * input.len();
    assert!(held_bytes <= bound, "{held_bytes} held");
}

/// As the ledger's reader, for what all databases share.
fn globals(input: &[u8]) {
    let mut choices = Choices(input);
    let flags = choices.byte();
    let header = b"--\n-- PostgreSQL database cluster dump\n--\n\n".as_slice();
    let trailer = b"\n--\n-- PostgreSQL database cluster dump complete\n--\n\n".as_slice();
    let text = match flags & 1 {
        0 => choices.0.to_vec(),
        _ => [header, choices.0, trailer].concat(),
    };
    let whole = read_globals(&[&text]);
    for sizes in [1, 1 + usize::from(flags >> 1)] {
        assert_eq!(read_globals(&pieces(&text, &[sizes])), whole, "by {sizes}");
    }
}

/// Its ledger, and every statement's parts.
type ReadGlobals = (Ledger, Vec<String>);

fn read_globals(slices: &[&[u8]]) -> Result<ReadGlobals, LedgerError> {
    let mut reader = GlobalsReader::default();
    slices.iter().for_each(|slice| reader.feed(slice));
    let globals: Globals = reader.finish()?;
    let statements = globals.statements.iter().map(parts);
    Ok((globals.ledger(), statements.collect()))
}

fn parts(statement: &Global) -> String {
    match statement {
        Global::Role(role) => format!("role {role:?}"),
        Global::Attributes { role, attributes } => {
            let attributes = attributes.iter().map(|attribute| match attribute {
                Attribute::Flag(flag) => (*flag).to_owned(),
                Attribute::ConnectionLimit(limit) => limit.to_string(),
                Attribute::Password(verifier) => {
                    let odd = |c: char| !c.is_ascii_alphanumeric() && !"$:+/=-".contains(c);
                    assert!(!verifier.contains(odd), "{verifier:?}");
                    verifier.clone()
                }
                Attribute::ValidUntil(moment) => moment.clone(),
            });
            format!("{role:?} is {:?}", attributes.collect::<Vec<_>>())
        }
        Global::Setting { role, name, values } => format!("{role:?} sets {name:?} {values:?}"),
        Global::Comment { role, text } => format!("{role:?} is told {text:?}"),
        Global::Membership {
            role,
            member,
            options,
        } => format!("{member:?} in {role:?} {options:?}"),
        Global::Tablespace(name) => format!("tablespace {name:?}"),
        Global::Session => "session".to_owned(),
        Global::OfTablespace => "of a tablespace".to_owned(),
        Global::Other(other) => format!("other {:?}", other.beginning),
    }
}

// Restoration --------------------------------------------------------------

/// Of a planted manifest and its dump nothing gets to a program that was not meant
/// for it: pg_dump gets options of what a dump holds, psql no command and no NUL.
///
/// The manifest ends at the first byte 0xff, the dump begins behind it.
fn restoration(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == 0xff);
    let (manifest, body) = input.split_at(at.unwrap_or(input.len()));
    if let Ok(file) = ManifestFile::parse(manifest) {
        manifest_is_harmless(&file);
    }
    let header = b"--\n-- PostgreSQL database dump\n--\n\n".as_slice();
    let trailer = b"\n--\n-- PostgreSQL database dump complete\n--\n\n".as_slice();
    let dump = [header, body.get(1..).unwrap_or_default(), trailer].concat();
    let mut reader = DumpReader::new();
    reader.feed(&dump);
    // Old string rules can be set in ways that no reader of text can see: there
    // psql's own restriction is the wall.
    let lower = dump.to_ascii_lowercase();
    let is_old = lower
        .windows(27)
        .any(|text| text == b"standard_conforming_strings");
    if reader.finish().is_err() || is_old {
        return;
    }
    assert!(!dump.contains(&0), "a NUL passes");
    for command in psql::commands(&dump) {
        let is_pg_dumps = [&b"\\restrict "[..], b"\\unrestrict ", b"\\connect "]
            .iter()
            .any(|known| command.starts_with(known));
        assert!(is_pg_dumps, "{}", String::from_utf8_lossy(&command));
    }
}

fn manifest_is_harmless(file: &ManifestFile) {
    let manifest = &file.manifest;
    assert!(!manifest.name.contains('\0'));
    assert!(!manifest.stored.file.contains(['/', '\0']));
    let Some(database) = &manifest.database else {
        return;
    };
    let names = database.roles.iter().chain(&database.superusers);
    for name in names
        .chain(&database.tablespaces)
        .chain(database.extensions.keys())
    {
        assert!(!name.is_empty() && !name.contains('\0'), "{name:?}");
    }
    // Where a dump comes from, where it goes, who makes it, what runs meanwhile.
    const ELSEWHERE: [&str; 16] = [
        "file",
        "host",
        "port",
        "dbname",
        "username",
        "role",
        "password",
        "snapshot",
        "lock",
        "jobs",
        "filter",
        "format",
        "include-foreign-data",
        "superuser",
        "sync",
        "help",
    ];
    for argument in database
        .options
        .iter()
        .filter_map(|option| option.argument())
    {
        let name = argument.strip_prefix("--").expect("a long option");
        assert!(!name.contains('\0'));
        let name = name.split('=').next().expect("one part at least");
        let is_elsewhere = |other: &&str| name.starts_with(*other) || other.starts_with(name);
        assert!(!ELSEWHERE.iter().any(is_elsewhere), "{argument}");
    }
}

// Tar ----------------------------------------------------------------------

/// What a stream holds does not depend on how it is cut; every path is inside;
/// what is read can be written and read again the same.
///
/// Blocks that look like a header get a right checksum, else nothing behind it
/// was tried.
fn tar(input: &[u8]) {
    let mut choices = Choices(input);
    let flags = choices.byte();
    let mut stream = choices.0.to_vec();
    if flags & 1 == 0 {
        stream.resize(stream.len().next_multiple_of(BLOCK_BYTES), 0);
        stream.extend_from_slice(tar::end_of_archive());
    }
    let is_header = |block: &&mut [u8]| block.len() == BLOCK_BYTES && block[257..262] == *b"ustar";
    for block in stream.chunks_mut(BLOCK_BYTES).filter(is_header) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    let (found, held_bytes) = peak_bytes(|| read_tar(&stream, 1 << 16));
    // A header may ask for 1 MiB before it shows that it is not there.
    let bound = (4 << 20) + 64 * stream.len();
    assert!(
        held_bytes <= bound,
        "{held_bytes} of {} bytes",
        stream.len()
    );
    assert_eq!(read_tar(&stream, 1 + usize::from(flags >> 1)), found);
    let (entries, _) = found;
    let mut again = Vec::new();
    for (entry, data) in &entries {
        check_entry(entry);
        if tar::encode(entry, &mut again).is_err() {
            return;
        }
        again.extend_from_slice(data);
        again.extend_from_slice(tar::padding(data.len() as u64));
    }
    again.extend_from_slice(tar::end_of_archive());
    assert_eq!(read_tar(&again, 1 << 16), (entries, None));
}

type ReadTar = (Vec<(tar::Entry, Vec<u8>)>, Option<String>);

/// The entries that came whole, and the error that it ended with.
fn read_tar(stream: &[u8], buffer_bytes: usize) -> ReadTar {
    let stream = Uneven::new(stream, &[buffer_bytes, 1, 700]);
    let mut reader = TarReader::new(BufReader::with_capacity(buffer_bytes, stream));
    let mut entries = Vec::new();
    let error = loop {
        let entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        };
        let mut data = Vec::new();
        let end = loop {
            match reader.data() {
                Ok([]) => break Ok(()),
                Ok(bytes) => {
                    data.extend_from_slice(bytes);
                    let count = bytes.len();
                    reader.consume(count);
                }
                Err(error) => break Err(error.to_string()),
            }
        };
        match end {
            Ok(()) => entries.push((entry, data)),
            Err(error) => break Some(error),
        }
    };
    (entries, error)
}

fn check_entry(entry: &tar::Entry) {
    let is_inside = |path: &[u8]| {
        let parts = path.split(|byte| *byte == b'/');
        let is_part = |part: &[u8]| !matches!(part, b"" | b"." | b"..") && !part.contains(&0);
        parts.into_iter().all(is_part)
    };
    assert!(entry.path.is_empty() || is_inside(&entry.path), "{entry:?}");
    match &entry.kind {
        EntryKind::HardLink { target } => assert!(is_inside(target), "{entry:?}"),
        EntryKind::SparseFile { bytes, segments } => {
            let mut end = 0;
            for segment in segments {
                assert!(segment.offset >= end, "{entry:?}");
                end = segment.offset + segment.bytes;
            }
            assert!(end <= *bytes, "{entry:?}");
        }
        _ => {}
    }
}
