//! A file's data on its way into the stream. Owns the promise that an entry
//! has exactly the bytes its header announced, whatever happens to the file:
//! what is missing becomes zeros, what came later is left out, both are told.

use std::os::fd::OwnedFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::status::Status;
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

/// Where the data lies, if the file has holes worth leaving out. A file system
/// that cannot tell gives `None`: then the file is read whole.
pub(super) fn find_segments(file: &OwnedFd, status: &Status) -> Option<Vec<Segment>> {
    if status.blocks.saturating_mul(512) >= status.bytes {
        return None;
    }
    let mut segments: Vec<Segment> = Vec::new();
    let mut at = 0;
    while at < status.bytes {
        let begin = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(begin) if begin < status.bytes => begin,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(begin)).ok()?;
        push_segment(&mut segments, begin, end.max(begin + 1), status.bytes);
        at = end.max(begin + 1);
        if segments.len() > 2 * MAX_SEGMENTS {
            // Too scattered: holes below the limit are read as zeros.
            segments = merge_nearest(segments);
        }
    }
    while segments.len() > MAX_SEGMENTS {
        segments = merge_nearest(segments);
    }
    let data_bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
    (data_bytes < status.bytes).then_some(segments)
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

/// Halves the number of segments by reading every second hole.
fn merge_nearest(segments: Vec<Segment>) -> Vec<Segment> {
    segments
        .chunks(2)
        .map(|pair| {
            let (first, last) = (pair[0], pair[pair.len() - 1]);
            Segment {
                offset: first.offset,
                bytes: last.offset + last.bytes - first.offset,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Segment, merge_nearest, push_segment};

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
    fn merging_loses_no_data() {
        let scattered: Vec<Segment> = (0..5)
            .map(|at| Segment {
                offset: at * 4096,
                bytes: 512,
            })
            .collect();
        let merged = merge_nearest(scattered);
        let ends: Vec<(u64, u64)> = merged
            .iter()
            .map(|s| (s.offset, s.offset + s.bytes))
            .collect();
        assert_eq!(ends, [(0, 4608), (8192, 12_800), (16_384, 16_896)]);
    }
}
