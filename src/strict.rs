//! Files that decide what kluis runs and which key it takes: opened and judged in
//! one step, by the rule of sshd's StrictModes.
//!
//! Refuses a file, or a directory above it, that somebody else owns or can write
//! to: root and we ourselves are nobody else. The way is `paths`': every step goes
//! through a directory that is held, links are followed by hand, and what was judged
//! is what is read, so nobody can put another file in between.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

use crate::checked::shell_word;
use crate::paths::{Chain, Rule};
use crate::process;

/// A machine's bundle of certificates has some 200 KB.
const BYTES_MAX: u64 = 4 << 20;
const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_READ: u32 = 0o044;
/// Directories of everybody's: another mode there breaks what others do.
const EVERYBODYS: [&str; 4] = ["/", "/tmp", "/var/tmp", "/dev/shm"];

/// A file that nobody else could have written.
pub struct StrictFile {
    pub file: File,
    /// Others than its owner may read it.
    pub readable_by_others: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum StrictError {
    #[error("{0}")]
    Unreadable(#[source] io::Error),
    #[error("{} {why}", offender.display())]
    Refused {
        /// The file itself, or a directory above it.
        offender: PathBuf,
        why: String,
        /// What mends it, for people: a command that touches nothing but the file and
        /// the directory of our own that it lies in, else another place for it.
        remedy: String,
    },
}

impl StrictError {
    /// What the operator can do, if it is known.
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Unreadable(_) => None,
            Self::Refused { remedy, .. } => Some(remedy),
        }
    }
}

impl From<io::Error> for StrictError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl From<Errno> for StrictError {
    fn from(error: Errno) -> Self {
        Self::Unreadable(error.into())
    }
}

/// What is judged, which decides what may be advised.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    File,
    Link,
    /// The directory that holds the file itself.
    Own,
    Above,
}

/// All of a regular file: a list, a certificate. Nothing is waited for.
pub fn read(path: &Path) -> Result<Vec<u8>, StrictError> {
    let file = open(path)?.file;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        let error = io::Error::other("it is no regular file");
        return Err(StrictError::Unreadable(error));
    }
    let mut bytes = Vec::new();
    let read = file.take(BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(StrictError::Unreadable)?;
    if bytes.len() as u64 > BYTES_MAX {
        let what = format!("larger than {BYTES_MAX} bytes");
        let error = io::Error::new(io::ErrorKind::FileTooLarge, what);
        return Err(StrictError::Unreadable(error));
    }
    Ok(bytes)
}

/// Opens `path` to be read.
pub fn open(path: &Path) -> Result<StrictFile, StrictError> {
    let (way, leaf) = Chain::to_parent_by(path, &NobodyElse)?;
    let shown = way.path().join(OsStr::from_bytes(leaf.name.to_bytes()));
    let links = match leaf.kind {
        None => return Err(Errno::NOENT.into()),
        // Of the kernel's own: what it leads to is what we have open, or ourselves.
        Some(FileType::Symlink) => OFlags::empty(),
        Some(_) => OFlags::NOFOLLOW,
    };
    // A fifo that nobody writes to must not hold us.
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK | links;
    let file = openat(way.last(), &leaf.name, flags, Mode::empty())?;
    rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
    opened(File::from(file), &shown)
}

/// Refuses a way that somebody else could lead elsewhere.
struct NobodyElse;

impl Rule for NobodyElse {
    type Refusal = StrictError;
    const ENDS_AT_KERNELS_LINK: bool = true;

    fn directory(&self, stat: &Stat, path: &Path, holds_leaf: bool) -> Result<(), StrictError> {
        let part = match holds_leaf {
            true => Part::Own,
            false => Part::Above,
        };
        judge_directory(stat, path, part)
    }

    /// A link has no mode; in a directory that passed, only who owns it made it.
    fn link(&self, stat: &Stat, path: &Path) -> Result<(), StrictError> {
        judge_owner(stat, path, Part::Link)
    }

    fn missing(&self, _: &Path, errno: Errno, _: bool) -> StrictError {
        errno.into()
    }
}

