//! Storage to target. One thread reads, hashes and decrypts; N workers
//! decompress; the calling thread consumes in order.
//!
//! Invariant: [`unseal`] returns `Ok` only after the archive's last byte was
//! read, its last frame seen and every checksum on the way was right, however
//! early the consumer stopped reading.

use std::io::{self, BufRead, BufReader, Read};
use std::thread::{self, ScopedJoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::codec::{CodecError, Decoder};
use super::digest::Tallying;
use super::in_order::{Counting, InOrder};
use super::opened::{Content, Opening};
use super::recycle::Stock;
use super::split::Splitter;
use crate::cancel::{Cancel, Cancelled};
use crate::checked::Sha256Hex;
use crate::format::frames::FrameError;
use crate::format::legacy::LegacyError;
use crate::format::manifest::Codec;
use crate::format::witness::Changed;

/// Chunks of a stream without members are handed on in pieces of this size.
pub(super) const PIECE_LEN: usize = 256 * 1024;

pub struct Unsealing {
    pub opening: Opening,
    /// `None`: as the stream's first bytes show.
    pub codec: Option<Codec>,
    pub workers: usize,
    /// Whether to hash what passes; without a manifest nothing compares it.
    pub digests: bool,
    /// The raw stream's length by the manifest: the first byte behind it ends the reading.
    /// Where nothing tells it, a stop alone ends a reading that has no end: gzip makes at
    /// most 1,032 bytes of one that is stored, zstd more than ten times that.
    pub told_bytes: Option<u64>,
    pub cancel: Cancel,
}

/// What went through, to be compared with the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsealed {
    /// As it was asked for, or as the stream's first bytes show.
    pub codec: Codec,
    pub raw_bytes: u64,
    pub content_bytes: u64,
    /// `None` if it was not asked for.
    pub content_sha256: Option<Sha256Hex>,
    /// Of the stored bytes that were read: all, or those behind a KLUIS1 header.
    pub stored_bytes: u64,
    pub stored_sha256: Option<Sha256Hex>,
}

