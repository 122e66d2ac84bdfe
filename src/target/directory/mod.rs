//! Restores a tree into a new or empty directory, entry by entry. Owns what may
//! become of an entry; the tar module has refused what no entry may say.
//!
//! Refuses entries that come twice, that go through a symlink or that link to
//! what the archive did not bring. Symlinks that lead outside the tree are made and
//! named, or left out where that is asked for. Owners go by number, never by name.
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
use crate::paths::Dir;
use crate::reached::Reached;
use crate::scratch::Filling;
use crate::target::chosen::Chosen;
use crate::target::tree_check::count_entry;
use crate::target::{Received, Target, TargetError};

mod holes;
mod inside;
mod metadata;
mod names;
mod options;
mod parents;
mod staging;
mod writers;

use holes::write_data;
use metadata::Metadata;
pub use options::RestoreTreeOptions;
use options::without_rights;
use parents::{IMPLIED, Left, Parents, Spot, place};
use staging::{Destination, Staging, forget_acls};
use writers::{Failure, Writers, create, not_created, not_possible};

/// Files from this size on are not collected, but written as they come.
const STREAMED_BYTES: u64 = 1 << 20;

/// A tree on its way into a directory.
pub struct DirectoryTarget {
    destination: Arc<Destination>,
    options: RestoreTreeOptions,
    cancel: Cancel,
    metadata: Metadata,
    /// With what a destination that is filled as it stands gets.
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
        let reserve = self.options.reserve(staging.root())?;
        let failure = Failure::default();
        let mut receiving = Receiving {
            options: &self.options,
            chosen: Chosen::new(self.options.paths.as_ref()),
            cancel: &self.cancel,
            metadata: &self.metadata,
            parents: Parents::new(staging.root(), &self.metadata),
            filling: Filling::new(staging.root().as_fd(), reserve),
            content: TreeContent::default(),
        };
        let root = thread::scope(|scope| {
            let mut writers = Writers::start(scope, &self.metadata, &failure)?;
            let mut reader = TarReader::new(stream);
            while let Some(entry) = reader.next_entry()? {
                self.cancel.check()?;
                receiving.entry(entry, &mut reader, &mut writers)?;
                failure.check()?;
            }
            let root = receiving.parents.finish()?;
            writers.wait()?;
            Ok::<_, TargetError>(root)
        })?;
        let (content, chosen) = (receiving.content, receiving.chosen.count());
        if chosen == Some(0) {
            return Err(TargetError::NothingChosen);
        }
        let top = match (root, staging.filled()) {
            (Some(attributes), Some(filled)) => {
                self.metadata.may_change(filled).then_some(attributes)
            }
            (None, Some(_)) => None,
            // It is still out of everybody's reach.
            (Some(attributes), None) => {
                let root = staging.root().as_fd();
                self.metadata.apply(root, b"", &attributes)?;
                None
            }
            (None, None) => {
                set_mode(&staging, IMPLIED)?;
                None
            }
        };
        self.received = Some((staging, top));
        Ok(Received {
            tree: Some(content),
            chosen,
            left_out: self.metadata.left_out(),
            not_set: self.metadata.not_set(),
            warnings: self.metadata.take_warnings(),
            ..Received::default()
        })
    }

    fn commit(&mut self, reached: &mut Reached) -> Result<Vec<String>, TargetError> {
        let Some((staging, top)) = &mut self.received else {
            let source = std::io::Error::other("nothing was received");
            return Err(place(b"", source));
        };
        if staging.filled().is_some() {
            let metadata = &self.metadata;
            let set = |filled: &Dir| match top {
                Some(attributes) => {
                    // What the archive does not grant.
                    let _ = forget_acls(filled);
                    metadata.apply(filled.as_fd(), b"", attributes)
                }
                None => Ok(()),
            };
            return staging.fill(set, reached).map(|()| Vec::new());
        }
        let mode = staging.root().mode();
        let mode = mode.map_err(|errno| place(b"", errno.into()))?;
        // To be moved, a directory must be writable for all but root.
        let shut = !mode.contains(Mode::WUSR) && !self.metadata.is_root();
        if shut {
            set_mode(staging, mode | Mode::WUSR)?;
        }
        staging.publish(shut.then_some(mode), reached)?;
        Ok(Vec::new())
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
    options: &'a RestoreTreeOptions,
    chosen: Chosen<'a>,
    cancel: &'a Cancel,
    metadata: &'a Metadata,
    parents: Parents<'a>,
    filling: Filling<'a>,
    content: TreeContent,
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
        if !self.chosen.takes(&entry)? {
            return Ok(());
        }
        self.takes(0)?;
        for (above, attributes) in self.chosen.above() {
            self.parents.directory(&above, attributes, writers)?;
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

    /// A plain error before the last file, or byte, of the file system is taken.
    fn takes(&self, bytes: u64) -> Result<(), TargetError> {
        let taken = self.filling.takes(bytes);
        taken.map_err(|shortage| self.options.no_room(shortage))
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
            self.takes(bytes as u64)?;
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
                self.takes(bytes as u64)?;
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
        let leads_outside = !symlink_stays_inside(path, target);
        if leads_outside && !self.options.links_outside {
            let target = display_path(target);
            let why = format!("it leads outside the tree, to {target}");
            self.metadata.leave_out("symlink ", path, &why);
        } else {
            if leads_outside {
                self.metadata.tell_outside(path, target);
            }
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
        if !self.chosen.fits(target) {
            let target = display_path(target);
            let why = format!("it is a further name of {target}, which is not chosen");
            self.metadata.leave_out("", path, &why);
            return Ok(());
        }
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
