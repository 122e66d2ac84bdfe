//! A directory on this host as a storage. Owns how bytes become durable there:
//! a locked temporary beside the target, fsync, a rename that never replaces,
//! fsync of the directory. Refuses symlinks in place of objects, and a mount
//! that must be there and is not. Files are 0600 and directories that it makes
//! 0700, whatever the umask. Every step goes through the directory that was
//! opened, so that an unmount cannot turn a run towards the disk below.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{Advice, AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{
    ErrorKind, Hold, Key, PendingWrite, RECORDS, Storage, StorageError, StoredObject, split_prefix,
};
use directory::Directory;
use temporary::{Durability, PRIVATE_FILE, Publish, Temporary};

mod below;
mod directory;
mod temporary;

/// Backups below one directory.
pub struct LocalStorage {
    root: Arc<Directory>,
    durability: Durability,
    /// Of the files that it writes.
    mode: Mode,
    /// In place of the root.
    lock_dir: Option<PathBuf>,
}

impl LocalStorage {
    /// Opens `root`, and makes it (0700) with its missing parents. With
    /// `require_mount` nothing is made: `root` must be a mount point itself,
    /// else [`ErrorKind::NotMounted`].
    pub fn open(root: &Path, require_mount: bool) -> Result<Self, StorageError> {
        let root = std::path::absolute(root)
            .map_err(|e| StorageError::new("find", root.display().to_string(), e))?;
        let root = if require_mount {
            Directory::open_mounted(&root)?
        } else {
            Directory::open_or_make(&root)?
        };
        Ok(Self {
            root: Arc::new(root),
            durability: Durability::Synced,
            mode: PRIVATE_FILE,
            lock_dir: None,
        })
    }

    /// For output that can be made again, such as a decrypted file: commits are
    /// whole and at once, but not forced to disk.
    pub fn unsynced(self) -> Self {
        Self {
            durability: Durability::Unsynced,
            ..self
        }
    }

    /// For a file system that knows no locks: they lie in `directory`, and hold off this
    /// host's runs alone.
    pub fn locked_in(self, directory: Option<&Path>) -> Self {
        Self {
            lock_dir: directory.map(Path::to_owned),
            ..self
        }
    }

    /// For output that others read too, such as a web server: files get these
    /// permission bits before they are visible.
    pub fn with_mode(self, mode: u32) -> Self {
        Self {
            mode: Mode::from_raw_mode(mode),
            ..self
        }
    }

    fn key<'a>(&self, key: &'a str) -> Result<Key<'a>, StorageError> {
        Key::parse(key, &self.location())
    }

    /// The directory of a key that is to be written.
    fn directory_to_write(&self, key: Key<'_>) -> Result<Arc<Directory>, StorageError> {
        if key.is_record {
            self.root.make_below(RECORDS).map(Arc::new)
        } else {
            Ok(self.root.clone())
        }
    }

    /// The directory of a key that should exist.
    fn directory_to_read(&self, is_record: bool) -> Result<Arc<Directory>, StorageError> {
        if is_record {
            self.root.open_below(RECORDS).map(Arc::new)
        } else {
            Ok(self.root.clone())
        }
    }
}

impl Storage for LocalStorage {
    fn location(&self) -> String {
        self.root.path().display().to_string()
    }

