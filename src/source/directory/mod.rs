//! A source tree as a tar stream. Owns the order (directories before their
//! content, names by their bytes), the counts and the named problems.
//!
//! Refuses only a root that is missing or no directory: files that vanish,
//! change or cannot be read are named and counted, and the archive stays valid.
//! Invariant: an unchanged tree gives the same bytes every time.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::cancel::Cancel;
use crate::format::manifest::{TreeContent, TreeProblem, TreeSpecial};
use crate::format::tar::{
    Attributes, Entry, EntryKind, encode, end_of_archive, listed_path, padding,
};
use crate::source::{Produced, Source};

mod attributes;
mod content;
mod hard_links;
mod marks;
mod opening;
mod seen;
mod select;
mod start;
mod status;
mod walk;

use attributes::AttributeReader;
use content::{ContentProblem, FileContent, find_segments, read_unannounced, whole};
use hard_links::HardLinks;
pub use select::{DEFAULT_EXCLUDES, excludes_below};
use status::Status;
use walk::{Found, Met, Walk};

/// The problems beyond this many, and beyond so many bytes of paths, are counted,
/// but not named.
const NAMED_PROBLEMS: usize = 1_000;
const NAMED_BYTES: usize = 1 << 20;

/// What of a tree is left out.
#[derive(Clone, Debug)]
pub struct TreeOptions {
    /// Patterns; see [`DEFAULT_EXCLUDES`] for their kind.
    pub excludes: Vec<String>,
    /// Whether the content of directories with a valid `CACHEDIR.TAG` is left out.
    pub exclude_caches: bool,
    /// Directories that hold a file of such a name are left out. The root
    /// itself never is: whoever named it wants it.
    pub exclude_if_present: Vec<String>,
    /// Whether the walk stays on the root's file system; mount points below it
    /// are kept as empty directories.
    pub one_file_system: bool,
    /// Whether [`DEFAULT_EXCLUDES`] count.
    pub default_excludes: bool,
    /// A directory that is left out wherever it is come to, also behind a bind mount:
    /// the storage's own, so that a backup never holds itself and those before it.
    pub storage: Option<PathBuf>,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self {
            excludes: Vec::new(),
            exclude_caches: false,
            exclude_if_present: Vec::new(),
            one_file_system: false,
            default_excludes: true,
            storage: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error(
        "cannot read {root}: {source}; name a directory or a file that exists and that this user \
         may read"
    )]
    Root {
        root: String,
        #[source]
        source: io::Error,
    },
    #[error("the exclude pattern \"{pattern}\" is not valid: {why}")]
    Pattern { pattern: String, why: String },
    #[error(
        "the exclude pattern \"{pattern}\" is an absolute path that does not lie below {root}, \
         and nothing there begins so; write it relative to {root}, or leave it out"
    )]
    Elsewhere { pattern: String, root: String },
    #[error("{root} is the storage itself, which no backup can hold; name another directory")]
    Storage { root: String },
}

const MOVED: &str = "it was moved, or a directory above it, before it was read";
const LATE: &str = "it was moved here while the tree was read, as others may have been that were \
                    missed; back up again when nothing is moved about";

/// Reads a directory tree as a tar stream.
pub struct DirectorySource {
    walk: Walk,
    attributes: AttributeReader,
    /// Headers and padding that wait to be read, from `pending_at`.
    pending: Vec<u8>,
    pending_at: usize,
    body: Option<FileContent>,
    body_path: Vec<u8>,
    linked: HardLinks,
    content: TreeContent,
    /// Of the paths of its problems.
    named_bytes: usize,
    ended: bool,
    cancel: Cancel,
}

impl DirectorySource {
    /// Opens `root`. Nothing below it is read before the first `read`.
    pub fn new(root: &Path, options: TreeOptions, cancel: Cancel) -> Result<Self, TreeError> {
        let excludes = described_excludes(&options);
        let (walk, status) = Walk::new(root, options)?;
        let content = TreeContent {
            root: root.to_string_lossy().into_owned(),
            excludes: match walk.is_file() {
                true => Vec::new(),
                false => excludes,
            },
            ..TreeContent::default()
        };
        let mut source = Self {
            walk,
            attributes: AttributeReader::new(),
            pending: Vec::new(),
            pending_at: 0,
            body: None,
            body_path: Vec::new(),
            linked: HardLinks::default(),
            content,
            named_bytes: 0,
            ended: false,
            cancel,
        };
        source.add_directory(&status);
        Ok(source)
    }

