//! The consumer's side of the way back: blocks in order, as one reader.

use std::io::{self, BufRead, Read};

use crossbeam_channel::Receiver;

use super::recycle::Stock;
use super::unseal::{Queued, UnsealError};
use crate::cancel::Cancel;

/// The consumer's end of the queue.
pub(super) struct InOrder {
    queue: Receiver<Queued>,
    stock: Stock,
    current: Vec<u8>,
    at: usize,
    ended: bool,
    pub failure: Option<UnsealError>,
}

impl InOrder {
    pub fn new(queue: Receiver<Queued>, stock: Stock) -> Self {
        Self {
            queue,
            stock,
            current: Vec::new(),
            at: 0,
            ended: false,
            failure: None,
        }
    }

    fn next_block(&mut self) -> Result<Option<Vec<u8>>, UnsealError> {
        match self.queue.recv() {
            Ok(Queued::Member(result)) => {
                Ok(Some(result.recv().map_err(|_| UnsealError::Broken)??))
            }
            Ok(Queued::Piece(piece)) => Ok(Some(piece)),
            Ok(Queued::End) => Ok(None),
            Ok(Queued::Failed(error)) => Err(error),
            Ok(Queued::Begin { .. }) | Err(_) => Err(UnsealError::Broken),
        }
    }
}

impl BufRead for InOrder {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.current.len() && !self.ended {
            match self.next_block() {
                Ok(Some(block)) => {
                    self.at = 0;
                    self.stock
                        .give_back(std::mem::replace(&mut self.current, block));
                }
                Ok(None) => self.ended = true,
                Err(error) => {
                    let told = io::Error::new(io::ErrorKind::InvalidData, error.to_string());
                    // Later reads end at once; the error itself waits for `unseal`.
                    self.ended = true;
                    self.failure = Some(error);
                    return Err(told);
                }
            }
        }
        if self.failure.is_some() {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, len: usize) {
        self.at = (self.at + len).min(self.current.len());
    }
}

impl Read for InOrder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}

fn read_buffered(reader: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    let available = reader.fill_buf()?;
    let len = available.len().min(buffer.len());
    buffer[..len].copy_from_slice(&available[..len]);
    reader.consume(len);
    Ok(len)
}

/// Counts the raw bytes, hands out none behind the `told` length or after a stop, and
/// remembers why the stream failed. A decoder makes gigabytes of one chunk: who stops
/// between chunks alone is not heard.
pub(super) struct Counting<R> {
    inner: R,
    told: Option<u64>,
    cancel: Cancel,
    pub bytes: u64,
    pub failure: Option<UnsealError>,
}

impl<R> Counting<R> {
    pub fn new(inner: R, told: Option<u64>, cancel: Cancel) -> Self {
        Self {
            inner,
            told,
            cancel,
            bytes: 0,
            failure: None,
        }
    }
}

impl<R: BufRead> BufRead for Counting<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let failed = |failure: &mut Option<UnsealError>, why: UnsealError| {
            let told = io::Error::new(io::ErrorKind::InvalidData, why.to_string());
            failure.get_or_insert(why);
            told
        };
        if let Err(cancelled) = self.cancel.check() {
            return Err(failed(&mut self.failure, cancelled.into()));
        }
        match self.inner.fill_buf() {
            Ok(bytes) => match self.told {
                Some(told) if bytes.len() as u64 > told.saturating_sub(self.bytes) => {
                    Err(failed(&mut self.failure, UnsealError::Longer { told }))
                }
                _ => Ok(bytes),
            },
            Err(error) => {
                let why = io::Error::new(error.kind(), error.to_string());
                Err(failed(&mut self.failure, UnsealError::Foreign(why)))
            }
        }
    }

    fn consume(&mut self, len: usize) {
        self.bytes += len as u64;
        self.inner.consume(len);
    }
}

impl<R: BufRead> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_buffered(self, buffer)
    }
}
