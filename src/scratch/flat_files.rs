//! The plain files of a tar, into a directory: so a dump in directory format
//! travels.
//!
//! Refuses all that pg_dump does not write: directories, links, hidden files, a
//! name that comes twice. Invariant: nothing is made outside the directory, and
//! no file is written over.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Filling;
use crate::cancel::{Cancel, Cancelled};
use crate::format::tar::{EntryKind, TarError, TarReader};

/// Why the files are not all there.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    #[error("the stream broke: {0}")]
    Stream(#[source] io::Error),
    #[error("refused: {what}")]
    Hostile { what: String },
    #[error("cannot {action} {}: {source}", path.display())]
    Place {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Unpacks the tar in `stream` into the directory `into`. The stream is read to
/// the tar's end, which need not be its own. `filling`: `into`, where others are to keep
/// their room.
pub fn unpack_files(
    stream: &mut dyn BufRead,
    into: &Path,
    filling: Option<&Filling<'_>>,
    cancel: &Cancel,
) -> Result<(), UnpackError> {
    let takes = |bytes: usize| {
        let room = filling.map_or(Ok(()), |it| it.takes(bytes as u64));
        room.map_err(io::Error::from)
    };
    let mut tar = TarReader::new(stream);
    while let Some(entry) = tar.next_entry().map_err(refused)? {
        cancel.check()?;
        // Of a tar that `tar -C DIR -c .` has made.
        if entry.kind == EntryKind::Directory && entry.path.is_empty() {
            continue;
        }
        let is_flat = !entry.path.contains(&b'/') && !entry.path.starts_with(b".");
        if !is_flat || !matches!(entry.kind, EntryKind::File { .. }) {
            return Err(refused(
                tar.refused("is not a plain file of a dump in directory format"),
            ));
        }
        let path = into.join(std::ffi::OsStr::from_bytes(&entry.path));
        let mut file = at(&path, "make", takes(0).and_then(|()| new_file(&path)))?;
        loop {
            cancel.check()?;
            let data = tar.data().map_err(refused)?;
            if data.is_empty() {
                break;
            }
            let written = takes(data.len()).and_then(|()| file.write_all(data));
            at(&path, "write", written)?;
            let data_bytes = data.len();
            tar.consume(data_bytes);
        }
    }
    Ok(())
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn at<T>(path: &Path, action: &'static str, result: io::Result<T>) -> Result<T, UnpackError> {
    result.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => UnpackError::Hostile {
            what: format!("{} comes twice", path.display()),
        },
        _ => UnpackError::Place {
            action,
            path: path.to_owned(),
            source,
        },
    })
}

fn refused(error: TarError) -> UnpackError {
    match error {
        TarError::Stream(source) => UnpackError::Stream(source),
        refused => UnpackError::Hostile {
            what: refused.to_string(),
        },
    }
}
