//! A file's data on its way into the stream. Owns the promise that an entry
//! has exactly the bytes its header announced, whatever happens to the file:
//! what is missing becomes zeros, what came later is left out, both are told.

use std::fmt;
use std::os::fd::OwnedFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::status::Status;
use crate::format::hollow::is_hollow;
use crate::format::tar::{BLOCK_BYTES, MAX_SEGMENTS, Segment};

/// Of a file that says of no size, as those of procfs, at most so much is read: it is
/// held in memory until its header, which has the size, is written.
const UNANNOUNCED_BYTES_MAX: usize = 16 << 20;

pub(super) struct FileContent {
    file: OwnedFd,
    /// All of a file that said it was empty.
    unannounced: Vec<u8>,
    before: Status,
    /// In reverse order.
    segments: Vec<Segment>,
    emitted_bytes: u64,
    problem: Option<ContentProblem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentProblem {
    Changed,
    Unreadable(Errno),
}

impl FileContent {
    pub fn new(file: OwnedFd, before: Status, mut segments: Vec<Segment>) -> Self {
        segments.reverse();
        Self {
            file,
            unannounced: Vec::new(),
            before,
            segments,
            emitted_bytes: 0,
            problem: None,
        }
    }

    /// Of a file that said it was empty, and is not.
    pub fn unannounced(file: OwnedFd, before: Status, content: Vec<u8>) -> Self {
        let bytes = content.len() as u64;
        Self {
            unannounced: content,
            ..Self::new(file, before, vec![Segment { offset: 0, bytes }])
        }
    }

    /// Puts the next bytes straight into `out`, which is not empty; 0 at the end.
    pub fn fill(&mut self, out: &mut [u8]) -> usize {
        let Some(segment) = self.segments.last_mut() else {
            return 0;
        };
        let wanted = usize::try_from(segment.bytes)
            .unwrap_or(usize::MAX)
            .min(out.len());
        let out = &mut out[..wanted];
        // After a failure nothing more can be believed of the file.
        let read = match self.problem {
            Some(_) => Ok(0),
            None if !self.unannounced.is_empty() => {
                // One segment, from its start to its end.
                let from = usize::try_from(segment.offset).unwrap_or(usize::MAX);
                out.copy_from_slice(&self.unannounced[from..from + wanted]);
                Ok(wanted)
            }
            None => rustix::io::retry_on_intr(|| {
                rustix::io::pread(&self.file, &mut *out, segment.offset)
            }),
        };
        let filled = match read {
            Ok(0) => {
                self.problem = self.problem.or(Some(ContentProblem::Changed));
                out.fill(0);
                wanted
            }
            Ok(bytes) => bytes,
            Err(errno) => {
                self.problem = Some(ContentProblem::Unreadable(errno));
                out.fill(0);
                wanted
            }
        };
        segment.offset += filled as u64;
        segment.bytes -= filled as u64;
        self.emitted_bytes += filled as u64;
        if segment.bytes == 0 {
            self.segments.pop();
        }
        filled
    }

    /// The bytes that were emitted, and what went wrong with them.
    pub fn finish(self) -> (u64, Option<ContentProblem>) {
        let problem = self.problem.or_else(|| match Status::of(&self.file) {
            // Where the kernel makes up the content, it makes up the times too.
            Ok(after) if !self.unannounced.is_empty() && after.bytes == 0 => None,
            Ok(after) if !after.changed_since(&self.before) => None,
            Ok(_) => Some(ContentProblem::Changed),
            Err(errno) => Some(ContentProblem::Unreadable(errno)),
        });
        (self.emitted_bytes, problem)
    }
}

/// All that a file holds that says it is empty; most are.
pub(super) fn read_unannounced(file: &OwnedFd) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let mut piece = [0; 8192];
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(file, &mut piece)) {
            Ok(0) => return Ok(content),
            Ok(bytes) => content.extend_from_slice(&piece[..bytes]),
            Err(errno) => return Err(errno.to_string()),
        }
        if content.len() > UNANNOUNCED_BYTES_MAX {
            return Err(format!(
                "it says that it is empty, and has more than {} MiB",
                UNANNOUNCED_BYTES_MAX >> 20
            ));
        }
    }
}

/// Segments that are held while they are collected.
const SEGMENTS_HELD: usize = 4 * MAX_SEGMENTS;
/// A file whose holes its file system does not tell is read from this size on only if
/// its blocks show that it is no hole: below, compression may have made them few.
const UNTOLD_BYTES_MAX: u64 = 1 << 40;

/// Of a file that is not read: days of zeros.
#[derive(Debug)]
pub(super) struct TooHollow {
    /// What would be read.
    bytes: u64,
    data_bytes: u64,
}

impl fmt::Display for TooHollow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, data_bytes } = self;
        write!(
            f,
            "it has {data_bytes} bytes of data, and more holes than an archive can tell: {bytes} \
             bytes of it would be read"
        )
    }
}

/// A file without holes.
pub(super) fn whole(bytes: u64) -> Vec<Segment> {
    let segment = Segment { offset: 0, bytes };
    (bytes > 0).then_some(segment).into_iter().collect()
}

