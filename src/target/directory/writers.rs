//! Threads that create the small files, most of whose cost is the file system's
//! own work. Owns a fixed set of buffers that go round: memory stays bounded,
//! and when all of them are back nothing is in flight.
//!
//! Invariant: the first failure is kept, later files are dropped, and every
//! buffer comes back whatever happens.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::metadata::Metadata;
use super::parents::{Left, Spot, place};
use crate::format::tar::{Attributes, TarError};
use crate::paths::Dir;
use crate::target::TargetError;

/// A batch is handed over when it is this full, holds so many files or keeps so
/// many directories open.
const BATCH_BYTES: usize = 256 * 1024;
const BATCH_FILES: usize = 64;
const BATCH_PARENTS: usize = 16;

/// Some files and their content, one after the other.
#[derive(Default)]
pub(super) struct Batch {
    pub data: Vec<u8>,
    files: Vec<SmallFile>,
    parents: usize,
}

struct SmallFile {
    parent: Arc<Dir>,
    left: Arc<Left>,
    path: Vec<u8>,
    name: Range<usize>,
    content: Range<usize>,
    attributes: Attributes,
}

pub(super) struct Writers<'env> {
    failure: &'env Failure,
    full: Sender<Batch>,
    free: Receiver<Batch>,
    give_back: Sender<Batch>,
    buffers: usize,
    filling: Batch,
}

/// The first failure of any writer.
#[derive(Default)]
pub(super) struct Failure(Mutex<Option<TargetError>>);

impl Failure {
    /// Fails once if a writer has.
    pub fn check(&self) -> Result<(), TargetError> {
        let mut failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }

    fn set(&self, error: TargetError) {
        let mut failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
    }

    fn is_set(&self) -> bool {
        let failure = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failure.is_some()
    }
}

impl<'env> Writers<'env> {
    /// Starts the threads; they end when this is dropped.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, 'env>,
        metadata: &'env Metadata,
        failure: &'env Failure,
    ) -> Result<Self, TargetError> {
        let threads = thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 4));
        // One being filled, one being written by each, and as many waiting.
        let buffers = 2 * threads + 1;
        let (full, take_full) = bounded::<Batch>(buffers);
        let (give_back, free) = bounded(buffers);
        for _ in 0..threads {
            let (take_full, give_back) = (take_full.clone(), give_back.clone());
            let write = move || {
                for mut batch in take_full {
                    write_batch(&mut batch, metadata, failure);
                    batch.clear();
                    if give_back.send(batch).is_err() {
                        return;
                    }
                }
            };
            let thread = thread::Builder::new().name("writer".to_owned());
            thread
                .spawn_scoped(scope, write)
                .map_err(|source| TargetError::Place {
                    action: "start",
                    place: "a thread that writes files".to_owned(),
                    source,
                })?;
        }
        for _ in 1..buffers {
            // There is room for all of them.
            let _ = give_back.send(Batch::default());
        }
        Ok(Self {
            failure,
            full,
            free,
            give_back,
            buffers,
            filling: Batch::default(),
        })
    }

    /// Where the next file's content is to be appended.
    pub fn data(&mut self) -> &mut Vec<u8> {
        &mut self.filling.data
    }

    /// Takes the file whose content begins at `start` of [`Writers::data`].
    pub fn add(&mut self, spot: Spot<'_>, path: Vec<u8>, start: usize, attributes: Attributes) {
        let batch = &mut self.filling;
        let known = batch
            .files
            .last()
            .is_some_and(|last| Arc::ptr_eq(&last.parent, &spot.parent));
        batch.parents += usize::from(!known);
        batch.files.push(SmallFile {
            parent: spot.parent,
            left: spot.left,
            name: path.len() - spot.name.len()..path.len(),
            path,
            content: start..batch.data.len(),
            attributes,
        });
        if batch.data.len() >= BATCH_BYTES
            || batch.files.len() >= BATCH_FILES
            || batch.parents >= BATCH_PARENTS
        {
            self.hand_over();
        }
    }

    /// Returns when every file that was added has been written; fails with the
    /// first failure.
    pub fn wait(&mut self) -> Result<(), TargetError> {
        if !self.filling.files.is_empty() {
            self.hand_over();
        }
        let back: Vec<Batch> = self.free.iter().take(self.buffers - 1).collect();
        for batch in back {
            let _ = self.give_back.send(batch);
        }
        self.failure.check()
    }

    fn hand_over(&mut self) {
        // Neither side closes while this lives and the writers run.
        if let Ok(next) = self.free.recv() {
            let full = std::mem::replace(&mut self.filling, next);
            let _ = self.full.send(full);
        }
    }
}

impl Batch {
    fn clear(&mut self) {
        self.data.clear();
        self.files.clear();
        self.parents = 0;
    }
}

fn write_batch(batch: &mut Batch, metadata: &Metadata, failure: &Failure) {
    for file in batch.files.drain(..) {
        if failure.is_set() {
            return;
        }
        let content = &batch.data[file.content.clone()];
        let written =
            write_file(&file, content, metadata).and_then(|()| Left::release(file.left, metadata));
        if let Err(error) = written {
            failure.set(error);
        }
    }
}

fn write_file(file: &SmallFile, content: &[u8], metadata: &Metadata) -> Result<(), TargetError> {
    let name = &file.path[file.name.clone()];
    let mut created = create(&file.parent, name, &file.path)?;
    let written = created.write_all(content);
    match written.map_err(|source| place(&file.path, source)) {
        Err(error) if not_possible(&error) => {
            metadata.leave_out_unfit(&file.path, &error);
            rustix::fs::unlinkat(&file.parent, name, AtFlags::empty())
                .map_err(|errno| place(&file.path, errno.into()))
        }
        written => {
            written?;
            metadata.apply(created.as_fd(), &file.path, &file.attributes)
        }
    }
}

/// Whether the place can never hold such a file, whatever room it has.
pub(super) fn not_possible(error: &TargetError) -> bool {
    let TargetError::Place { source, .. } = error else {
        return false;
    };
    let errno = Errno::from_io_error(source);
    matches!(errno, Some(Errno::FBIG | Errno::OVERFLOW))
}

/// Makes a new file for its owner only; its mode comes with its metadata.
pub(super) fn create(parent: &Dir, name: &[u8], path: &[u8]) -> Result<File, TargetError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(File::from(file)),
        Err(errno) => Err(not_created(path, errno.into())),
    }
}

/// A name that is there already was made by an earlier entry: the staging
/// directory was empty.
pub(super) fn not_created(path: &[u8], error: std::io::Error) -> TargetError {
    match error.kind() {
        ErrorKind::AlreadyExists => {
            TarError::refused(path, "comes twice, or in place of something else").into()
        }
        _ => place(path, error),
    }
}