    /// Brings the next entry's headers into `pending`, or the archive's end.
    fn advance(&mut self) -> io::Result<()> {
        self.cancel.check_io()?;
        self.pending.clear();
        self.pending_at = 0;
        match self.walk.next() {
            Some(Found::Directory(status)) => self.add_directory(&status),
            Some(Found::File(file, status)) => self.add_file(file, &status),
            Some(Found::Symlink(target, status)) => self.add_symlink(target, &status),
            Some(Found::Special(kind)) => self.add_special(kind),
            Some(Found::Known) => {}
            Some(Found::Late(status)) => {
                self.add_directory(&status);
                self.report("changed", LATE.to_owned());
            }
            Some(Found::Moved) => self.report("unreadable", MOVED.to_owned()),
            Some(Found::Vanished) => self.report("vanished", "it is gone".to_owned()),
            Some(Found::Unreadable(why)) => self.report("unreadable", why),
            None => {
                self.ended = true;
                self.pending.extend_from_slice(end_of_archive());
            }
        }
        Ok(())
    }

    fn add_directory(&mut self, status: &Status) {
        // What a single file lies in is no part of the tree.
        let is_known = !self.walk.is_file();
        let open = self.walk.directory().filter(|_| is_known);
        let (attributes, read) = self.attributes.read(status, open);
        self.report_attributes(read);
        if self.write(EntryKind::Directory, attributes) {
            self.content.directories += 1;
        }
    }

    fn add_special(&mut self, kind: FileType) {
        self.content.special += 1;
        let path = self.walk.path();
        let has_room = self.named_bytes + path.len() <= NAMED_BYTES;
        if has_room && self.content.specials.len() < NAMED_PROBLEMS {
            self.named_bytes += path.len();
            self.content.specials.push(TreeSpecial {
                path: listed_path(path),
                kind: word_of(kind).to_owned(),
            });
        }
    }

    fn add_symlink(&mut self, target: Vec<u8>, status: &Status) {
        let (attributes, _) = self.attributes.read(status, None);
        if self.write(EntryKind::Symlink { target }, attributes) {
            self.content.symlinks += 1;
        }
    }

    fn add_file(&mut self, file: OwnedFd, status: &Status) {
        let (attributes, read) = self.attributes.read(status, Some(file.as_fd()));
        self.report_attributes(read);
        let birth = match status.links {
            0 | 1 => None,
            _ => hard_links::birth(&file),
        };
        if let Some(target) = self.linked.further(status, birth) {
            return self.add_further_name(target, attributes);
        }
        let unannounced = match status.bytes {
            0 => read_unannounced(&file).unwrap_or_else(|why| {
                self.report("unreadable", why);
                Vec::new()
            }),
            _ => Vec::new(),
        };
        let bytes = status.bytes.max(unannounced.len() as u64);
        let (kind, segments) = match find_segments(&file, status) {
            Ok(Some(segments)) => {
                let kind = EntryKind::SparseFile {
                    bytes,
                    segments: segments.clone(),
                };
                (kind, segments)
            }
            Ok(None) => (EntryKind::File { bytes }, whole(bytes)),
            Err(hollow) => return self.report("unreadable", hollow.to_string()),
        };
        if !self.write(kind, attributes) {
            return;
        }
        self.content.files += 1;
        // A tree of sparse files may claim more than can be counted.
        self.content.bytes = self.content.bytes.saturating_add(bytes);
        if let Err(full) = self.linked.add(self.walk.path(), status, birth) {
            self.report("changed", full.to_string());
        }
        self.body_path.clear();
        self.body_path.extend_from_slice(self.walk.path());
        self.body = Some(match unannounced.is_empty() {
            true => FileContent::new(file, *status, segments),
            false => FileContent::unannounced(file, *status, unannounced),
        });
    }