fn opened(file: File, shown: &Path) -> Result<StrictFile, StrictError> {
    let stat = fstat(&file)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let part = match kind {
        FileType::Directory => Part::Above,
        _ => Part::File,
    };
    judge_owner(&stat, shown, part)?;
    // What is written to a device is not what is read from it: /dev/null.
    if kind != FileType::CharacterDevice {
        judge_writers(&stat, shown, part)?;
    }
    Ok(StrictFile {
        file,
        readable_by_others: kind == FileType::RegularFile && stat.st_mode & OTHERS_READ != 0,
    })
}

fn judge_directory(stat: &Stat, shown: &Path, part: Part) -> Result<(), StrictError> {
    judge_owner(stat, shown, part)?;
    // There others can neither remove nor rename what is ours, and what is
    // theirs is refused at the next step.
    if stat.st_mode & STICKY != 0 {
        return Ok(());
    }
    judge_writers(stat, shown, part)
}

fn judge_owner(stat: &Stat, shown: &Path, part: Part) -> Result<(), StrictError> {
    let us = rustix::process::geteuid().as_raw();
    if stat.st_uid == 0 || stat.st_uid == us {
        return Ok(());
    }
    let owner = process::user_name(stat.st_uid);
    let shown_owner = owner.unwrap_or_else(|| format!("uid {}", stat.st_uid));
    let wanted = process::user_name(us).unwrap_or_else(|| us.to_string());
    let remedy = match part {
        Part::File => format!("chown {wanted} {}", quoted(shown)),
        Part::Link => format!("chown -h {wanted} {}", quoted(shown)),
        Part::Own | Part::Above => another_place(shown),
    };
    Err(StrictError::Refused {
        offender: shown.to_owned(),
        why: format!("belongs to {shown_owner}, who could change what kluis does"),
        remedy,
    })
}

fn judge_writers(stat: &Stat, shown: &Path, part: Part) -> Result<(), StrictError> {
    let by_others = stat.st_mode & OTHERS_WRITE != 0;
    // A group that only the owner is in, as user-private groups are, is nobody else.
    let by_group =
        stat.st_mode & GROUP_WRITES != 0 && !process::is_private_group(stat.st_uid, stat.st_gid);
    if !by_others && !by_group {
        return Ok(());
    }
    let mode = stat.st_mode & 0o7777;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw();
    let may_be_changed = match part {
        Part::File | Part::Link => true,
        Part::Own => is_ours && !is_for_others(shown),
        Part::Above => false,
    };
    Err(StrictError::Refused {
        offender: shown.to_owned(),
        why: format!("can be written by others (mode {mode:04o})"),
        remedy: match may_be_changed {
            true => format!("chmod go-w {}", quoted(shown)),
            false => another_place(shown),
        },
    })
}

/// Whether a directory serves more than what kluis reads there.
fn is_for_others(directory: &Path) -> bool {
    EVERYBODYS.iter().any(|it| directory == Path::new(it)) || process::is_home(directory)
}

/// The way out where nothing that is there should be changed.
fn another_place(offender: &Path) -> String {
    // In a user namespace the machine's root is nobody, and no place is good.
    if offender == Path::new("/") {
        return "give kluis its settings by flags and the environment, or start it where / is \
                root's: outside of this user namespace"
            .to_owned();
    }
    let (whose, such) = match process::is_root() {
        true => ("root", "/etc/kluis/"),
        false => ("you or root", "~/.config/kluis/"),
    };
    format!("copy the file to a place that only {whose} can write, such as {such}, and name that")
}

fn quoted(path: &Path) -> String {
    shell_word(&path.to_string_lossy()).into_owned()
}

