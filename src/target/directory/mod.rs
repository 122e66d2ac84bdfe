//! Restores a tree into a new or empty directory, entry by entry. Owns what may
//! become of an entry; the tar module has refused what no entry may say.
//!
//! Refuses entries that come twice, that go through a symlink or that link to
//! what the archive did not bring. Symlinks that point outside the tree are
//! left out with a warning unless allowed. Owners go by number, never by name.
//! Invariant: nothing is visible at the destination before the commit.

use std::io::BufRead;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::cancel::Cancel;
use crate::format::manifest::TreeContent;
use crate::format::tar::{
    Attributes, Entry, EntryKind, Segment, TarError, TarReader, display_path, symlink_stays_inside,
};
use crate::target::tree_check::count_entry;
use crate::target::{Received, Target, TargetError};

mod metadata;
mod parents;
mod staging;
mod writers;

use metadata::Metadata;
use parents::{IMPLIED, Parents, place};
use staging::{Destination, Staging};
use writers::{Failure, Writers, create, not_created};

/// Files from this size on are not collected, but written as they come.
const STREAMED_BYTES: u64 = 1 << 20;

/// How a tree is restored.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreTreeOptions {
    /// Whether symlinks that point outside the tree are made too. Their makers
    /// decide where later programs read and write: for archives you trust.
    pub links_outside: bool,
}

/// A tree on its way into a directory.
pub struct DirectoryTarget {
    destination: Destination,
    options: RestoreTreeOptions,
    cancel: Cancel,
    metadata: Metadata,
    received: Option<(Staging, Option<Attributes>)>,
}

impl DirectoryTarget {
    /// Checks that `destination` is new or empty; writes nothing yet.
    pub fn new(
        destination: &Path,
        options: RestoreTreeOptions,
        cancel: Cancel,
    ) -> Result<Self, TargetError> {
        Ok(Self {
            destination: Destination::check(destination)?,
            options,
            cancel,
            metadata: Metadata::new(),
            received: None,
        })
    }
}

impl Target for DirectoryTarget {
    /// `Received::tree` counts as [`crate::target::TreeCheck`] does, also the
    /// symlinks that were left out.
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let staging = Staging::create(&self.destination)?;
        let failure = Failure::default();
        let mut receiving = Receiving {
            options: self.options,
            cancel: &self.cancel,
            metadata: &self.metadata,
            parents: Parents::new(staging.root())?,
            directories: Vec::new(),
            left_out: 0,
            content: TreeContent::default(),
        };
        thread::scope(|scope| {
            let mut writers = Writers::start(scope, &self.metadata, &failure);
            let mut reader = TarReader::new(stream);
            while let Some(entry) = reader.next_entry()? {
                self.cancel.check()?;
                receiving.entry(entry, &mut reader, &mut writers)?;
                failure.check()?;
            }
            writers.wait()
        })?;
        let root_attributes = receiving.finish_directories()?;
        let (content, left_out) = (receiving.content, receiving.left_out);
        self.received = Some((staging, root_attributes));
        Ok(Received {
            tree: Some(content),
            left_out,
            warnings: self.metadata.take_warnings(),
            ..Received::default()
        })
    }

    /// Gives the root its own mode only now: until here nobody else could look.
    fn commit(self: Box<Self>) -> Result<(), TargetError> {
        let Some((staging, root)) = self.received else {
            let source = std::io::Error::other("nothing was received");
            return Err(place(b"", source));
        };
        match root {
            Some(attributes) => self.metadata.apply(staging.root(), b"", &attributes)?,
            None => rustix::fs::fchmod(staging.root(), IMPLIED)
                .map_err(|errno| place(b"", errno.into()))?,
        }
        staging.publish()
    }
}

/// The state of one run through a stream.
struct Receiving<'a> {
    options: RestoreTreeOptions,
    cancel: &'a Cancel,
    metadata: &'a Metadata,
    parents: Parents,
    /// Their own attributes come when everything in them is there.
    directories: Vec<(Vec<u8>, Attributes)>,
    content: TreeContent,
    left_out: u64,
}

