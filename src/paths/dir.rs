//! An open directory. Owns the flags by which directories are opened, and the
//! listing of their names.

use std::ffi::CStr;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, StatxFlags};
use rustix::io::Errno;

/// Never through a link, never waiting (a fifo may have come in its place).
const OPEN: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// What tells one directory from all others for as long as it is held open, and
/// from most others afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub device: u64,
    pub inode: u64,
}

impl Identity {
    // The fields' types differ between machines: a cast is needed on some.
    #[allow(clippy::unnecessary_cast)]
    pub fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
        }
    }
}

/// A rename stays within one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mount {
    device: u64,
    /// Kernels before 5.8 do not tell.
    id: Option<u64>,
}

/// One name of a directory.
pub struct Listed<'a> {
    pub name: &'a CStr,
    /// As listed: it may be unknown, and something else by now.
    pub kind: FileType,
    pub inode: u64,
}

/// A directory that is held open.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    identity: Identity,
}

impl Dir {
    /// A directory that was opened and looked at already.
    pub fn known(fd: OwnedFd, identity: Identity) -> Self {
        Self { fd, identity }
    }

    /// The root of all paths.
    pub fn root() -> Result<Self, Errno> {
        Self::opened(rustix::fs::open(c"/", OPEN | OFlags::PATH, Mode::empty())?)
    }

    fn opened(fd: OwnedFd) -> Result<Self, Errno> {
        let identity = Identity::of(&rustix::fs::fstat(&fd)?);
        Ok(Self { fd, identity })
    }

    /// The directory `name`, to be read. A link of that name is an error.
    pub fn open_child(&self, name: &CStr) -> Result<Self, Errno> {
        Self::opened(self.open_fd(name)?)
    }