    fn create(&self, key: &str) -> Result<Box<dyn PendingWrite>, StorageError> {
        let key = self.key(key)?;
        let directory = self.directory_to_write(key)?;
        // Said before hours of dumping; the rename at commit holds it again.
        if directory.has(key.name)? {
            let taken = rustix::io::Errno::EXIST;
            return Err(directory.failed("create", key.name, taken));
        }
        Ok(Box::new(LocalWrite {
            temporary: Temporary::create(directory, key.name, self.durability, self.mode)?,
        }))
    }

    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let key = self.key(key)?;
        let directory = self.directory_to_write(key)?;
        let mut temporary = Temporary::create(directory, key.name, self.durability, self.mode)?;
        temporary.write_whole(bytes)?;
        temporary.publish(Publish::Replacing)
    }

    fn overwrite(
        &self,
        key: &str,
        offset: u64,
        was: &[u8],
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let key = self.key(key)?;
        let directory = self.directory_to_read(key.is_record)?;
        let failed = |e: io::Error| directory.failed("overwrite", key.name, e);
        // One descriptor for the look and the write: a name can be given to another
        // file in between, whose owner would find our bytes in it.
        let file = open_regular(&directory, key.name, OFlags::RDWR)?;
        let names = file.metadata().map_err(failed)?.nlink();
        if names > 1 {
            let what = format!(
                "it has {names} hard links, so it is another file too; put a copy in its place \
                 (cp, then mv), and try again"
            );
            return Err(failed(io::Error::other(what)));
        }
        let mut found = vec![0; bytes.len()];
        file.read_exact_at(&mut found, offset).map_err(failed)?;
        if found != was {
            let what = "it is not what was read a moment ago; look who writes there, and try again";
            return Err(failed(io::Error::other(what)));
        }
        file.write_all_at(bytes, offset).map_err(failed)?;
        file.sync_data().map_err(failed)
    }

    fn open(&self, key: &str, offset: u64) -> Result<Box<dyn Read + Send>, StorageError> {
        let key = self.key(key)?;
        let directory = self.directory_to_read(key.is_record)?;
        let mut file = open_regular(&directory, key.name, OFlags::RDONLY)?;
        // Only a hint: a file system without it reads as well.
        let _ = rustix::fs::fadvise(&file, offset, None, Advice::Sequential);
        file.seek(SeekFrom::Start(offset))
            .map_err(|e| directory.failed("read", key.name, e))?;
        Ok(Box::new(LocalRead {
            file,
            directory,
            name: key.name.to_owned(),
        }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, StorageError> {
        let (is_record, start) = split_prefix(prefix);
        let directory = match self.directory_to_read(is_record) {
            // No run has written a record yet.
            Err(e) if is_record && e.kind == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut objects = Vec::new();
        for name in directory.names()? {
            let key = if is_record {
                format!("{RECORDS}/{name}")
            } else {
                name.clone()
            };
            if name.starts_with(start)
                && self.key(&key).is_ok()
                && let Some((bytes, modified)) = regular_file(&directory, &name)?
            {
                objects.push(StoredObject {
                    key,
                    bytes,
                    modified,
                });
            }
        }
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }

    fn misplaced(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let (is_record, start) = split_prefix(prefix);
        let directory = match self.directory_to_read(is_record) {
            Err(e) if is_record && e.kind == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = directory.not_regular()?;
        names.retain(|name| name.starts_with(start) && (is_record || name != RECORDS));
        if !is_record
            && matches!(self.directory_to_read(true), Err(e) if e.kind == ErrorKind::Misplaced)
        {
            names.push(RECORDS.to_owned());
        }
        names.sort();
        Ok(names)
    }

    fn remove(&self, key: &str) -> Result<(), StorageError> {
        let key = self.key(key)?;
        let directory = self.directory_to_read(key.is_record)?;
        rustix::fs::unlinkat(directory.fd(), key.name, AtFlags::empty())
            .map_err(|e| directory.failed("remove", key.name, e))?;
        // Callers remove manifest, then archive: a power cut between must find
        // them in that order.
        directory.sync()
    }

    fn data_bytes(&self, key: &str) -> Result<Option<u64>, StorageError> {
        let key = self.key(key)?;
        let directory = self.directory_to_read(key.is_record)?;
        let file = open_regular(&directory, key.name, OFlags::RDONLY)?;
        Ok(data_bytes(&file).ok())
    }

    fn hold(&self, key: &str) -> Result<Option<Hold>, StorageError> {
        let key = self.key(key)?;
        let directory = self.directory_to_read(key.is_record)?;
        let file = open_regular(&directory, key.name, OFlags::RDONLY)?;
        // Some network mounts have no locks.
        let held = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared);
        Ok(held.ok().map(|()| Hold(file)))
    }

    fn is_held(&self, key: &str) -> bool {
        let file = self.key(key).and_then(|key| {
            let directory = self.directory_to_read(key.is_record)?;
            open_regular(&directory, key.name, OFlags::RDONLY)
        });
        let free =
            file.map(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive));
        matches!(free, Ok(Err(Errno::WOULDBLOCK)))
    }

    fn sweep(&self) -> Result<Vec<String>, StorageError> {
        let mut swept = temporary::sweep(&self.root)?;
        match self.directory_to_read(true) {
            Ok(records) => swept.extend(temporary::sweep(&records)?),
            Err(e) if e.kind == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        Ok(swept)
    }

    fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(self.root.fd()).ok()?;
        stat.f_bavail.checked_mul(stat.f_frsize)
    }

    fn total_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(self.root.fd()).ok()?;
        stat.f_blocks.checked_mul(stat.f_frsize)
    }

    fn free_inodes(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(self.root.fd()).ok()?;
        self.total_inodes().map(|_| stat.f_favail)
    }

    fn total_inodes(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(self.root.fd()).ok()?;
        // Some file systems make them as they need them, and say 0.
        Some(stat.f_files).filter(|total| *total > 0)
    }

    fn local_root(&self) -> Option<&Path> {
        Some(self.root.path())
    }

    fn lock_file(&self, name: &str) -> Result<Option<PathBuf>, StorageError> {
        let in_root = || Ok(self.root.path().join(name));
        let lock_dir = self.lock_dir.as_ref();
        let file = lock_dir.map_or_else(in_root, |dir| self.root.file_in(dir, name));
        file.map(Some)
    }
}

/// Asks the file system where its holes are: blocks that are counted tell of
/// compression too, and some count those of a new file late or never. Of a file of very
/// many pieces they are all the same what is told.
fn data_bytes(file: &File) -> Result<u64, Errno> {
    const PIECES_MAX: u32 = 10_000;
    let (mut data, mut at) = (0, 0);
    for _ in 0..PIECES_MAX {
        let begin = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
            Err(Errno::NXIO) => return Ok(data),
            begin => begin?,
        };
        let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(begin))?;
        data += end.saturating_sub(begin);
        at = end.max(begin + 1);
    }
    let blocks = rustix::fs::fstat(file)?.st_blocks;
    Ok(u64::try_from(blocks).unwrap_or(0).saturating_mul(512))
}

