//! The feeding side of the way back: cuts the opened content into members for
//! the workers, or hands it on in pieces where somebody else wrote it.

use std::io::Read;

use crossbeam_channel::{Sender, bounded};

use super::codec;
use super::digest::Tallying;
use super::opened::Content;
use super::recycle::Stock;
use super::unseal::{Job, PIECE_LEN, Queued, UnsealError, Unsealed};
use crate::cancel::Cancel;
use crate::format::manifest::Codec;

/// Cuts the content into members for the workers, or hands it on in pieces.
pub(super) struct Splitter {
    pub jobs: Sender<Job>,
    pub queue: Sender<Queued>,
    pub stock: Stock,
    pub codec: Option<Codec>,
}

/// The consumer went away; it knows why.
struct Gone;

impl Splitter {
    /// `None` if it did not come to the end.
    pub fn run<R: Read>(
        self,
        mut content: Content<Tallying<R>>,
        cancel: &Cancel,
        progress: &dyn Fn(u64),
    ) -> Option<Unsealed> {
        let mut sent = Split::default();
        let end = loop {
            if let Err(error) = cancel.check() {
                break Err(error.into());
            }
            let before = content.content_bytes();
            match content.next_chunk() {
                Ok([]) => break self.finish(&mut sent),
                Ok(chunk) => match self.take_in(&mut sent, chunk) {
                    Ok(Ok(())) => {}
                    Ok(Err(Gone)) => return None,
                    Err(error) => break Err(error),
                },
                Err(error) => break Err(error),
            }
            progress(content.content_bytes() - before);
        };
        match end {
            Ok(Ok(())) => {}
            Ok(Err(Gone)) => return None,
            Err(error) => {
                let _ = self.queue.send(Queued::Failed(error));
                return None;
            }
        }
        let (stored, content) = content.finish();
        // The caller fills in what shows on its side.
        let unsealed = Unsealed {
            codec: Codec::None,
            raw_bytes: 0,
            content_bytes: content.bytes,
            content_sha256: content.finish(),
            stored_bytes: stored.tally.bytes,
            stored_sha256: stored.tally.finish(),
        };
        self.queue.send(Queued::End).ok().map(|()| unsealed)
    }

    fn take_in(
        &self,
        split: &mut Split,
        mut chunk: &[u8],
    ) -> Result<Result<(), Gone>, UnsealError> {
        while !chunk.is_empty() {
            let wanted = match split.mode {
                Mode::Unknown => codec::prefix_len(self.codec.unwrap_or(Codec::Zstd)).max(1),
                Mode::Members { codec, len } => len.unwrap_or(codec::prefix_len(codec)),
                Mode::Pieces => PIECE_LEN,
            };
            // A member that claims to be shorter than its own front is none.
            let missing = wanted
                .checked_sub(split.held.len())
                .ok_or(UnsealError::CutMember)?;
            let (now, later) = chunk.split_at(missing.min(chunk.len()));
            split.held.extend_from_slice(now);
            chunk = later;
            if split.held.len() == wanted && self.step(split)?.is_err() {
                return Ok(Err(Gone));
            }
        }
        Ok(Ok(()))
    }

    /// `held` has as many bytes as the mode wants: decide on them.
    fn step(&self, split: &mut Split) -> Result<Result<(), Gone>, UnsealError> {
        match split.mode {
            Mode::Unknown => return self.begin(split),
            Mode::Members { codec, len: None } => match codec::member_len(codec, &split.held)? {
                Some(len) => {
                    split.mode = Mode::Members {
                        codec,
                        len: Some(len),
                    }
                }
                // Our own members come all or none.
                None => return Err(UnsealError::CutMember),
            },
            Mode::Members {
                codec,
                len: Some(_),
            } => {
                split.mode = Mode::Members { codec, len: None };
                let member = std::mem::replace(&mut split.held, self.stock.take());
                let (reply, result) = bounded(1);
                return Ok(self
                    .send(Queued::Member(result))
                    .and_then(|()| self.jobs.send(Job { member, reply }).map_err(|_| Gone)));
            }
            Mode::Pieces => {
                let piece = std::mem::replace(&mut split.held, self.stock.take());
                return Ok(self.send(Queued::Piece(piece)));
            }
        }
        Ok(Ok(()))
    }

    /// The first bytes are here: members or pieces?
    fn begin(&self, split: &mut Split) -> Result<Result<(), Gone>, UnsealError> {
        let codec = self.codec.unwrap_or_else(|| codec::sniff(&split.held));
        let len = codec::member_len(codec, &split.held)?;
        let members = len.is_some();
        split.mode = if members {
            Mode::Members { codec, len }
        } else {
            Mode::Pieces
        };
        Ok(self.send(Queued::Begin { codec, members }))
    }

    fn finish(&self, split: &mut Split) -> Result<Result<(), Gone>, UnsealError> {
        if let Mode::Unknown = split.mode
            && self.begin(split)?.is_err()
        {
            return Ok(Err(Gone));
        }
        match split.mode {
            // The front was the whole member: an empty one.
            Mode::Members { len: Some(len), .. } if split.held.len() == len => self.step(split),
            Mode::Members { .. } if !split.held.is_empty() => Err(UnsealError::CutMember),
            Mode::Pieces if !split.held.is_empty() => {
                let piece = std::mem::take(&mut split.held);
                Ok(self.send(Queued::Piece(piece)))
            }
            _ => Ok(Ok(())),
        }
    }

    fn send(&self, message: Queued) -> Result<(), Gone> {
        self.queue.send(message).map_err(|_| Gone)
    }
}

#[derive(Default)]
struct Split {
    mode: Mode,
    held: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
enum Mode {
    #[default]
    Unknown,
    /// `len` of the member whose front is held, once that is known.
    Members {
        codec: Codec,
        len: Option<usize>,
    },
    Pieces,
}