    /// As [`Dir::open_child`], for one who looks at it anyway.
    pub fn open_fd(&self, name: &CStr) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(&self.fd, name, OPEN | OFlags::RDONLY, Mode::empty())
    }

    /// The directory `name`, only to go through: reading it may be forbidden.
    pub fn step(&self, name: &CStr) -> Result<Self, Errno> {
        let flags = OPEN | OFlags::PATH;
        Self::opened(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?)
    }

    /// As [`Dir::step`], through a link that [`Dir::is_of_kernel`] vouches for.
    pub fn step_by_kernel(&self, name: &CStr) -> Result<Self, Errno> {
        let flags = OPEN.difference(OFlags::NOFOLLOW) | OFlags::PATH;
        Self::opened(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?)
    }

    /// Whether its links are the kernel's own (procfs), which lead where no text
    /// says.
    pub fn is_of_kernel(&self) -> bool {
        rustix::fs::fstatfs(&self.fd).is_ok_and(|told| told.f_type == rustix::fs::PROC_SUPER_MAGIC)
    }

    /// The directory `name` even where its mode keeps its own user out, which is
    /// changed then.
    pub fn open_own_child(&self, name: &CStr) -> Result<Self, Errno> {
        match self.open_child(name) {
            Err(Errno::ACCESS) => {
                let shut = self.step(name)?;
                shut.set_mode(Mode::RWXU)?;
                let opened = self.open_child(name)?;
                match opened.identity == shut.identity {
                    true => Ok(opened),
                    false => Err(Errno::NOENT),
                }
            }
            opened => {
                let opened = opened?;
                if !opened.mode()?.contains(Mode::RWXU) {
                    // What cannot be changed was no obstacle, or is told as one.
                    let _ = rustix::fs::fchmod(&opened.fd, Mode::RWXU);
                }
                Ok(opened)
            }
        }
    }

    pub fn mode(&self) -> Result<Mode, Errno> {
        Ok(Mode::from_raw_mode(self.stat()?.st_mode))
    }

    /// Also of a directory that was opened only to go through. The kernel knows
    /// no other way to the mode of what may not be read that cannot be led
    /// elsewhere.
    pub fn set_mode(&self, mode: Mode) -> Result<(), Errno> {
        rustix::fs::chmod(format!("/proc/self/fd/{}", self.fd.as_raw_fd()), mode)
    }

    /// Another descriptor of the same directory, to read and to sync it.
    pub fn readable(&self) -> Result<Self, Errno> {
        self.open_child(c".")
    }

    /// Another descriptor of the same directory; to be read if that is allowed.
    pub fn readable_or_passable(&self) -> Result<Self, Errno> {
        match self.readable() {
            Err(Errno::ACCESS) => self.step(c"."),
            readable => readable,
        }
    }

    /// Makes the directory `name` for its owner only, and opens it.
    pub fn make_child(&self, name: &CStr) -> Result<Self, Errno> {
        rustix::fs::mkdirat(&self.fd, name, Mode::RWXU)?;
        self.open_child(name)
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    pub fn stat(&self) -> Result<Stat, Errno> {
        rustix::fs::fstat(&self.fd)
    }

    pub fn mount(&self) -> Mount {
        let told = rustix::fs::statx(&self.fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID);
        let told = told
            .ok()
            .filter(|told| told.stx_mask & StatxFlags::MNT_ID.bits() != 0);
        Mount {
            device: self.identity.device,
            id: told.map(|told| told.stx_mnt_id),
        }
    }

    /// What has the name now, itself also where it is a link.
    pub fn look(&self, name: &CStr) -> Result<Stat, Errno> {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Whether `name` is that directory now.
    pub fn holds(&self, name: &CStr, identity: Identity) -> bool {
        self.look(name)
            .is_ok_and(|stat| Identity::of(&stat) == identity)
    }

    /// Lets the next listing begin at the first name again.
    pub fn rewind(&self) -> Result<(), Errno> {
        rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0)).map(drop)
    }

    /// Hears of each name but the directory's own and its parent's. Must have
    /// been opened to be read; once, or be rewound.
    pub fn list(
        &self,
        buffer: &mut Vec<u8>,
        mut each: impl FnMut(Listed<'_>) -> ControlFlow<Errno>,
    ) -> Result<(), Errno> {
        const LISTING_BYTES: usize = 32 * 1024;
        buffer.clear();
        buffer.reserve(LISTING_BYTES);
        let mut entries = RawDir::new(&self.fd, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let listed = Listed {
                name,
                kind: entry.file_type(),
                inode: entry.ino(),
            };
            if let ControlFlow::Break(errno) = each(listed) {
                return Err(errno);
            }
        }
        Ok(())
    }

    pub fn is_empty(&self) -> Result<bool, Errno> {
        match self.list(&mut Vec::new(), |_| ControlFlow::Break(Errno::NOTEMPTY)) {
            Err(Errno::NOTEMPTY) => Ok(false),
            listed => listed.map(|()| true),
        }
    }

    /// Gives `name`, which must be `child`, the name `to` in another directory;
    /// fails with [`Errno::NOENT`] if something else stood or stands there.
    pub fn publish(&self, name: &CStr, child: &Self, to: &Self, as_: &CStr) -> Result<(), Errno> {
        if !self.holds(name, child.identity) {
            return Err(Errno::NOENT);
        }
        rustix::fs::renameat(&self.fd, name, &to.fd, as_)
    }

    /// Makes its names survive a power cut.
    pub fn sync(&self) -> Result<(), Errno> {
        match rustix::fs::fsync(&self.fd) {
            // How file systems say that they have no such thing for directories.
            Err(Errno::INVAL) => Ok(()),
            synced => synced,
        }
    }

    /// A new file for its owner only.
    pub fn create_file(&self, name: &CStr) -> Result<File, Errno> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::openat(&self.fd, name, flags, mode).map(File::from)
    }

    /// The regular file `name`, to be written or locked; anything else that has
    /// the name is [`Errno::INVAL`], and nothing is waited for.
    pub fn open_file(&self, name: &CStr) -> Result<File, Errno> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(File::from(file)),
            _ => Err(Errno::INVAL),
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
