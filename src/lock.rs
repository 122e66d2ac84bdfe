//! One run at a time. Owns an advisory lock (flock) on a file that is held open
//! and never unlinked, so that the kernel lets go when the holder dies, however
//! it dies. Backup and prune take it exclusively; verify and restore share it.
//! The file tells who holds it, one JSON line each: for messages only, the lock
//! itself never depends on what stands there.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::cancel::{Cancel, Cancelled};

/// In a storage's directory, or in the one that `lock_dir` gives.
pub const FILE_NAME: &str = "kluis.lock";

/// Also the longest that a signal waits to be seen.
pub const POLL: Duration = Duration::from_millis(100);
/// How long a run that has just taken the lock has to sign: a moment, but on a
/// busy machine.
const SIGNING: Duration = Duration::from_millis(500);
const SIGNING_POLL: Duration = Duration::from_millis(10);
/// Enough for every living holder; a hostile file cannot fill the memory.
const HOLDERS_BYTES_MAX: u64 = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// For what writes or removes backups.
    Exclusive,
    /// For what only needs them to stay.
    Shared,
}

/// Who holds a lock, as the lock's file tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The subcommand: "backup db".
    pub command: String,
    pub pid: u32,
    pub host: String,
    pub since: Timestamp,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            command,
            pid,
            host,
            since,
        } = self;
        write!(f, "kluis {command} (pid {pid} on {host}) since {since:.0}")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Exit code 6 at the edge.
    #[error("{} is locked: held by {}; try again when it is done, or wait for it with --lock-wait",
        .path.display(), shown(.holders))]
    Held {
        path: PathBuf,
        /// Those that still run, as far as this host can tell.
        holders: Vec<Holder>,
    },
    #[error("cannot {action} the lock {}: {source}; check who owns it", .path.display())]
    Place {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl LockError {
    /// Whether nobody can write where the lock would be, so that nobody holds it.
    pub fn is_read_only(&self) -> bool {
        let read_only = io::ErrorKind::ReadOnlyFilesystem;
        matches!(self, Self::Place { source, .. } if source.kind() == read_only)
    }

    /// Whether we cannot write there, and others perhaps can.
    pub fn is_for_others(&self) -> bool {
        let denied = io::ErrorKind::PermissionDenied;
        matches!(self, Self::Place { source, .. } if source.kind() == denied || is_full(source))
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// "kluis prune (pid 7 on db1) since ...", for each of them.
pub fn shown(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "another run".to_owned();
    }
    let each: Vec<String> = holders.iter().map(Holder::to_string).collect();
    each.join(", and by ")
}

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    kind: LockKind,
}

impl Lock {
    /// Takes the lock on `path`, whose directory exists. Tries once without
    /// `wait`, else until that much time has passed.
    pub fn acquire(
        path: &Path,
        kind: LockKind,
        wait: Option<Duration>,
        holder: &Holder,
        cancel: &Cancel,
    ) -> Result<Self, LockError> {
        // A wait beyond what the clock can tell is a wait for ever.
        let deadline = Instant::now().checked_add(wait.unwrap_or_default());
        let mut nobody_since = None;
        loop {
            cancel.check()?;
            if let Some(file) = try_lock(path, kind, cancel)? {
                let mut lock = Self { file, kind };
                match lock.sign(holder) {
                    // Held all the same: a full disk is where prune is needed.
                    Err(error) if is_full(&error) => {}
                    signed => signed.map_err(|source| place("write", path, source))?,
                }
                return Ok(lock);
            }
            let left = deadline.map_or(POLL, |at| at.saturating_duration_since(Instant::now()));
            if !left.is_zero() {
                std::thread::sleep(left.min(POLL));
                continue;
            }
            let holders = living_holders(path, &holder.host);
            // It has not signed yet, or is gone by now.
            if holders.is_empty()
                && nobody_since.get_or_insert_with(Instant::now).elapsed() < SIGNING
            {
                std::thread::sleep(SIGNING_POLL);
                continue;
            }
            return Err(LockError::Held {
                path: path.to_owned(),
                holders,
            });
        }
    }

    /// Shared holders add their lines; an exclusive one clears those of the past.
    fn sign(&mut self, holder: &Holder) -> io::Result<()> {
        let mut line = serde_json::to_vec(holder)?;
        line.push(b'\n');
        if self.kind == LockKind::Exclusive {
            self.file.set_len(0)?;
        }
        self.file.write_all(&line)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.kind == LockKind::Exclusive {
            // Only so that nobody reads an old line; closing unlocks.
            let _ = self.file.set_len(0);
        }
    }
}

fn place(action: &'static str, path: &Path, source: impl Into<io::Error>) -> LockError {
    LockError::Place {
        action,
        path: path.to_owned(),
        source: source.into(),
    }
}

/// `None` if another run holds it.
fn try_lock(path: &Path, kind: LockKind, cancel: &Cancel) -> Result<Option<File>, LockError> {
    let operation = match kind {
        LockKind::Exclusive => FlockOperation::NonBlockingLockExclusive,
        LockKind::Shared => FlockOperation::NonBlockingLockShared,
    };
    // Somebody may change the name again and again.
    loop {
        cancel.check()?;
        let file = open(path)?;
        match rustix::fs::flock(&file, operation) {
            Ok(()) if is_still_named(&file, path)? => return Ok(Some(file)),
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            // Nobody can hold it for himself either, as a backup has to.
            Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) if kind == LockKind::Shared => {
                return Ok(Some(file));
            }
            Err(e @ (Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP)) => {
                let why = format!(
                    "{e}: its file system knows no locks. If only this host backs up there, set \
                     lock_dir = \"/run/kluis\" under [storage] in kluis.toml, or on NFS mount it \
                     with local_lock=flock; else start the server's lock daemon. Restoring and \
                     verifying work without"
                );
                return Err(place("take", path, io::Error::other(why)));
            }
            Err(e) => return Err(place("take", path, e)),
        }
    }
}

