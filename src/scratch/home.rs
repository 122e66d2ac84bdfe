//! Where scratch directories lie below the work directory: in itself where
//! nobody else can make names in it, else in a directory of our own there,
//! `kluis-<uid>` (0711: a server that runs as another user may pass through).
//! Owns the making and finding of that, and the refusal of a work directory in
//! which, as root, nothing would be safe.

use std::ffi::{CString, OsStr};
use std::io::{self, ErrorKind};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::io::Errno;

use super::{PREFIX, c_name, random_hex};
use crate::paths::{Chain, Dir, remove_child};

const OWN_MODE: Mode = Mode::from_raw_mode(0o711);

#[derive(Debug)]
pub(super) struct Home {
    dir: Dir,
    path: PathBuf,
    /// The shared directory, and the name in it.
    own: Option<(Dir, CString)>,
}

impl Home {
    /// The one to work in; made if need be.
    pub fn open(base: &Path) -> io::Result<Self> {
        let way = way_to(base)?;
        if !is_shared(&way) {
            return Ok(Self {
                dir: way.last().readable_or_passable()?,
                path: base.to_owned(),
                own: None,
            });
        }
        if let Some(own) = own_ones(&way, base).into_iter().next() {
            return Ok(own);
        }
        let first = own_name();
        let name = match way.last().look(&c_name(&first)?) {
            Err(Errno::NOENT) => first,
            // Taken by somebody else.
            _ => format!("{first}-{}", random_hex()?),
        };
        let name_in_base = c_name(&name)?;
        let dir = match way.last().make_child(&name_in_base) {
            // Another run of ours was faster.
            Err(Errno::EXIST) => way.last().open_child(&name_in_base)?,
            dir => {
                let dir = dir?;
                rustix::fs::fchmod(&dir, OWN_MODE)?;
                dir
            }
        };
        if !is_own(&dir) {
            let why = format!("somebody else keeps {name} for himself there");
            return Err(io::Error::new(ErrorKind::PermissionDenied, why));
        }
        Self::own(&way, base, name_in_base, dir)
    }

    /// All in which runs that died can have left something.
    pub fn all(base: &Path) -> Vec<Self> {
        let Ok(way) = way_to(base) else {
            return Vec::new();
        };
        let mut homes = Vec::new();
        if is_shared(&way) {
            homes = own_ones(&way, base);
        }
        // Also where it is shared: older versions worked in the open.
        if way.is_trusted()
            && let Ok(dir) = way.last().readable()
        {
            homes.push(Self {
                dir,
                path: base.to_owned(),
                own: None,
            });
        }
        homes
    }

    fn own(way: &Chain, base: &Path, name: CString, dir: Dir) -> io::Result<Self> {
        Ok(Self {
            dir,
            path: base.join(OsStr::from_bytes(name.to_bytes())),
            own: Some((way.last().readable_or_passable()?, name)),
        })
    }

    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Others may be at work in it: then it stays.
    pub fn remove_if_empty(&self) {
        if let Some((base, name)) = &self.own {
            let _ = remove_child(base, name, self.dir.identity());
        }
    }
}

pub(super) fn is_ours(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw()
}

/// Whether it is ours and nobody else can write to it.
pub(super) fn is_own(dir: &Dir) -> bool {
    dir.stat()
        .is_ok_and(|stat| is_ours(stat.st_uid) && stat.st_mode & 0o022 == 0)
}

fn way_to(base: &Path) -> io::Result<Chain> {
    let way = Chain::to_directory(base)?;
    way.refuse_led(None)?;
    if !way.is_trusted() && rustix::process::geteuid().is_root() {
        let why = "others than root can write to it, or to a directory above it";
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    Ok(way)
}

fn is_shared(way: &Chain) -> bool {
    way.is_shared() || !way.is_trusted()
}

fn own_name() -> String {
    format!("{PREFIX}{}", rustix::process::geteuid().as_raw())
}

/// The directories of our own in a shared one, that of the plain name first.
fn own_ones(way: &Chain, base: &Path) -> Vec<Home> {
    let plain = own_name();
    let mut names = Vec::new();
    let listed = way.last().readable().and_then(|shared| {
        shared.list(&mut Vec::new(), |entry| {
            let rest = entry.name.to_bytes().strip_prefix(plain.as_bytes());
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"-")) {
                names.push(entry.name.to_owned());
            }
            ControlFlow::Continue(())
        })
    });
    if listed.is_err() {
        names = c_name(&plain).into_iter().collect();
    }
    names.sort_unstable();
    let homes = names.into_iter().filter_map(|name| {
        let dir = way.last().open_child(&name).ok().filter(is_own)?;
        Home::own(way, base, name, dir).ok()
    });
    homes.collect()
}
