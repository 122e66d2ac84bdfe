//! A damaged archive in directory format, whose tar was made whole before: of each file
//! is known there whether bytes of it are lost. Each entry with data has a file of its
//! own; large objects have one each, and a list of them.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Range;

use super::data::{Data, Packing, Seen};
use super::{Known, MendArchiveError, MendedArchive, Verdict};
use crate::format::mended::Stretches;
use crate::format::pg_archive::{
    CONTENTS_FILE, DataEntry, DataKind, Form, ONE_LIST, Toc, is_file_name, listed_file,
};
use crate::format::tar::{
    Attributes, Entry, EntryKind, Hurt, MendedTar, TarError, TarReader, encode, end_of_archive,
};
use crate::ledger::Ledger;

const CONTENTS: &[u8] = CONTENTS_FILE.as_bytes();
/// Of all lists of large objects.
const LISTS_BYTES_MAX: usize = 64 << 20;
/// What pg_dump adds to the name of a file that it compresses.
const PACKINGS: [(&[u8], Packing); 3] = [
    (b".gz", Packing::Gzip),
    (b".zst", Packing::Zstd),
    (b".lz4", Packing::Other),
];

/// Reads `stream`, the whole tar that the plan of `tar` makes, to its end. `known`: what
/// the manifest knows of the dump.
pub fn mend_directory(
    stream: &mut dyn Stretches,
    tar: &MendedTar,
    known: Option<&Ledger>,
) -> Result<MendedArchive, MendArchiveError> {
    let mut files = Files::new(tar);
    while files.next(stream)? {}
    let known = Known::new(known);
    let toc = files.toc.take().ok_or_else(|| no_contents("it is lost"))?;
    let mut done = MendedArchive {
        is_doubtful: files.is_found && !files.has_sure_contents,
        ..MendedArchive::default()
    };
    let mut kept = HashSet::from([files.toc_at]);
    let mut empty = Vec::new();
    let mut is_kept = Vec::new();
    for entry in &toc.data {
        let (file, verdict) = match entry.kind {
            DataKind::LargeObjects => files.large_objects(&toc, entry, &mut kept, &mut empty),
            _ => files.rows(entry, &known),
        };
        done.is_doubtful |= matches!(verdict, Verdict::Doubtful);
        is_kept.push(!matches!(verdict, Verdict::Lost));
        kept.extend(file);
    }
    done.lost_large_objects = !empty.is_empty();
    known.tell_lost(&toc, |at| is_kept[at], &mut done);
    for (at, file) in files
        .all
        .iter()
        .enumerate()
        .filter(|it| kept.contains(&it.0))
    {
        if at != files.toc_at {
            done.plan.keep(file.place.clone());
            continue;
        }
        done.plan.keep(file.place.start..file.data.start);
        done.plan
            .append(toc.plan(file.data.start, |at| is_kept[at]));
        done.plan.keep(toc.end..file.place.end);
    }
    for name in empty {
        let mut header = Vec::new();
        encode(&empty_file(name), &mut header).map_err(io::Error::other)?;
        done.plan.bytes(&header);
    }
    done.plan.bytes(end_of_archive());
    Ok(done)
}

fn no_contents(why: &str) -> MendArchiveError {
    MendArchiveError::NoContents(why.to_owned())
}

fn empty_file(name: Vec<u8>) -> Entry {
    Entry {
        path: name,
        kind: EntryKind::File { bytes: 0 },
        attributes: Attributes {
            mode: 0o600,
            ..Attributes::default()
        },
    }
}

/// A file of the tar.
struct File {
    /// With its header and padding.
    place: Range<u64>,
    data: Range<u64>,
    /// `None`: bytes of it are lost.
    seen: Option<Seen>,
    /// Of a list of large objects.
    list: Vec<u8>,
}

struct Files<'a> {
    hurt: HashSet<&'a [u8]>,
    /// Behind a gap files were found by looking for them.
    is_found: bool,
    all: Vec<File>,
    /// By their names, without what compression adds.
    places: HashMap<Vec<u8>, usize>,
    toc: Option<Toc>,
    toc_at: usize,
    has_sure_contents: bool,
    /// How much may still be kept of lists.
    room: usize,
}

impl<'a> Files<'a> {
    fn new(tar: &'a MendedTar) -> Self {
        let lost = tar
            .hurt
            .iter()
            .filter(|it| matches!(it.hurt, Hurt::Lost(_)));
        let first_found = tar.found_again.first().map(|found| &*found.first);
        Self {
            hurt: lost.map(|it| &*it.path).collect(),
            is_found: first_found.is_some(),
            all: Vec::new(),
            places: HashMap::new(),
            toc: None,
            toc_at: 0,
            // Where nothing comes before it, nothing can pass for it.
            has_sure_contents: first_found != Some(CONTENTS),
            room: LISTS_BYTES_MAX,
        }
    }

