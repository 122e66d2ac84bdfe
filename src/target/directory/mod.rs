//! Restores a tree into a new or empty directory, entry by entry. Owns what may
//! become of an entry; the tar module has refused what no entry may say.
//!
//! Refuses entries that come twice, that go through a symlink or that link to
//! what the archive did not bring. Symlinks that point outside the tree are
//! left out with a warning unless allowed. Owners go by number, never by name.
//! Invariant: nothing is visible at the destination before the commit.

use std::fs::File;
use std::io::BufRead;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use crate::cancel::Cancel;
use crate::format::manifest::TreeContent;
use crate::format::tar::{
    Attributes, Entry, EntryKind, Segment, TarError, TarReader, display_path, symlink_stays_inside,
};
use crate::reached::Reached;
use crate::target::tree_check::count_entry;
use crate::target::{Received, Target, TargetError};

mod holes;
mod metadata;
mod parents;
mod staging;
mod writers;

use holes::write_data;
use metadata::Metadata;
use parents::{IMPLIED, Left, Parents, Spot, place};
use staging::{Destination, Staging};
use writers::{Failure, Writers, create, not_created, not_possible};

/// Files from this size on are not collected, but written as they come.
const STREAMED_BYTES: u64 = 1 << 20;

/// How a tree is restored.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreTreeOptions {
    /// Whether symlinks that point outside the tree are made too. Their makers
    /// decide where later programs read and write: for archives you trust.
    pub links_outside: bool,
    /// Nothing that lends rights: no setuid or setgid bit, no `security.*` or
    /// `trusted.*` attribute. For archives that anybody may have made.
    pub without_rights: bool,
}

/// A tree on its way into a directory.
pub struct DirectoryTarget {
    destination: Arc<Destination>,
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
            destination: Arc::new(Destination::check(destination)?),
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
            parents: Parents::new(staging.root(), &self.metadata),
            content: TreeContent::default(),
            root_attributes: None,
        };
        thread::scope(|scope| {
            let mut writers = Writers::start(scope, &self.metadata, &failure)?;
            let mut reader = TarReader::new(stream);
            while let Some(entry) = reader.next_entry()? {
                self.cancel.check()?;
                receiving.entry(entry, &mut reader, &mut writers)?;
                failure.check()?;
            }
            receiving.root_attributes = receiving.parents.finish()?;
            writers.wait()
        })?;
        let (content, root_attributes) = (receiving.content, receiving.root_attributes);
        self.received = Some((staging, root_attributes));
        Ok(Received {
            tree: Some(content),
            left_out: self.metadata.left_out(),
            warnings: self.metadata.take_warnings(),
            ..Received::default()
        })
    }

    /// Gives the root its own mode while it is still out of everybody's reach.
    fn commit(&mut self, reached: &mut Reached) -> Result<(), TargetError> {
        let Some((staging, root)) = &mut self.received else {
            let source = std::io::Error::other("nothing was received");
            return Err(place(b"", source));
        };
        match root {
            Some(attributes) => self
                .metadata
                .apply(staging.root().as_fd(), b"", attributes)?,
            None => set_mode(staging, IMPLIED)?,
        }
        let mode = staging.root().mode();
        let mode = mode.map_err(|errno| place(b"", errno.into()))?;
        // To be moved, a directory must be writable for all but root.
        let shut = !mode.contains(Mode::WUSR) && !self.metadata.is_root();
        if shut {
            set_mode(staging, mode | Mode::WUSR)?;
        }
        staging.publish(shut.then_some(mode), reached)
    }

    fn abandon(&mut self) -> Vec<String> {
        let left = self.received.as_mut();
        let left = left.and_then(|(staging, _)| staging.remove());
        left.into_iter().collect()
    }
}

fn set_mode(staging: &Staging, mode: Mode) -> Result<(), TargetError> {
    rustix::fs::fchmod(staging.root(), mode).map_err(|errno| place(b"", errno.into()))
}

/// The state of one run through a stream.
struct Receiving<'a> {
    options: RestoreTreeOptions,
    cancel: &'a Cancel,
    metadata: &'a Metadata,
    parents: Parents<'a>,
    content: TreeContent,
    root_attributes: Option<Attributes>,
}

