//! A directory of plain files as a tar stream, in the order of their names, but the table
//! of contents first: of a damaged archive nothing that comes before it can pass for it.
//!
//! Refuses what pg_dump does not write: directories, links, files whose size
//! changes. So it can promise more than the tar of a source tree: every file is
//! there, whole.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::format::pg_archive::CONTENTS_FILE;
use crate::format::tar::{Attributes, Entry, EntryKind, Mtime, encode, end_of_archive, padding};

/// The stream. Files are opened one after the other.
pub(super) struct FlatTar {
    directory: PathBuf,
    /// `None` before the first read.
    names: Option<VecDeque<OsString>>,
    /// Headers and padding that wait to be read, from `pending_at`.
    pending: Vec<u8>,
    pending_at: usize,
    /// The open file: its size, and how much of it is still to come.
    body: Option<(File, u64, u64)>,
    ended: bool,
}

impl FlatTar {
    pub fn of(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            names: None,
            pending: Vec::new(),
            pending_at: 0,
            body: None,
            ended: false,
        }
    }

    fn next_name(&mut self) -> io::Result<Option<OsString>> {
        if self.names.is_none() {
            let entries = fs::read_dir(&self.directory)?.map(|entry| Ok(entry?.file_name()));
            let mut names: Vec<OsString> = entries.collect::<io::Result<_>>()?;
            names.sort_by_key(|name| (name != CONTENTS_FILE, name.clone()));
            self.names = Some(names.into());
        }
        Ok(self.names.as_mut().and_then(VecDeque::pop_front))
    }

    /// Brings the next headers into `pending`, or the archive's end.
    fn advance(&mut self) -> io::Result<()> {
        self.pending.clear();
        self.pending_at = 0;
        let Some(name) = self.next_name()? else {
            self.ended = true;
            self.pending.extend_from_slice(end_of_archive());
            return Ok(());
        };
        let path = self.directory.join(&name);
        let file = File::open(&path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(broken(&path, "is no plain file"));
        }
        let bytes = found.len();
        let entry = Entry {
            path: name.as_bytes().to_vec(),
            kind: EntryKind::File { bytes },
            attributes: Attributes {
                mode: 0o600,
                mtime: Mtime {
                    seconds: found.mtime(),
                    nanoseconds: 0,
                },
                ..Attributes::default()
            },
        };
        encode(&entry, &mut self.pending).map_err(io::Error::other)?;
        self.body = Some((file, bytes, bytes));
        Ok(())
    }

    /// File content; 0 where the file has ended, with its padding in `pending`.
    fn read_body(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some((file, bytes, left)) = &mut self.body else {
            return Ok(0);
        };
        let room = usize::try_from(*left).map_or(buf.len(), |left| left.min(buf.len()));
        if room > 0 {
            let count = file.read(&mut buf[..room])?;
            *left -= count as u64;
            return match count {
                0 => Err(broken(&self.directory, "holds a file that became shorter")),
                count => Ok(count),
            };
        }
        self.pending.clear();
        self.pending_at = 0;
        self.pending.extend_from_slice(padding(*bytes));
        self.body = None;
        Ok(0)
    }
}

fn broken(path: &Path, what: &str) -> io::Error {
    io::Error::other(format!("{} {what}", path.display()))
}

impl Read for FlatTar {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let waiting = &self.pending[self.pending_at..];
            if !waiting.is_empty() {
                let count = waiting.len().min(buf.len());
                buf[..count].copy_from_slice(&waiting[..count]);
                self.pending_at += count;
                return Ok(count);
            }
            if self.body.is_some() {
                let count = self.read_body(buf)?;
                if count > 0 {
                    return Ok(count);
                }
                continue;
            }
            if self.ended {
                return Ok(0);
            }
            self.advance()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar_of(directory: &Path) -> io::Result<Vec<u8>> {
        let mut tar = Vec::new();
        FlatTar::of(directory).read_to_end(&mut tar)?;
        Ok(tar)
    }

    #[test]
    fn every_file_is_there_whole_in_the_order_of_names() {
        let directory = tempfile::tempdir().unwrap();
        let long = vec![b'x'; 100_000];
        fs::write(directory.path().join("toc.dat"), "toc").unwrap();
        fs::write(directory.path().join("1.dat"), &long).unwrap();
        fs::write(directory.path().join("empty"), "").unwrap();
        fs::write(directory.path().join("block"), [1; 512]).unwrap();
        let bytes = tar_of(directory.path()).unwrap();
        let mut tar = tar::Archive::new(&*bytes);
        let mut found = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            found.push((name, content.len()));
        }
        let expected = [
            ("toc.dat", 3),
            ("1.dat", 100_000),
            ("block", 512),
            ("empty", 0),
        ];
        assert_eq!(found, expected.map(|(name, len)| (name.to_owned(), len)));
    }

    #[test]
    fn a_directory_in_it_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        let error = tar_of(directory.path()).unwrap_err();
        assert!(
            error.to_string().contains("below is no plain file"),
            "{error}"
        );
    }

    #[test]
    fn a_file_that_becomes_shorter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1.dat");
        fs::write(&path, vec![0; 10_000]).unwrap();
        let mut tar = FlatTar::of(directory.path());
        tar.read_exact(&mut [0; 512]).unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(5)
            .unwrap();
        assert!(tar.read_to_end(&mut Vec::new()).is_err());
    }
}