/// Whether others than its owner may read a file: for a warning.
pub fn is_readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).is_ok_and(|it| it.is_file() && it.mode() & OTHERS_READ != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            fs::create_dir(place.path("inner")).unwrap();
            fs::write(place.path("inner/file"), "text").unwrap();
            place.mode("inner", 0o755).mode("inner/file", 0o600)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn mode(self, name: &str, mode: u32) -> Self {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(self.path(name), permissions).unwrap();
            self
        }

        /// The one that is refused, and the remedy.
        fn refused(&self, name: &str) -> (PathBuf, String) {
            match open(&self.path(name)) {
                Err(StrictError::Refused {
                    offender, remedy, ..
                }) => (offender, remedy),
                Err(error) => panic!("{error}"),
                Ok(_) => panic!("{name} was taken"),
            }
        }
    }

    #[test]
    fn what_only_we_can_write_is_read() {
        let place = Place::new();
        let mut opened = open(&place.path("inner/../inner/./file")).unwrap();
        let mut text = String::new();
        opened.file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), opened.readable_by_others), ("text", false));
        let place = place.mode("inner/file", 0o644);
        assert!(open(&place.path("inner/file")).unwrap().readable_by_others);
        assert!(open(Path::new("/dev/null")).is_ok());
    }

    #[test]
    fn a_file_or_a_directory_above_it_that_others_can_write_is_named() {
        for (name, mode) in [("inner", 0o757), ("inner", 0o777), ("inner/file", 0o602)] {
            let place = Place::new().mode(name, mode);
            let offender = place.path(name);
            let remedy = format!("chmod go-w {}", offender.display());
            assert_eq!(place.refused("inner/file"), (offender, remedy), "{mode:o}");
        }
    }

    #[test]
    fn what_serves_others_too_is_never_to_be_changed() {
        let place = Place::new().mode("inner", 0o757);
        fs::create_dir(place.path("inner/deep")).unwrap();
        fs::rename(place.path("inner/file"), place.path("inner/deep/file")).unwrap();
        let (offender, remedy) = place.refused("inner/deep/file");
        assert_eq!(offender, place.path("inner"));
        assert!(remedy.starts_with("copy the file to a place"), "{remedy}");
        for (part, path) in [
            (Part::Own, "/"),
            (Part::Own, "/home/joe"),
            (Part::Own, "/tmp"),
            (Part::Above, "/srv"),
        ] {
            let mut stat = rustix::fs::stat(place.path("inner")).unwrap();
            stat.st_mode |= 0o022;
            let by_mode = judge_writers(&stat, Path::new(path), part);
            stat.st_uid = 65_534;
            let by_owner = judge_owner(&stat, Path::new(path), part);
            for refused in [by_mode, by_owner] {
                let remedy = refused.unwrap_err().remedy().unwrap().to_owned();
                assert!(!remedy.starts_with("ch"), "{path}: {remedy}");
            }
        }
    }

    #[test]
    fn roots_own_group_is_nobody_else() {
        let place = Place::new();
        let mut stat = rustix::fs::stat(place.path("inner/file")).unwrap();
        (stat.st_uid, stat.st_gid, stat.st_mode) = (0, 0, 0o100_664);
        let private = process::is_private_group(0, 0);
        let path = Path::new("/etc/kluis/kluis.toml");
        assert_eq!(judge_writers(&stat, path, Part::File).is_ok(), private);
        stat.st_gid = 54_321;
        assert!(judge_writers(&stat, path, Part::File).is_err());
    }

    #[test]
    fn a_link_is_followed_and_its_way_judged_too() {
        let place = Place::new();
        fs::create_dir(place.path("open")).unwrap();
        symlink("../inner/file", place.path("open/relative")).unwrap();
        symlink(place.path("open/relative"), place.path("absolute")).unwrap();
        symlink("round", place.path("round")).unwrap();
        assert!(open(&place.path("absolute")).is_ok());
        assert!(open(&place.path("round")).is_err());
        let place = place.mode("open", 0o777);
        assert_eq!(place.refused("absolute").0, place.path("open"));
    }

    #[test]
    fn a_sticky_directory_is_passed_but_not_what_a_stranger_has_there() {
        let place = Place::new().mode("inner", 0o1777);
        assert!(open(&place.path("inner/file")).is_ok());
        if !process::is_root() {
            eprintln!("the rest is skipped: only root may give a file away");
            return;
        }
        chown(place.path("inner/file"), Some(65534), None).unwrap();
        assert_eq!(place.refused("inner/file").0, place.path("inner/file"));
        chown(place.path("inner/file"), Some(0), None).unwrap();
        chown(place.path("inner"), Some(65534), None).unwrap();
        let (offender, remedy) = place.refused("inner/file");
        assert_eq!(offender, place.path("inner"));
        assert!(remedy.starts_with("copy the file to a place"), "{remedy}");
    }

    #[test]
    fn an_open_file_of_ours_is_read_by_its_number() {
        use std::os::fd::AsRawFd;
        let place = Place::new();
        let file = File::open(place.path("inner/file")).unwrap();
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        assert!(open(Path::new(&path)).is_ok());
    }
}