    fn add_further_name(&mut self, target: Vec<u8>, attributes: Attributes) {
        // What the file is was said at its first name.
        let attributes = Attributes {
            xattrs: Vec::new(),
            ..attributes
        };
        if self.write(EntryKind::HardLink { target }, attributes) {
            self.content.hard_links += 1;
        }
    }

    /// Puts the headers of an entry at the present path into `pending`.
    fn write(&mut self, kind: EntryKind, attributes: Attributes) -> bool {
        let entry = Entry {
            path: self.walk.path().to_vec(),
            kind,
            attributes,
        };
        match encode(&entry, &mut self.pending) {
            Ok(()) => true,
            Err(error) => {
                self.report("unreadable", error.to_string());
                false
            }
        }
    }

    fn finish_body(&mut self, body: FileContent) {
        let (bytes, problem) = body.finish();
        self.pending.clear();
        self.pending_at = 0;
        self.pending.extend_from_slice(padding(bytes));
        let path = std::mem::take(&mut self.body_path);
        match problem {
            None => {}
            Some(ContentProblem::Changed) => {
                let detail = "it changed while it was read";
                self.report_at(&path, "changed", detail.to_owned());
            }
            Some(ContentProblem::Unreadable(errno)) => {
                let detail = format!("{errno}; zeros stand for what could not be read");
                self.report_at(&path, "unreadable", detail);
            }
        }
        self.body_path = path;
    }

    fn report_attributes(&mut self, read: Result<(), rustix::io::Errno>) {
        if let Err(errno) = read {
            self.report("unreadable", format!("its extended attributes: {errno}"));
        }
    }

    fn report(&mut self, problem: &str, detail: String) {
        let path = self.walk.path().to_vec();
        self.report_at(&path, problem, detail);
    }

    fn report_at(&mut self, path: &[u8], problem: &str, detail: String) {
        match problem {
            "changed" => self.content.changed += 1,
            "vanished" => self.content.vanished += 1,
            _ => self.content.unreadable += 1,
        }
        let has_room = self.named_bytes + path.len() <= NAMED_BYTES;
        if has_room && self.content.problems.len() < NAMED_PROBLEMS {
            self.named_bytes += path.len();
            self.content.problems.push(TreeProblem {
                path: listed_path(path),
                problem: problem.to_owned(),
                detail,
            });
        }
    }
}

impl Read for DirectorySource {
    /// Fills `out` whole, but at the end of the stream.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.cancel.check_io()?;
        let mut filled = 0;
        while filled < out.len() {
            let waiting = &self.pending[self.pending_at..];
            if !waiting.is_empty() {
                let step = waiting.len().min(out.len() - filled);
                out[filled..filled + step].copy_from_slice(&waiting[..step]);
                self.pending_at += step;
                filled += step;
            } else if let Some(mut body) = self.body.take() {
                match body.fill(&mut out[filled..]) {
                    0 => self.finish_body(body),
                    step => {
                        filled += step;
                        self.body = Some(body);
                    }
                }
            } else if self.ended {
                break;
            } else {
                self.advance()?;
            }
        }
        Ok(filled)
    }
}

impl Source for DirectorySource {
    fn finish(self: Box<Self>) -> Produced {
        let Met { storage, caches } = self.walk.met().clone();
        let mut content = self.content;
        content.caches = caches;
        content.excludes.extend(storage.map(|path| {
            let place = Path::new(&content.root).join(OsStr::from_bytes(&path));
            format!("{} (the storage itself)", place.display())
        }));
        Produced::Tree(content)
    }
}

fn word_of(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::BlockDevice => "block device",
        FileType::CharacterDevice => "character device",
        _ => "unknown",
    }
}

/// What was left out on purpose, for the manifest: the patterns and the flags.
fn described_excludes(options: &TreeOptions) -> Vec<String> {
    let mut described: Vec<String> = select::patterns(options).collect();
    let markers = options.exclude_if_present.iter();
    described.extend(markers.map(|marker| format!("--exclude-if-present={marker}")));
    if options.exclude_caches {
        described.push("--exclude-caches".to_owned());
    }
    if options.one_file_system {
        described.push("--one-file-system".to_owned());
    }
    described
}
