//! Source to storage. A reader (the calling thread), N workers and a writer;
//! each block travels with a one-shot channel for its result, and the queue of
//! those channels keeps the order.
//!
//! Invariant: the sink gets its last byte only after the source has ended well.
//! Any failure leaves the sink unfinished, and the caller drops it.

use std::io::{self, Read, Write};
use std::thread::{self, ScopedJoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::BLOCK_LEN;
use super::codec::{CodecError, Encoder};
use super::digest::Digesting;
use super::envelope::{Envelope, NewArchive};
use super::recycle::Stock;
use crate::cancel::Cancel;
use crate::checked::Sha256Hex;
use crate::format::frames::FrameSealer;
use crate::format::legacy::LegacyWriter;
use crate::format::manifest::{Codec, MemberIndex};

/// Listed member offsets stay at or below this: a manifest is read whole.
const INDEX_MAX: usize = 256;

pub struct Sealing {
    pub codec: Codec,
    pub level: i32,
    pub workers: usize,
    pub envelope: Envelope,
    pub cancel: Cancel,
}

/// What went through, measured on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub raw_bytes: u64,
    pub content_bytes: u64,
    /// Of the compressed stream before encryption, hex.
    pub content_sha256: Sha256Hex,
    pub stored_bytes: u64,
    /// Of every stored byte, hex.
    pub stored_sha256: Sha256Hex,
    /// Of the stored bytes behind a KLUIS1 header, hex.
    pub payload_sha256: Option<Sha256Hex>,
    /// For gzip and zstd.
    pub index: Option<MemberIndex>,
}

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("reading the source failed: {0}")]
    Source(#[source] io::Error),
    #[error("writing the archive failed: {0}")]
    Sink(#[source] io::Error),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("a thread of the pipeline ended early")]
    Broken,
    #[error("there is no thread to write with: {0}; see ulimit -u and TasksMax")]
    NoThread(#[source] io::Error),
}

/// A block's compressed bytes, or why there are none.
type Sealed = Result<Vec<u8>, CodecError>;

struct Job {
    raw: Vec<u8>,
    reply: Sender<Sealed>,
}

/// In the order of the blocks. `End` tells the writer that the source ended
/// well; a queue that just closes tells it that it did not.
enum Queued {
    Block(Receiver<Sealed>),
    End,
}

/// Moves the whole of `source` into `sink` and says what it was. `progress` is
/// told raw bytes as they are read. The envelope goes with it: its payload key
/// never seals twice.
pub fn seal(
    source: &mut dyn Read,
    sink: &mut (dyn Write + Send),
    sealing: Sealing,
    progress: &dyn Fn(u64),
) -> Result<Receipt, SealError> {
    let Sealing {
        codec,
        level,
        workers,
        envelope,
        cancel,
    } = sealing;
    let workers = workers.max(1);
    let stock = Stock::new();
    // One block being read, one for each worker, and as many waiting: enough to
    // keep everyone busy, and the bound on memory.
    let (jobs, todo) = bounded::<Job>(1);
    let (queue, in_order) = bounded::<Queued>(2 * workers);
    thread::scope(|scope| {
        for _ in 0..workers {
            let (todo, stock) = (todo.clone(), stock.clone());
            let work = move || work(&todo, &stock, codec, level);
            let worker = named("worker").spawn_scoped(scope, work);
            worker.map_err(SealError::NoThread)?;
        }
        drop(todo);
        let writer_stock = stock.clone();
        let write = move || write(&in_order, &writer_stock, sink, codec, envelope);
        let writer = named("writer").spawn_scoped(scope, write);
        let writer = writer.map_err(SealError::NoThread)?;
        let read = read_blocks(source, &jobs, &queue, &stock, &cancel, progress);
        drop((jobs, queue));
        let written = join(writer);
        // The source's failure is the cause; the writer's `Broken` follows from it.
        match (read, written) {
            (Err(SealError::Broken), Err(cause)) | (Err(cause), _) | (_, Err(cause)) => Err(cause),
            (Ok(raw_bytes), Ok(receipt)) => Ok(Receipt {
                raw_bytes,
                ..receipt
            }),
        }
    })
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

fn join<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn read_blocks(
    source: &mut dyn Read,
    jobs: &Sender<Job>,
    queue: &Sender<Queued>,
    stock: &Stock,
    cancel: &Cancel,
    progress: &dyn Fn(u64),
) -> Result<u64, SealError> {
    let mut raw_bytes = 0;
    loop {
        let mut raw = stock.take();
        raw.resize(BLOCK_LEN, 0);
        let len = fill(source, &mut raw, cancel).map_err(SealError::Source)?;
        raw.truncate(len);
        // An empty stream still makes one block: an empty gzip file is not valid.
        if len == 0 && raw_bytes > 0 {
            break;
        }
        raw_bytes += len as u64;
        progress(len as u64);
        let (reply, result) = bounded(1);
        queue
            .send(Queued::Block(result))
            .map_err(|_| SealError::Broken)?;
        jobs.send(Job { raw, reply })
            .map_err(|_| SealError::Broken)?;
        if len < BLOCK_LEN {
            break;
        }
    }
    queue.send(Queued::End).map_err(|_| SealError::Broken)?;
    Ok(raw_bytes)
}

/// Fills `block` as far as the source goes; less than full only at its end.
fn fill(source: &mut dyn Read, block: &mut [u8], cancel: &Cancel) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        cancel.check_io()?;
        match source.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(count) => {
                cancel.moved();
                filled += count;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn work(todo: &Receiver<Job>, stock: &Stock, codec: Codec, level: i32) {
    let mut encoder = Encoder::new(codec, level);
    for Job { raw, reply } in todo {
        let mut sealed = stock.take();
        let result = match &mut encoder {
            Ok(encoder) => encoder.encode(&raw, &mut sealed).map(|()| sealed),
            Err(error) => Err(error.clone()),
        };
        stock.give_back(raw);
        // A writer that is gone has told its reason itself.
        let _ = reply.send(result);
    }
}

fn write(
    in_order: &Receiver<Queued>,
    stock: &Stock,
    sink: &mut (dyn Write + Send),
    codec: Codec,
    envelope: Envelope,
) -> Result<Receipt, SealError> {
    let mut content = Digesting::new(Outer::begin(sink, envelope).map_err(SealError::Sink)?);
    let mut index = IndexBuilder::default();
    let mut content_bytes = 0;
    loop {
        let sealed = match in_order.recv() {
            Ok(Queued::Block(result)) => result.recv().map_err(|_| SealError::Broken)??,
            Ok(Queued::End) => break,
            Err(_) => return Err(SealError::Broken),
        };
        index.add(content_bytes);
        content_bytes += sealed.len() as u64;
        content.write_all(&sealed).map_err(SealError::Sink)?;
        stock.give_back(sealed);
    }
    let (outer, content_sha256, content_bytes) = content.finish();
    let outer = outer.finish().map_err(SealError::Sink)?;
    let index = (codec != Codec::None).then_some(index.0);
    Ok(Receipt {
        raw_bytes: 0,
        content_bytes,
        stored_bytes: outer.stored_bytes.unwrap_or(content_bytes),
        stored_sha256: outer
            .stored_sha256
            .unwrap_or_else(|| content_sha256.clone()),
        payload_sha256: outer.payload_sha256,
        content_sha256,
        index,
    })
}

/// What surrounds the compressed stream.
enum Outer<'a> {
    None(&'a mut (dyn Write + Send)),
    Kluis1(Box<FrameSealer<Digesting<Digesting<&'a mut (dyn Write + Send)>>>>),
    Kanbu(Box<LegacyWriter<Digesting<&'a mut (dyn Write + Send)>>>),
}

/// What the outermost layer saw; `None` where it equals the content.
#[derive(Default)]
struct OuterDigests {
    stored_bytes: Option<u64>,
    stored_sha256: Option<Sha256Hex>,
    payload_sha256: Option<Sha256Hex>,
}

impl<'a> Outer<'a> {
    fn begin(sink: &'a mut (dyn Write + Send), envelope: Envelope) -> io::Result<Self> {
        Ok(match envelope {
            Envelope::None => Self::None(sink),
            Envelope::Kluis1(archive) => {
                let NewArchive { head, keys, .. } = *archive;
                let mut stored = Digesting::new(sink);
                stored.write_all(&head)?;
                let payload = Digesting::new(stored);
                Self::Kluis1(Box::new(FrameSealer::new(payload, keys.payload)))
            }
            Envelope::Kanbu(key) => {
                let mut iv = [0; 16];
                getrandom::fill(&mut iv).map_err(io::Error::other)?;
                let stored = Digesting::new(sink);
                Self::Kanbu(Box::new(LegacyWriter::new(stored, &key, iv)?))
            }
        })
    }

    fn finish(self) -> io::Result<OuterDigests> {
        let (sink, digests) = match self {
            Self::None(sink) => (sink, OuterDigests::default()),
            Self::Kluis1(frames) => {
                let (stored, payload_sha256, _) = frames.finish()?.finish();
                let (sink, stored_sha256, stored_bytes) = stored.finish();
                let digests = OuterDigests {
                    stored_bytes: Some(stored_bytes),
                    stored_sha256: Some(stored_sha256),
                    payload_sha256: Some(payload_sha256),
                };
                (sink, digests)
            }
            Self::Kanbu(writer) => {
                let (sink, stored_sha256, stored_bytes) = writer.finish()?.finish();
                let digests = OuterDigests {
                    stored_bytes: Some(stored_bytes),
                    stored_sha256: Some(stored_sha256),
                    payload_sha256: None,
                };
                (sink, digests)
            }
        };
        sink.flush()?;
        Ok(digests)
    }
}

impl Write for Outer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(sink) => sink.write(bytes),
            Self::Kluis1(frames) => frames.write(bytes),
            Self::Kanbu(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(sink) => sink.flush(),
            Self::Kluis1(frames) => frames.flush(),
            Self::Kanbu(writer) => writer.flush(),
        }
    }
}

/// Keeps every n-th offset; n doubles whenever the list is full.
struct IndexBuilder(MemberIndex, u64);

impl Default for IndexBuilder {
    fn default() -> Self {
        let block_bytes = BLOCK_LEN as u64;
        Self(
            MemberIndex {
                block_bytes,
                every: 1,
                offsets: Vec::new(),
            },
            0,
        )
    }
}

impl IndexBuilder {
    fn add(&mut self, offset: u64) {
        let Self(index, members) = self;
        if *members % index.every == 0 {
            if index.offsets.len() == INDEX_MAX {
                let mut at = 0;
                index.offsets.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                index.every *= 2;
            }
            if *members % index.every == 0 {
                index.offsets.push(offset);
            }
        }
        *members += 1;
    }
}