impl Receiving<'_> {
    fn entry<R: BufRead>(
        &mut self,
        mut entry: Entry,
        reader: &mut TarReader<R>,
        writers: &mut Writers<'_>,
    ) -> Result<(), TargetError> {
        count_entry(&mut self.content, &entry)?;
        // Owners go by number: the names are dead weight from here on.
        entry.attributes.uname = Vec::new();
        entry.attributes.gname = Vec::new();
        match entry.kind {
            EntryKind::Directory => self.directory(entry.path, entry.attributes),
            EntryKind::File { bytes } if bytes < STREAMED_BYTES => {
                self.small_file(entry.path, entry.attributes, reader, writers)
            }
            EntryKind::File { bytes } => {
                let all = [Segment { offset: 0, bytes }];
                self.large_file(&entry.path, &entry.attributes, bytes, &all, reader)
            }
            EntryKind::SparseFile { bytes, segments } => {
                self.large_file(&entry.path, &entry.attributes, bytes, &segments, reader)
            }
            EntryKind::Symlink { target } => self.symlink(&entry.path, &target, &entry.attributes),
            EntryKind::HardLink { target } => {
                // Its file may still be on its way.
                writers.wait()?;
                self.hard_link(&entry.path, &target)
            }
        }
    }

    fn directory(&mut self, path: Vec<u8>, attributes: Attributes) -> Result<(), TargetError> {
        if !path.is_empty() {
            let spot = self.parents.spot(&path)?;
            if let Err(errno) = rustix::fs::mkdirat(&spot.parent, spot.name, Mode::RWXU) {
                let there = rustix::fs::statat(&spot.parent, spot.name, AtFlags::SYMLINK_NOFOLLOW);
                match there {
                    // Needed before it was named: that is no contradiction.
                    Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
                    _ => return Err(not_created(&path, errno.into())),
                }
            }
        }
        self.directories.push((path, attributes));
        Ok(())
    }

    fn small_file<R: BufRead>(
        &mut self,
        path: Vec<u8>,
        attributes: Attributes,
        reader: &mut TarReader<R>,
        writers: &mut Writers<'_>,
    ) -> Result<(), TargetError> {
        let data = writers.data();
        let start = data.len();
        loop {
            let chunk = reader.data()?;
            let bytes = chunk.len();
            if bytes == 0 {
                break;
            }
            data.extend_from_slice(chunk);
            reader.consume(bytes);
        }
        let spot = self.parents.spot(&path)?;
        writers.add(spot, path.clone(), start, attributes);
        Ok(())
    }

    fn large_file<R: BufRead>(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        file_bytes: u64,
        segments: &[Segment],
        reader: &mut TarReader<R>,
    ) -> Result<(), TargetError> {
        let spot = self.parents.spot(path)?;
        let file = create(&spot.parent, spot.name, path)?;
        for segment in segments {
            let mut written_bytes = 0;
            while written_bytes < segment.bytes {
                self.cancel.check()?;
                let chunk = reader.data()?;
                let left = usize::try_from(segment.bytes - written_bytes).unwrap_or(usize::MAX);
                let chunk = &chunk[..chunk.len().min(left)];
                file.write_all_at(chunk, segment.offset + written_bytes)
                    .map_err(|source| place(path, source))?;
                let bytes = chunk.len();
                if bytes == 0 {
                    return Err(reader.refused("has less data than it says").into());
                }
                written_bytes += bytes as u64;
                reader.consume(bytes);
            }
        }
        file.set_len(file_bytes)
            .map_err(|source| place(path, source))?;
        self.metadata.apply(file.as_fd(), path, attributes)
    }

    fn symlink(
        &mut self,
        path: &[u8],
        target: &[u8],
        attributes: &Attributes,
    ) -> Result<(), TargetError> {
        let spot = self.parents.spot(path)?;
        if !self.options.links_outside && !symlink_stays_inside(path, target) {
            self.metadata.warn(format!(
                "symlink {} left out: it points outside the tree, to {}",
                display_path(path),
                display_path(target),
            ));
            self.left_out += 1;
            return Ok(());
        }
        rustix::fs::symlinkat(target, &spot.parent, spot.name)
            .map_err(|errno| not_created(path, errno.into()))?;
        let parent = spot.parent.as_fd();
        self.metadata
            .apply_to_link(parent, spot.name, path, attributes)
    }

    fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), TargetError> {
        let to = self.parents.existing(target)?;
        let stat = rustix::fs::statat(&to.parent, to.name, AtFlags::SYMLINK_NOFOLLOW);
        match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::RegularFile) => {}
            _ => {
                let why = "is a hard link to what is no file of this archive";
                return Err(TarError::refused(path, why).into());
            }
        }
        let from = self.parents.spot(path)?;
        rustix::fs::linkat(
            &to.parent,
            to.name,
            &from.parent,
            from.name,
            AtFlags::empty(),
        )
        .map_err(|errno| not_created(path, errno.into()))
    }

    /// Gives the directories their attributes, the deepest first: a directory
    /// that forbids writing must not stop those below it. Returns the root's.
    fn finish_directories(&mut self) -> Result<Option<Attributes>, TargetError> {
        let mut root = None;
        let depth = |path: &[u8]| path.iter().filter(|&&byte| byte == b'/').count();
        let mut directories = std::mem::take(&mut self.directories);
        directories.sort_by_key(|(path, _)| std::cmp::Reverse(depth(path)));
        for (path, attributes) in directories {
            self.cancel.check()?;
            if path.is_empty() {
                root = Some(attributes);
                continue;
            }
            let directory = self.open_directory(&path)?;
            self.metadata.apply(directory.as_fd(), &path, &attributes)?;
        }
        Ok(root)
    }

    fn open_directory(&mut self, path: &[u8]) -> Result<OwnedFd, TargetError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let spot = self.parents.existing(path)?;
        rustix::fs::openat(&spot.parent, spot.name, flags, Mode::empty())
            .map_err(|errno| place(path, errno.into()))
    }
}