impl Receiving<'_> {
    fn entry<R: BufRead>(
        &mut self,
        mut entry: Entry,
        reader: &mut TarReader<R>,
        writers: &mut Writers<'_>,
    ) -> Result<(), TargetError> {
        count_entry(&mut self.content, &entry);
        // Owners go by number: the names are dead weight from here on.
        entry.attributes.uname = Vec::new();
        entry.attributes.gname = Vec::new();
        if self.options.without_rights {
            without_rights(&mut entry.attributes);
        }
        match entry.kind {
            EntryKind::Directory => self
                .parents
                .directory(&entry.path, entry.attributes, writers),
            EntryKind::File { bytes } if bytes < STREAMED_BYTES => {
                self.small_file(entry.path, entry.attributes, reader, writers)
            }
            EntryKind::File { bytes } => {
                let all = [Segment { offset: 0, bytes }];
                let spot = self.parents.spot(&entry.path, writers)?;
                self.large_file(spot, &entry, bytes, &all, reader)
            }
            EntryKind::SparseFile {
                bytes,
                ref segments,
            } => {
                let spot = self.parents.spot(&entry.path, writers)?;
                self.large_file(spot, &entry, bytes, segments, reader)
            }
            EntryKind::Symlink { target } => {
                self.symlink(&entry.path, &target, &entry.attributes, writers)
            }
            EntryKind::HardLink { target } => {
                // Its file may still be on its way.
                writers.wait()?;
                self.hard_link(&entry.path, &target, writers)
            }
        }
    }

    fn small_file<R: BufRead>(
        &mut self,
        path: Vec<u8>,
        attributes: Attributes,
        reader: &mut TarReader<R>,
        writers: &mut Writers<'_>,
    ) -> Result<(), TargetError> {
        // Before its content: on the way there, what was collected may be handed
        // over.
        let spot = self.parents.spot(&path, writers)?;
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
        writers.add(spot, path.clone(), start, attributes);
        Ok(())
    }

    fn large_file<R: BufRead>(
        &mut self,
        spot: Spot<'_>,
        entry: &Entry,
        file_bytes: u64,
        segments: &[Segment],
        reader: &mut TarReader<R>,
    ) -> Result<(), TargetError> {
        let path = &entry.path;
        let file = create(&spot.parent, spot.name, path)?;
        let written = self
            .fill(&file, entry, segments, reader)
            .and_then(|()| file.set_len(file_bytes).map_err(|error| place(path, error)));
        match written {
            Err(error) if not_possible(&error) => {
                self.metadata.leave_out_unfit(path, &error);
                rustix::fs::unlinkat(&spot.parent, spot.name, AtFlags::empty())
                    .map_err(|errno| place(path, errno.into()))?;
            }
            written => {
                written?;
                let attributes = &entry.attributes;
                self.metadata.apply(file.as_fd(), path, attributes)?;
            }
        }
        Left::release(spot.left, self.metadata)
    }

    fn fill<R: BufRead>(
        &self,
        file: &File,
        entry: &Entry,
        segments: &[Segment],
        reader: &mut TarReader<R>,
    ) -> Result<(), TargetError> {
        let path = &entry.path;
        let is_sparse = matches!(entry.kind, EntryKind::SparseFile { .. });
        for segment in segments {
            let mut written_bytes = 0;
            while written_bytes < segment.bytes {
                self.cancel.check()?;
                let chunk = reader.data()?;
                let left = usize::try_from(segment.bytes - written_bytes).unwrap_or(usize::MAX);
                let chunk = &chunk[..chunk.len().min(left)];
                let at = segment.offset + written_bytes;
                let written = match is_sparse {
                    true => write_data(file, chunk, at),
                    false => file.write_all_at(chunk, at),
                };
                written.map_err(|source| place(path, source))?;
                let bytes = chunk.len();
                if bytes == 0 {
                    return Err(reader.refused("has less data than it says").into());
                }
                written_bytes += bytes as u64;
                reader.consume(bytes);
            }
        }
        Ok(())
    }

    fn symlink(
        &mut self,
        path: &[u8],
        target: &[u8],
        attributes: &Attributes,
        writers: &mut Writers<'_>,
    ) -> Result<(), TargetError> {
        let spot = self.parents.spot(path, writers)?;
        if !self.options.links_outside && !symlink_stays_inside(path, target) {
            let target = display_path(target);
            let why = format!("it points outside the tree, to {target}");
            self.metadata.leave_out("symlink ", path, &why);
        } else {
            rustix::fs::symlinkat(target, &spot.parent, spot.name)
                .map_err(|errno| not_created(path, errno.into()))?;
            let parent = spot.parent.as_fd();
            self.metadata
                .apply_to_link(parent, spot.name, path, attributes)?;
        }
        Left::release(spot.left, self.metadata)
    }

    fn hard_link(
        &mut self,
        path: &[u8],
        target: &[u8],
        writers: &mut Writers<'_>,
    ) -> Result<(), TargetError> {
        let from = self.parents.spot(path, writers)?;
        let to = self.parents.existing(target)?;
        let (_, name) = parents::split(target);
        let stat = rustix::fs::statat(&to.parent, name, AtFlags::SYMLINK_NOFOLLOW);
        match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::RegularFile) => {
                let flags = AtFlags::empty();
                rustix::fs::linkat(&to.parent, name, &from.parent, from.name, flags)
                    .map_err(|errno| not_created(path, errno.into()))?;
            }
            Err(Errno::NOENT) if self.metadata.has_unfit() => {
                let why = format!(
                    "it is a further name of {}, which was left out",
                    display_path(target)
                );
                self.metadata.leave_out("", path, &why);
            }
            _ => {
                let why = "is a hard link to what is no file of this archive";
                return Err(TarError::refused(path, why).into());
            }
        }
        Left::release(from.left, self.metadata)
    }
}

/// What lends the rights of a file's owner, or the kernel's, to who runs it.
fn without_rights(attributes: &mut Attributes) {
    attributes.mode &= 0o1777;
    let lends = |name: &[u8]| name.starts_with(b"security.") || name.starts_with(b"trusted.");
    attributes.xattrs.retain(|xattr| !lends(&xattr.name));
}
