//! A storage that counts what is written into it, and can cut a header's write
//! short. Everything else is the storage's inside.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use kluis::storage::{PendingWrite, Storage, StorageError, StoredObject};

/// Which part of a write reaches the disk before the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaches {
    /// The first so many bytes.
    First(usize),
    /// All but the first so many: sectors are not written in order.
    AllBut(usize),
}

/// The overwrite of this number, from 0, is cut, and fails.
#[derive(Clone, Copy, Debug)]
pub struct Tear {
    pub number: usize,
    pub reaches: Reaches,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes that were written over, by key.
    pub over: BTreeMap<String, u64>,
    pub overwrites: usize,
    /// Bytes of whole objects, by key, each time anew.
    pub whole: BTreeMap<String, u64>,
    pub wholes: usize,
}

impl Written {
    /// Into `runs/`.
    pub fn journal_bytes(&self) -> u64 {
        let records = self
            .whole
            .iter()
            .filter(|(key, _)| key.starts_with("runs/"));
        records.map(|(_, bytes)| bytes).sum()
    }

    /// Everything but the journal and the headers.
    pub fn other_bytes(&self) -> u64 {
        self.whole.values().sum::<u64>() - self.journal_bytes()
    }
}

pub struct Watched<S> {
    pub inner: S,
    pub written: Arc<Mutex<Written>>,
    pub tear: Option<Tear>,
}

impl<S: Storage> Watched<S> {
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            written: Arc::default(),
            tear: None,
        }
    }

    pub fn tearing(inner: S, tear: Tear) -> Self {
        Self {
            tear: Some(tear),
            ..Self::new(inner)
        }
    }

    pub fn written(&self) -> Written {
        self.written.lock().unwrap().clone()
    }
}

impl<S: Storage> Storage for Watched<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self, key: &str) -> Result<Box<dyn PendingWrite>, StorageError> {
        Ok(Box::new(WatchedWrite {
            inner: self.inner.create(key)?,
            written: Arc::clone(&self.written),
            key: key.to_owned(),
        }))
    }

    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let mut written = self.written.lock().unwrap();
        *written.whole.entry(key.to_owned()).or_default() += bytes.len() as u64;
        written.wholes += 1;
        self.inner.replace(key, bytes)
    }

    fn overwrite(
        &self,
        key: &str,
        offset: u64,
        was: &[u8],
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let mut written = self.written.lock().unwrap();
        let number = written.overwrites;
        written.overwrites += 1;
        *written.over.entry(key.to_owned()).or_default() += bytes.len() as u64;
        match self.tear {
            Some(tear) if tear.number == number => {
                let (from, part) = match tear.reaches {
                    Reaches::First(count) => (offset, 0..count),
                    Reaches::AllBut(count) => (offset + count as u64, count..bytes.len()),
                };
                self.inner
                    .overwrite(key, from, &was[part.clone()], &bytes[part])?;
                let gone = io::Error::other("the power went");
                Err(StorageError::new("overwrite", key, gone))
            }
            _ => self.inner.overwrite(key, offset, was, bytes),
        }
    }

    fn open(&self, key: &str, offset: u64) -> Result<Box<dyn Read + Send>, StorageError> {
        self.inner.open(key, offset)
    }

    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, StorageError> {
        self.inner.list(prefix)
    }

    fn remove(&self, key: &str) -> Result<(), StorageError> {
        self.inner.remove(key)
    }

    fn sweep(&self) -> Result<Vec<String>, StorageError> {
        self.inner.sweep()
    }

    fn free_bytes(&self) -> Option<u64> {
        self.inner.free_bytes()
    }

    fn local_root(&self) -> Option<&Path> {
        self.inner.local_root()
    }
}

struct WatchedWrite {
    inner: Box<dyn PendingWrite>,
    written: Arc<Mutex<Written>>,
    key: String,
}

impl Write for WatchedWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        let mut written = self.written.lock().unwrap();
        *written.whole.entry(self.key.clone()).or_default() += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl PendingWrite for WatchedWrite {
    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        self.inner.commit()
    }
}