/// Where the data lies, if the file has holes worth leaving out; `None`: it is read
/// whole, also where its file system does not tell of holes.
///
/// What an archive's map cannot tell is read as zeros: the smallest holes. Who scatters
/// blocks over terabytes gets no more of that than [`is_hollow`] allows.
pub(super) fn find_segments(
    file: &OwnedFd,
    status: &Status,
) -> Result<Option<Vec<Segment>>, TooHollow> {
    let occupied_bytes = status.blocks.saturating_mul(512);
    if occupied_bytes >= status.bytes {
        return Ok(None);
    }
    let told = tell_segments(file, status.bytes);
    let Some((segments, data_bytes)) = told.filter(|(_, data)| *data < status.bytes) else {
        let is_long = status.bytes >= UNTOLD_BYTES_MAX;
        return match is_long && is_hollow(status.bytes, occupied_bytes) {
            true => Err(TooHollow {
                bytes: status.bytes,
                data_bytes: occupied_bytes,
            }),
            false => Ok(None),
        };
    };
    let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    match is_hollow(bytes, data_bytes) {
        true => Err(TooHollow { bytes, data_bytes }),
        false => Ok((bytes < status.bytes).then_some(segments)),
    }
}

/// At most as many segments as an archive's map has, and the bytes that they would be
/// with all holes told. `None` of a file system that cannot tell.
fn tell_segments(file: &OwnedFd, file_bytes: u64) -> Option<(Vec<Segment>, u64)> {
    let mut segments: Vec<Segment> = Vec::new();
    let (mut at, mut data_bytes) = (0, 0);
    while at < file_bytes {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(begin) if begin < file_bytes => begin,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(begin)).ok()?;
        let end = end.max(begin + 1);
        push_segment(&mut segments, begin, end, file_bytes);
        data_bytes += end.min(file_bytes) - begin;
        at = end;
        if segments.len() > SEGMENTS_HELD {
            segments = join_nearest(segments, SEGMENTS_HELD / 2);
        }
    }
    Some((join_nearest(segments, MAX_SEGMENTS), data_bytes))
}

/// Adds data from `begin` to `end`, widened to whole blocks but for the file's
/// end, joined with the segment before it where they meet.
fn push_segment(segments: &mut Vec<Segment>, begin: u64, end: u64, file_bytes: u64) {
    let block = BLOCK_BYTES as u64;
    let begin = begin - begin % block;
    let end = end.next_multiple_of(block).min(file_bytes);
    match segments.last_mut() {
        Some(last) if last.offset + last.bytes >= begin => last.bytes = end - last.offset,
        _ => segments.push(Segment {
            offset: begin,
            bytes: end - begin,
        }),
    }
}

/// At most `wanted` segments: the smallest holes between them are read.
fn join_nearest(segments: Vec<Segment>, wanted: usize) -> Vec<Segment> {
    let Some(last) = segments.len().checked_sub(wanted.max(1) + 1) else {
        return segments;
    };
    let hole = |at: usize| {
        let before = segments[at - 1];
        // The same file is to give the same bytes: of equal ones the first.
        (segments[at].offset - before.offset - before.bytes, at)
    };
    let mut holes: Vec<(u64, usize)> = (1..segments.len()).map(hole).collect();
    let largest_read = *holes.select_nth_unstable(last).1;
    let mut joined: Vec<Segment> = Vec::with_capacity(wanted);
    for (at, segment) in segments.iter().enumerate() {
        match joined.last_mut() {
            Some(before) if hole(at) <= largest_read => {
                before.bytes = segment.offset + segment.bytes - before.offset;
            }
            _ => joined.push(*segment),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::{Segment, join_nearest, push_segment};

    #[test]
    fn segments_are_whole_blocks_but_for_the_files_end() {
        let mut segments = Vec::new();
        push_segment(&mut segments, 1000, 1500, 10_000);
        push_segment(&mut segments, 1530, 1600, 10_000);
        push_segment(&mut segments, 9999, 10_000, 10_000);
        let expected = [(512, 1536), (9728, 272)].map(|(offset, bytes)| Segment { offset, bytes });
        assert_eq!(segments, expected);
    }

    #[test]
    fn the_smallest_holes_are_read_and_no_data_is_lost() {
        let offsets = [0, 4096, 1 << 40, (1 << 40) + 2048, 1 << 41];
        let scattered = offsets.map(|offset| Segment { offset, bytes: 512 });
        let ends = |wanted| -> Vec<(u64, u64)> {
            let joined = join_nearest(scattered.to_vec(), wanted);
            joined
                .iter()
                .map(|s| (s.offset, s.offset + s.bytes))
                .collect()
        };
        let high = (1 << 40, (1 << 40) + 2560);
        let last = (1 << 41, (1 << 41) + 512);
        assert_eq!(ends(4), [(0, 512), (4096, 4608), high, last]);
        assert_eq!(ends(3), [(0, 4608), high, last]);
        assert_eq!(ends(1), [(0, last.1)]);
        for enough in [5, 100] {
            assert_eq!(join_nearest(scattered.to_vec(), enough), scattered);
        }
    }
}
