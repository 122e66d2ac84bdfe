//! A storage in memory, for the tests of operations: the same promises, no
//! disk. Clones share the objects, so that a test can look at them.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::{Key, PendingWrite, RECORDS, Storage, StorageError, StoredObject, split_prefix};

#[derive(Clone, Default)]
pub struct MemoryStorage {
    objects: Objects,
}

#[derive(Clone, Default)]
struct Objects(Arc<Mutex<BTreeMap<String, Object>>>);

#[derive(Clone)]
struct Object {
    bytes: Arc<[u8]>,
    modified: Timestamp,
}

impl Objects {
    /// A panic elsewhere cannot leave the map half-changed.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Object>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let object = Object {
            bytes: bytes.into(),
            modified: Timestamp::now(),
        };
        self.lock().insert(key.to_owned(), object);
    }
}

impl MemoryStorage {
    pub fn new() -> Self {
        Self::default()
    }
}

fn failed(action: &'static str, key: &str, kind: io::ErrorKind) -> StorageError {
    StorageError::new(action, format!("memory:{key}"), kind.into())
}

impl Storage for MemoryStorage {
    fn location(&self) -> String {
        "memory:".to_owned()
    }

    fn create(&self, key: &str) -> Result<Box<dyn PendingWrite>, StorageError> {
        Key::parse(key, &self.location())?;
        if self.objects.lock().contains_key(key) {
            return Err(failed("create", key, io::ErrorKind::AlreadyExists));
        }
        Ok(Box::new(MemoryWrite {
            objects: self.objects.clone(),
            key: key.to_owned(),
            bytes: Vec::new(),
        }))
    }

    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError> {
        Key::parse(key, &self.location())?;
        self.objects.put(key, bytes);
        Ok(())
    }

    fn overwrite(
        &self,
        key: &str,
        offset: u64,
        was: &[u8],
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        Key::parse(key, &self.location())?;
        let mut objects = self.objects.lock();
        let missing = || failed("overwrite", key, io::ErrorKind::NotFound);
        let object = objects.get_mut(key).ok_or_else(missing)?;
        let mut whole = object.bytes.to_vec();
        let written = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(bytes.len())?;
            let part = whole.get_mut(start..end)?;
            (part == was).then(|| part.copy_from_slice(bytes))
        });
        written.ok_or_else(|| failed("overwrite", key, io::ErrorKind::UnexpectedEof))?;
        object.bytes = whole.into();
        Ok(())
    }

    fn open(&self, key: &str, offset: u64) -> Result<Box<dyn Read + Send>, StorageError> {
        Key::parse(key, &self.location())?;
        let object = self.objects.lock().get(key).cloned();
        let object = object.ok_or_else(|| failed("open", key, io::ErrorKind::NotFound))?;
        let mut reader = Cursor::new(object.bytes);
        reader.set_position(offset);
        Ok(Box::new(reader))
    }

    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, StorageError> {
        let (wants_records, start) = split_prefix(prefix);
        let objects = self.objects.lock();
        let listed = objects.iter().filter(|(key, _)| {
            let (is_record, name) = match key.split_once('/') {
                Some((RECORDS, name)) => (true, name),
                _ => (false, key.as_str()),
            };
            is_record == wants_records && name.starts_with(start)
        });
        Ok(listed
            .map(|(key, object)| StoredObject {
                key: key.clone(),
                bytes: object.bytes.len() as u64,
                modified: object.modified,
            })
            .collect())
    }

    fn remove(&self, key: &str) -> Result<(), StorageError> {
        Key::parse(key, &self.location())?;
        match self.objects.lock().remove(key) {
            Some(_) => Ok(()),
            None => Err(failed("remove", key, io::ErrorKind::NotFound)),
        }
    }

    /// Nothing outlives a crash here.
    fn sweep(&self) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }

    fn local_root(&self) -> Option<&Path> {
        None
    }
}

struct MemoryWrite {
    objects: Objects,
    key: String,
    bytes: Vec<u8>,
}

impl Write for MemoryWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PendingWrite for MemoryWrite {
    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        let mut objects = self.objects.lock();
        if objects.contains_key(&self.key) {
            return Err(failed("publish", &self.key, io::ErrorKind::AlreadyExists));
        }
        let object = Object {
            bytes: self.bytes.into(),
            modified: Timestamp::now(),
        };
        objects.insert(self.key, object);
        Ok(())
    }
}