/// Somebody may have removed the file by hand since it was opened: then the
/// next run would lock another one, and both would run.
fn is_still_named(file: &File, path: &Path) -> Result<bool, LockError> {
    let failed = |e: io::Error| place("look at", path, e);
    let own = file.metadata().map_err(failed)?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(failed(e)),
    }
}

/// 0600 from the start; the umask can only take rights away.
fn open(path: &Path) -> Result<File, LockError> {
    let flags = OFlags::RDWR | OFlags::APPEND;
    let file = match open_regular(path, flags | OFlags::CREATE | OFlags::EXCL) {
        Ok(made) => {
            give_to_owner(&made, path);
            made
        }
        // It is there, or was; gone again, the next run makes it.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            let there = open_regular(path, flags | OFlags::CREATE);
            there.map_err(|e| place("open", path, e))?
        }
        Err(e) => return Err(place("open", path, e)),
    };
    let metadata = file.metadata().map_err(|e| place("look at", path, e))?;
    // Who holds it empties it: whoever can write here could have named another file.
    match metadata.nlink() {
        0 | 1 => Ok(file),
        names => {
            let what = format!(
                "it has {names} hard links, so it is another file too; remove this name of it \
                 while no kluis runs, and look who put it there"
            );
            Err(place("sign", path, io::Error::other(what)))
        }
    }
}

/// As in a storage: what root has just made is the directory's owner's, who is to
/// lock it too.
fn give_to_owner(made: &File, path: &Path) {
    let parent = path.parent().and_then(|it| std::fs::metadata(it).ok());
    let Some(owner) = parent.filter(|it| it.uid() != 0) else {
        return;
    };
    if rustix::process::geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
        // Where owners cannot be set, it stays root's.
        let _ = rustix::fs::fchown(made, Some(uid), Some(gid));
    }
}

/// Neither follows a symlink nor waits at a fifo: others may be able to write
/// where the lock is.
fn open_regular(path: &Path, how: OFlags) -> io::Result<File> {
    let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let misplaced = || {
        let what = "it is not a regular file; remove it";
        io::Error::new(io::ErrorKind::InvalidInput, what)
    };
    let file: File = match rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)) {
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return Err(misplaced()),
        opened => opened?.into(),
    };
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(misplaced()),
    }
}

/// Leaves out processes of this host that are gone. What cannot be read is
/// nobody: the answer is for a message. A run that shares the lock again and
/// again, once for each archive that it verifies, is one holder.
fn living_holders(path: &Path, host: &str) -> Vec<Holder> {
    let text = read_lines(path).unwrap_or_default();
    let mut holders: Vec<Holder> = Vec::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let Ok(holder) = serde_json::from_str::<Holder>(line) else {
            continue;
        };
        if holder.host == host && !process_exists(holder.pid) {
            continue;
        }
        let who = |it: &Holder| (it.host.clone(), it.pid, it.command.clone());
        holders.retain(|other| who(other) != who(&holder));
        holders.push(holder);
    }
    holders
}

