//! Passphrase salts that opened something on this host, remembered from run to run. A
//! salt is no secret; what counts is that nobody else wrote it down. Whoever can write to
//! a storage can plant as many others as he likes, and in the storage itself nothing
//! tells, before a passphrase was tried, which is its own.
//!
//! Nothing fails for it: where it cannot be had, a run tries as one on a new host does.

use std::ffi::{CStr, CString, OsStr};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::paths::{Chain, Dir};
use crate::strict;

pub type Salt = [u8; 16];

/// Each is of one storage.
const REMEMBERED_MAX: usize = 32;
const FILE: &CStr = c"passphrase-salts";

/// Where a host keeps what it remembers.
pub struct StateDir {
    /// It is there already.
    base: PathBuf,
    /// Made below it.
    below: &'static [&'static CStr],
}

impl StateDir {
    /// By systemd's variable, the XDG base directory specification's, or the home
    /// directory. `None` where nothing names one.
    pub fn of<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Option<Self> {
        let path = |name: &str| {
            let first = |value: &OsStr| {
                let parts = value.as_bytes().split(|byte| *byte == b':');
                let first = parts.into_iter().next().unwrap_or_default();
                PathBuf::from(OsStr::from_bytes(first))
            };
            variable(name).map(first).filter(|path| path.is_absolute())
        };
        let places: [(&str, &[&CStr]); 3] = [
            ("STATE_DIRECTORY", &[]),
            ("XDG_STATE_HOME", &[c"kluis"]),
            ("HOME", &[c".local", c"state", c"kluis"]),
        ];
        let mut places = places.into_iter();
        places.find_map(|(name, below)| path(name).map(|base| Self { base, below }))
    }

    fn file(&self) -> PathBuf {
        let below = self.below.iter().copied().chain([FILE]);
        below.fold(self.base.clone(), |path, name| {
            path.join(OsStr::from_bytes(name.to_bytes()))
        })
    }

    /// Made where it is missing. Refused where others could lead us elsewhere.
    fn open(&self) -> io::Result<Dir> {
        let way = Chain::to_directory(&self.base)?;
        if !way.is_trusted() || way.is_shared() && self.below.is_empty() {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let mut here = way.last().readable()?;
        for name in self.below {
            here = match here.open_child(name) {
                Err(Errno::NOENT) => here.make_child(name)?,
                opened => opened?,
            };
            let stat = here.stat()?;
            let is_own = stat.st_uid == rustix::process::geteuid().as_raw();
            if !is_own || stat.st_mode & 0o022 != 0 {
                return Err(ErrorKind::PermissionDenied.into());
            }
        }
        Ok(here)
    }
}

/// The newest first. What others could have written is none.
pub fn known_salts(place: &StateDir) -> Vec<Salt> {
    let bytes = strict::read(&place.file()).unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n');
    let salts = lines.filter_map(|line| {
        let mut salt = [0; 16];
        hex::decode_to_slice(line, &mut salt).ok().map(|()| salt)
    });
    salts.take(REMEMBERED_MAX).collect()
}

/// Writes down those that are not known yet, before the others.
pub fn remember_salts(place: &StateDir, proven: &[Salt]) -> io::Result<()> {
    let known = known_salts(place);
    let mut all: Vec<Salt> = proven.to_vec();
    all.retain(|salt| !known.contains(salt));
    if all.is_empty() {
        return Ok(());
    }
    all.extend(known);
    all.truncate(REMEMBERED_MAX);
    let lines = all.iter().map(|salt| hex::encode(salt) + "\n");
    let text: String = lines.collect();
    let directory = place.open()?;
    let name = format!("passphrase-salts.{}", std::process::id());
    let name = CString::new(name).map_err(io::Error::other)?;
    let written = directory
        .create_file(&name)
        .map_err(io::Error::from)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| Ok(rustix::fs::renameat(&directory, &name, &directory, FILE)?));
    if written.is_err() {
        // One of a run that died under this number goes too.
        let _ = rustix::fs::unlinkat(&directory, &name, rustix::fs::AtFlags::empty());
    }
    written
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn place(home: &Path) -> StateDir {
        let home = OsString::from(home);
        StateDir::of(|name| (name == "HOME").then_some(&*home)).unwrap()
    }

    #[test]
    fn the_newest_come_first_and_there_is_an_end() {
        let home = tempfile::tempdir().unwrap();
        let place = place(home.path());
        assert!(known_salts(&place).is_empty());
        for number in 0..40 {
            remember_salts(&place, &[[number; 16], [0; 16]]).unwrap();
        }
        let known = known_salts(&place);
        assert_eq!(known.len(), REMEMBERED_MAX);
        assert_eq!(known[0], [39; 16]);
        let directory = home.path().join(".local/state/kluis");
        assert_eq!(fs::read_dir(directory).unwrap().count(), 1);
    }

    #[test]
    fn what_others_could_have_written_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let place = place(home.path());
        remember_salts(&place, &[[1; 16]]).unwrap();
        let mode = |mode| fs::set_permissions(place.file(), fs::Permissions::from_mode(mode));
        mode(0o666).unwrap();
        assert!(known_salts(&place).is_empty());
        mode(0o600).unwrap();
        assert_eq!(known_salts(&place), [[1; 16]]);
        let state = home.path().join(".local");
        fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(known_salts(&place).is_empty());
        assert!(remember_salts(&place, &[[2; 16]]).is_err());
    }
}
