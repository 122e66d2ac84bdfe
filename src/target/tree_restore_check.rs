//! Proves a tree: restores it into a directory that is thrown away, and reads
//! that again as a backup would.
//!
//! Owns the copy, which is gone when this is dropped. Refuses to judge a copy
//! that this user cannot read whole.

use std::io::{self, BufRead, ErrorKind, Read};
use std::path::PathBuf;

use super::{DirectoryTarget, Received, RestoreTreeOptions, Target, TargetError};
use crate::cancel::Cancel;
use crate::reached::Reached;
use crate::scratch::Scratch;
use crate::source::{DirectorySource, Produced, Source, TreeOptions};
use crate::words::plural;

const READ_BYTES: usize = 1 << 18;

/// The target of `verify --restore` for a source tree.
pub struct TreeRestoreCheck {
    work_dir: PathBuf,
    /// What the files take without their holes.
    bytes: u64,
    /// How many names are in it.
    entries: u64,
    cancel: Cancel,
    copy: Option<Restored>,
}

/// The restored tree. Its fields are dropped in their order.
struct Restored {
    target: Option<Box<DirectoryTarget>>,
    root: PathBuf,
    _scratch: Scratch,
}

impl TreeRestoreCheck {
    /// Does nothing yet.
    pub fn new(work_dir: PathBuf, bytes: u64, entries: u64, cancel: Cancel) -> Self {
        Self {
            work_dir,
            bytes,
            entries,
            cancel,
            copy: None,
        }
    }

    fn check_room(&self) -> Result<(), TargetError> {
        let files = Scratch::free_files(&self.work_dir)?;
        if let Some(files) = files.filter(|files| *files < self.entries) {
            let wanted = self.entries;
            let what = format!(
                "{files} files can still be made there, {wanted} are needed; set work_dir or \
                 TMPDIR"
            );
            return Err(self.at_work_dir(io::Error::new(ErrorKind::StorageFull, what)));
        }
        let free = Scratch::free_bytes(&self.work_dir)?;
        if free >= self.bytes {
            return Ok(());
        }
        let (free, wanted) = (free >> 20, self.bytes.div_ceil(1 << 20));
        let what = format!("{free} MiB are free, {wanted} MiB are needed; set work_dir or TMPDIR");
        Err(self.at_work_dir(io::Error::new(ErrorKind::StorageFull, what)))
    }

    fn at_work_dir(&self, source: io::Error) -> TargetError {
        TargetError::Place {
            action: "prove a tree in",
            place: self.work_dir.display().to_string(),
            source,
        }
    }

    /// Reads the tree to its end as a backup of all of it would.
    fn read_tree(&self, copy: &Restored) -> Result<Produced, io::Error> {
        let everything = TreeOptions {
            default_excludes: false,
            ..TreeOptions::default()
        };
        let source = DirectorySource::new(&copy.root, everything, self.cancel.clone());
        let mut source = source.map_err(io::Error::other)?;
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(Box::new(source).finish()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Target for TreeRestoreCheck {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        Scratch::sweep(&self.work_dir);
        self.check_room()?;
        let scratch = Scratch::create(&self.work_dir, "proof")?;
        let root = scratch.path().join("tree");
        // As a restore does it.
        let options = RestoreTreeOptions {
            is_throwaway: true,
            ..RestoreTreeOptions::default()
        };
        let target = DirectoryTarget::new(&root, options, self.cancel.clone())?;
        let copy = self.copy.insert(Restored {
            target: None,
            root,
            _scratch: scratch,
        });
        let target = copy.target.insert(Box::new(target));
        let received = target.receive(stream)?;
        if received.left_out > 0 {
            let named = |text: &&String| text.contains("left out");
            let first = received.warnings.iter().find(named);
            let first = first.map_or("", String::as_str);
            let what = format!(
                "{} {} not fit its file system ({first}); choose another with work_dir",
                received.left_out,
                plural(received.left_out, "entry does", "entries do")
            );
            return Err(self.at_work_dir(io::Error::new(ErrorKind::FileTooLarge, what)));
        }
        Ok(Received {
            // Owners that only root could set are no matter of a copy.
            warnings: Vec::new(),
            ..received
        })
    }

    fn read_back(&mut self, _advance: &dyn Fn(u64)) -> Result<Option<Received>, TargetError> {
        let Some(mut copy) = self.copy.take() else {
            return Ok(None);
        };
        if let Some(mut target) = copy.target.take() {
            target.commit(&mut Reached::default())?;
        }
        let read = self.read_tree(&copy);
        self.cancel.check()?;
        let Produced::Tree(tree) = read.map_err(|error| self.at_work_dir(error))? else {
            return Ok(None);
        };
        if tree.unreadable > 0 {
            let what = format!(
                "{} of the copy's entries cannot be read by this user; prove it as root",
                tree.unreadable
            );
            let source = io::Error::new(ErrorKind::PermissionDenied, what);
            return Err(self.at_work_dir(source));
        }
        Ok(Some(Received {
            tree: Some(tree),
            ..Received::default()
        }))
    }

    /// What was proven is thrown away.
    fn commit(&mut self, _: &mut Reached) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }
}