    /// Reads a file; `false` at the tar's end.
    fn next(&mut self, stream: &mut dyn Stretches) -> Result<bool, MendArchiveError> {
        let start = stream.position();
        let mut reader = TarReader::new(&mut *stream);
        let Some(entry) = reader.next_entry().map_err(broke)? else {
            return Ok(false);
        };
        let (data, padding) = reader.left();
        let data = stream.position()..stream.position() + data;
        let is_file = matches!(entry.kind, EntryKind::File { .. });
        let is_hurt = self.hurt.contains(&*entry.path);
        let mut list = Vec::new();
        let seen = match &*entry.path {
            CONTENTS if is_file && self.toc.is_none() => {
                self.contents(stream, &data, is_hurt)?;
                None
            }
            name => {
                let is_list = name.starts_with(b"blobs") && name.ends_with(b".toc");
                let (_, packing) = base(name);
                let seen = self.file(stream, &data, packing, is_list.then_some(&mut list))?;
                (is_file && !is_hurt).then_some(seen)
            }
        };
        skip_to(stream, data.end + padding)?;
        let (name, _) = base(&entry.path);
        self.places.entry(name.to_vec()).or_insert(self.all.len());
        self.all.push(File {
            place: start..data.end + padding,
            data,
            seen,
            list,
        });
        Ok(true)
    }

    fn contents(
        &mut self,
        stream: &mut dyn Stretches,
        data: &Range<u64>,
        is_hurt: bool,
    ) -> Result<(), MendArchiveError> {
        if is_hurt {
            return Err(no_contents("a part of it is lost"));
        }
        let toc = Toc::read(stream, Form::Directory)?;
        if toc.end > data.end {
            return Err(no_contents("its file ends before it does"));
        }
        self.toc_at = self.all.len();
        self.has_sure_contents &= self.all.is_empty();
        self.toc = Some(toc);
        Ok(())
    }

    fn file(
        &mut self,
        stream: &mut dyn Stretches,
        data: &Range<u64>,
        packing: Packing,
        mut list: Option<&mut Vec<u8>>,
    ) -> Result<Seen, MendArchiveError> {
        let mut seen = Data::new(packing)?;
        while stream.position() < data.end {
            let left = usize::try_from(data.end - stream.position()).unwrap_or(usize::MAX);
            let piece = stream.fill_buf()?;
            let piece = &piece[..piece.len().min(left)];
            if piece.is_empty() {
                return Err(MendArchiveError::Stream(
                    io::ErrorKind::UnexpectedEof.into(),
                ));
            }
            seen.feed(piece);
            if let Some(list) = &mut list {
                let room = self.room.checked_sub(piece.len());
                self.room = room.ok_or_else(|| no_contents("its lists are too long"))?;
                list.extend_from_slice(piece);
            }
            let bytes = piece.len();
            stream.consume(bytes);
        }
        Ok(seen.end())
    }

    /// The file with an entry's rows, and what is to be made of it.
    fn rows(&self, entry: &DataEntry, known: &Known<'_>) -> (Option<usize>, Verdict) {
        let at = self.places.get(&entry.file).copied();
        let seen = at.and_then(|at| self.all[at].seen.as_ref());
        let verdict = seen.map_or(Verdict::Lost, |seen| {
            known.judge(entry, seen, self.is_found)
        });
        let is_kept = !matches!(verdict, Verdict::Lost);
        (at.filter(|_| is_kept), verdict)
    }

    /// The list of an entry's large objects, with the files of those that are whole;
    /// `empty` gets the others.
    fn large_objects(
        &self,
        toc: &Toc,
        entry: &DataEntry,
        kept: &mut HashSet<usize>,
        empty: &mut Vec<Vec<u8>>,
    ) -> (Option<usize>, Verdict) {
        let name = match toc.has_one_list {
            true => ONE_LIST.as_bytes(),
            false => &entry.file,
        };
        let at = self.places.get(name).copied();
        let list = at.map(|at| &self.all[at]).filter(|it| it.seen.is_some());
        let names = list.and_then(|list| listed(&list.list));
        let Some(names) = names else {
            return (None, Verdict::Lost);
        };
        for name in names {
            let at = self.places.get(name).copied();
            let is_whole = |at: &usize| {
                let seen = self.all[*at].seen.as_ref();
                seen.is_some_and(Seen::is_readable)
            };
            match at.filter(is_whole) {
                Some(at) => drop(kept.insert(at)),
                None => empty.push(name.to_vec()),
            }
        }
        (at, Verdict::Kept)
    }
}

/// The files that a list names: `OID FILE` in each line. `None`: it is no such list.
fn listed(list: &[u8]) -> Option<Vec<&[u8]>> {
    let lines = list.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let name = listed_file(line)?;
            (name.starts_with(b"blob_") && is_file_name(name)).then_some(name)
        })
        .collect()
}

/// A file's name without what compression adds, and what that was.
fn base(name: &[u8]) -> (&[u8], Packing) {
    let packed = PACKINGS.iter();
    let mut packed = packed.filter_map(|(end, packing)| Some((name.strip_suffix(*end)?, *packing)));
    packed.next().unwrap_or((name, Packing::None))
}

fn skip_to(stream: &mut dyn Stretches, place: u64) -> io::Result<()> {
    while stream.position() < place {
        let left = usize::try_from(place - stream.position()).unwrap_or(usize::MAX);
        let bytes = stream.fill_buf()?.len().min(left);
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        stream.consume(bytes);
    }
    Ok(())
}

fn broke(error: TarError) -> MendArchiveError {
    MendArchiveError::Stream(match error {
        TarError::Stream(error) => error,
        refused => io::Error::other(refused.to_string()),
    })
}