/// The end of the file, where the latest holders signed.
fn read_lines(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = open_regular(path, OFlags::RDONLY)?;
    let start = file.metadata()?.len().saturating_sub(HOLDERS_BYTES_MAX);
    file.seek(SeekFrom::Start(start))?;
    let mut text = Vec::new();
    file.take(HOLDERS_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

fn process_exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn holder(command: &str) -> Holder {
        Holder {
            command: command.to_owned(),
            pid: std::process::id(),
            host: "here".to_owned(),
            since: "2026-01-18T10:30:00Z".parse().unwrap(),
        }
    }

    fn acquire(path: &Path, kind: LockKind, command: &str) -> Result<Lock, LockError> {
        Lock::acquire(path, kind, None, &holder(command), &Cancel::default())
    }

    fn lock_file() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        (directory, path)
    }

    #[test]
    fn a_second_run_is_told_who_holds_it() {
        let (_directory, path) = lock_file();
        let first = acquire(&path, LockKind::Exclusive, "backup db").unwrap();
        for kind in [LockKind::Exclusive, LockKind::Shared] {
            let error = acquire(&path, kind, "prune").unwrap_err();
            let who = format!(
                "held by kluis backup db (pid {} on here) since 2026-01-18T10:30:00Z;",
                std::process::id()
            );
            assert!(error.to_string().contains(&who), "{error}");
        }
        drop(first);
        acquire(&path, LockKind::Exclusive, "prune").unwrap();
    }

    #[test]
    fn shared_holders_share_and_are_all_told() {
        let (_directory, path) = lock_file();
        let one = acquire(&path, LockKind::Shared, "verify").unwrap();
        let two = acquire(&path, LockKind::Shared, "restore").unwrap();
        let error = acquire(&path, LockKind::Exclusive, "prune").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("kluis verify") && text.contains("kluis restore"),
            "{text}"
        );
        drop((one, two));
        acquire(&path, LockKind::Exclusive, "prune").unwrap();
    }

    #[test]
    fn a_line_of_a_process_that_is_gone_is_not_told() {
        let (_directory, path) = lock_file();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = Holder {
            pid: child.id(),
            ..holder("verify")
        };
        child.wait().unwrap();
        drop(Lock::acquire(&path, LockKind::Shared, None, &gone, &Cancel::default()).unwrap());
        let _living = acquire(&path, LockKind::Shared, "restore").unwrap();
        let Err(LockError::Held { holders, .. }) = acquire(&path, LockKind::Exclusive, "prune")
        else {
            panic!("two exclusive holders");
        };
        assert_eq!(holders, [holder("restore")]);
    }

    #[test]
    fn a_run_that_shared_it_several_times_is_told_once() {
        let (_directory, path) = lock_file();
        for _ in 0..9 {
            drop(acquire(&path, LockKind::Shared, "verify").unwrap());
        }
        let _held = acquire(&path, LockKind::Shared, "verify").unwrap();
        let Err(LockError::Held { holders, .. }) = acquire(&path, LockKind::Exclusive, "prune")
        else {
            panic!("two exclusive holders");
        };
        assert_eq!(holders, [holder("verify")]);
    }

    #[test]
    fn a_file_full_of_rubbish_still_locks() {
        let (_directory, path) = lock_file();
        std::fs::write(&path, [0xff; 100_000]).unwrap();
        let _first = acquire(&path, LockKind::Shared, "verify").unwrap();
        let error = acquire(&path, LockKind::Exclusive, "prune").unwrap_err();
        assert!(error.to_string().contains("held by another run"), "{error}");
    }

    #[test]
    fn waiting_ends_when_the_lock_is_free() {
        let (_directory, path) = lock_file();
        let first = acquire(&path, LockKind::Exclusive, "backup db").unwrap();
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || {
                let wait = Some(Duration::MAX);
                let kind = LockKind::Exclusive;
                Lock::acquire(&path, kind, wait, &holder("prune"), &Cancel::default())
            })
        };
        drop(first);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn waiting_ends_in_time_and_at_a_signal() {
        let (_directory, path) = lock_file();
        let _first = acquire(&path, LockKind::Exclusive, "backup db").unwrap();
        let wait = |wait, cancel: &Cancel| {
            Lock::acquire(&path, LockKind::Shared, wait, &holder("verify"), cancel).unwrap_err()
        };
        let short = Some(Duration::from_millis(1));
        assert!(matches!(
            wait(short, &Cancel::default()),
            LockError::Held { .. }
        ));
        let cancel = Cancel::default();
        cancel.request(15);
        assert!(matches!(
            wait(Some(Duration::MAX), &cancel),
            LockError::Cancelled(_)
        ));
    }

    #[test]
    fn the_file_is_private_stays_and_is_no_symlink() {
        let (directory, path) = lock_file();
        drop(acquire(&path, LockKind::Exclusive, "prune").unwrap());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let error = acquire(&link, LockKind::Shared, "verify").unwrap_err();
        assert!(
            matches!(error, LockError::Place { action: "open", .. }),
            "{error}"
        );
    }

    #[test]
    fn a_lock_whose_file_was_removed_by_hand_does_not_stop_the_next() {
        let (_directory, path) = lock_file();
        let _orphan = acquire(&path, LockKind::Exclusive, "backup db").unwrap();
        std::fs::remove_file(&path).unwrap();
        let _next = acquire(&path, LockKind::Exclusive, "prune").unwrap();
        assert!(acquire(&path, LockKind::Exclusive, "verify").is_err());
    }

    #[test]
    fn a_file_that_lost_its_name_is_not_the_lock() {
        let (_directory, path) = lock_file();
        let file = open(&path).unwrap();
        assert!(is_still_named(&file, &path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(!is_still_named(&file, &path).unwrap());
        let _other = open(&path).unwrap();
        assert!(!is_still_named(&file, &path).unwrap());
    }

    #[test]
    fn an_exclusive_holder_clears_the_lines_of_the_past() {
        let (_directory, path) = lock_file();
        drop(acquire(&path, LockKind::Shared, "verify").unwrap());
        let _held = acquire(&path, LockKind::Exclusive, "prune").unwrap();
        let error = acquire(&path, LockKind::Shared, "restore").unwrap_err();
        assert!(!error.to_string().contains("verify"), "{error}");
    }
}