#[derive(Debug, thiserror::Error)]
pub enum UnsealError {
    #[error("reading the archive failed: {0}")]
    Storage(#[source] io::Error),
    #[error("the archive is damaged: {0}")]
    Frames(#[from] FrameError),
    #[error("the archive is damaged: {0}")]
    Legacy(#[from] LegacyError),
    #[error(transparent)]
    Changed(#[from] Changed),
    #[error("the archive's content is damaged: {0}")]
    Codec(#[from] CodecError),
    #[error("the archive's content is damaged: {0}")]
    Foreign(#[source] io::Error),
    #[error("the archive's content is damaged: it ends inside a compressed block")]
    CutMember,
    #[error("the archive's content is longer than the {told} bytes that its manifest says")]
    Longer { told: u64 },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error("a thread of the pipeline ended early")]
    Broken,
    #[error("there is no thread to read with: {0}; see ulimit -u and TasksMax")]
    NoThread(#[source] io::Error),
}

pub(super) type Decoded = Result<Vec<u8>, CodecError>;

pub(super) struct Job {
    pub member: Vec<u8>,
    pub reply: Sender<Decoded>,
}

/// In the order of the stream.
pub(super) enum Queued {
    /// Comes first: members, or a stream that the consumer's side decodes.
    Begin {
        codec: Codec,
        members: bool,
    },
    Member(Receiver<Decoded>),
    Piece(Vec<u8>),
    End,
    Failed(UnsealError),
}

/// Reads `stored` to its end and hands the raw stream to `consume`. A failure of
/// the archive itself goes before the consumer's, which usually follows from it.
/// `progress` is told bytes of the compressed stream.
pub fn unseal<T, E: From<UnsealError>>(
    stored: impl Read + Send,
    unsealing: Unsealing,
    progress: &(dyn Fn(u64) + Sync),
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, E>,
) -> Result<(T, Unsealed), E> {
    let Unsealing {
        opening,
        codec,
        workers,
        digests,
        told_bytes,
        cancel,
    } = unsealing;
    let workers = workers.max(1);
    let limits = (told_bytes, cancel.clone());
    let stock = Stock::new();
    let (jobs, todo) = bounded::<Job>(1);
    let (queue, in_order) = bounded::<Queued>(2 * workers);
    let content = Content::new(Tallying::new(stored, digests), opening, digests)?;
    let splitter = Splitter {
        jobs,
        queue,
        stock: stock.clone(),
        codec,
    };
    thread::scope(|scope| {
        let feed = move || splitter.run(content, &cancel, progress);
        let feeder = named("feeder").spawn_scoped(scope, feed);
        let feeder = feeder.map_err(UnsealError::NoThread)?;
        let (codec, members) = match in_order.recv() {
            Ok(Queued::Begin { codec, members }) => (codec, members),
            Ok(Queued::Failed(error)) => return Err(error.into()),
            _ => return Err(UnsealError::Broken.into()),
        };
        for _ in 0..if members { workers } else { 0 } {
            let (todo, stock) = (todo.clone(), stock.clone());
            let worker = named("worker").spawn_scoped(scope, move || work(&todo, &stock, codec));
            worker.map_err(UnsealError::NoThread)?;
        }
        drop(todo);
        let mut reader = InOrder::new(in_order, stock);
        let outcome = consume_all(&mut reader, codec, members, limits, consume);
        finish(reader, feeder, outcome, codec)
    })
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

/// Both ends are done: the archive's failure first, then the consumer's, and a
/// result only if there was neither.
fn finish<T, E: From<UnsealError>>(
    mut reader: InOrder,
    feeder: ScopedJoinHandle<'_, Option<Unsealed>>,
    outcome: Result<(T, u64), E>,
    codec: Codec,
) -> Result<(T, Unsealed), E> {
    let failure = reader.failure.take();
    // Closes the queue: a feeder whose consumer gave up ends by it.
    drop(reader);
    let fed = feeder
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    if let Some(error) = failure {
        return Err(error.into());
    }
    let (value, raw_bytes) = outcome?;
    let unsealed = fed.ok_or(UnsealError::Broken)?;
    Ok((
        value,
        Unsealed {
            codec,
            raw_bytes,
            ..unsealed
        },
    ))
}

/// Runs the consumer, then reads what it left. The second value is the length of the
/// raw stream.
fn consume_all<T, E: From<UnsealError>>(
    reader: &mut InOrder,
    codec: Codec,
    members: bool,
    (told_bytes, cancel): (Option<u64>, Cancel),
    consume: impl FnOnce(&mut dyn BufRead) -> Result<T, E>,
) -> Result<(T, u64), E> {
    let foreign = |error| E::from(UnsealError::Foreign(error));
    let buffered = |decoder| Box::new(BufReader::with_capacity(PIECE_LEN, decoder));
    let decoder: Box<dyn BufRead + '_> = match codec {
        _ if members => Box::new(&mut *reader),
        Codec::None => Box::new(&mut *reader),
        Codec::Gzip => {
            let decoder = flate2::bufread::MultiGzDecoder::new(&mut *reader);
            buffered(Box::new(decoder) as Box<dyn Read>)
        }
        Codec::Zstd => {
            let decoder = zstd::Decoder::with_buffer(&mut *reader).map_err(foreign)?;
            buffered(Box::new(decoder))
        }
    };
    let mut decoded = Counting::new(decoder, told_bytes, cancel);
    let result = consume(&mut decoded);
    if let Some(failure) = decoded.failure.take() {
        return Err(failure.into());
    }
    let value = result?;
    let drained = drain(&mut decoded);
    if let Some(failure) = decoded.failure.take() {
        return Err(failure.into());
    }
    drained.map_err(foreign)?;
    let bytes = decoded.bytes;
    drop(decoded);
    // What lies behind the end of a stream that somebody else compressed.
    drain(reader).map_err(foreign)?;
    Ok((value, bytes))
}

fn drain(reader: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let len = reader.fill_buf()?.len();
        if len == 0 {
            return Ok(());
        }
        reader.consume(len);
    }
}

fn work(todo: &Receiver<Job>, stock: &Stock, codec: Codec) {
    let mut decoder = Decoder::new(codec);
    for Job { member, reply } in todo {
        let mut raw = stock.take();
        let result = match &mut decoder {
            Ok(Some(decoder)) => decoder.decode(&member, &mut raw).map(|()| raw),
            Ok(None) => Ok(raw),
            Err(error) => Err(error.clone()),
        };
        stock.give_back(member);
        // A consumer that is gone has told its reason itself.
        let _ = reply.send(result);
    }
}