const NOT_REGULAR: &str = "it is not a regular file";

/// Neither follows a symlink nor waits at a fifo.
fn open_regular(directory: &Directory, name: &str, how: OFlags) -> Result<File, StorageError> {
    let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: File = rustix::fs::openat(directory.fd(), name, flags, Mode::empty())
        .map_err(|e| directory.failed("open", name, e))?
        .into();
    let metadata = file
        .metadata()
        .map_err(|e| directory.failed("open", name, e))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        let odd = io::Error::new(io::ErrorKind::IsADirectory, NOT_REGULAR);
        Err(directory.failed("open", name, odd))
    }
}

/// Size and time of a regular file; `None` for anything else, and for a file
/// that went away since its name was read.
fn regular_file(
    directory: &Directory,
    name: &str,
) -> Result<Option<(u64, Timestamp)>, StorageError> {
    let stat = match rustix::fs::statat(directory.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(e) => return Err(directory.failed("look at", name, e)),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    // A time outside of the calendar is a damaged inode's: listed all the same.
    let nanosecond = i32::try_from(stat.st_mtime_nsec).unwrap_or(0);
    let modified = Timestamp::new(stat.st_mtime, nanosecond).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Some((u64::try_from(stat.st_size).unwrap_or(0), modified)))
}

struct LocalWrite {
    temporary: Temporary,
}

impl Write for LocalWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.temporary.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Nothing is held back here; durability is commit's.
        Ok(())
    }
}

impl PendingWrite for LocalWrite {
    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        self.temporary.publish(Publish::New)
    }
}

/// Gives read errors their place.
struct LocalRead {
    file: File,
    directory: Arc<Directory>,
    name: String,
}

impl Read for LocalRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            // The standard library retries it, if it can still see it.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            other => other.map_err(|e| self.directory.failed("read", &self.name, e).into()),
        }
    }
}
