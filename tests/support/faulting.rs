//! A storage that fails where a test wants it to. Owns the counting of steps;
//! everything else is the storage's inside.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kluis::storage::{PendingWrite, Storage, StorageError, StoredObject};

/// How a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Nothing is done, an error comes, and all is well again.
    Once,
    /// It is done, and an error comes all the same: an answer that was lost.
    Late,
    /// So does everything after it: a disk that is gone.
    ForGood,
}

impl Manner {
    pub const ALL: [Self; 3] = [Self::Once, Self::Late, Self::ForGood];
}

/// Counts the steps of a run and fails one of them. Steps are every call of the
/// storage, every write into it, every commit and every read, in order.
#[derive(Clone)]
pub struct FaultPlan {
    taken: Arc<AtomicUsize>,
    /// From 0; `usize::MAX` fails none and only counts.
    failing: usize,
    manner: Manner,
    kind: io::ErrorKind,
}

impl FaultPlan {
    pub fn fail_at(step: usize, manner: Manner, kind: io::ErrorKind) -> Self {
        Self {
            taken: Arc::default(),
            failing: step,
            manner,
            kind,
        }
    }

    pub fn count_only() -> Self {
        Self::fail_at(usize::MAX, Manner::Once, io::ErrorKind::Other)
    }

    pub fn steps_taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    fn step<T, E: From<StorageError>>(
        &self,
        action: &'static str,
        key: &str,
        act: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let step = self.taken.fetch_add(1, Ordering::SeqCst);
        let fails = match self.manner {
            Manner::Once | Manner::Late => step == self.failing,
            Manner::ForGood => step >= self.failing,
        };
        if !fails {
            return act();
        }
        if self.manner == Manner::Late {
            act()?;
        }
        Err(StorageError::new(action, key, self.kind.into()).into())
    }
}

pub struct Faulting<S> {
    inner: S,
    plan: FaultPlan,
}

impl<S: Storage> Faulting<S> {
    pub fn new(inner: S, plan: FaultPlan) -> Self {
        Self { inner, plan }
    }
}

impl<S: Storage> Storage for Faulting<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self, key: &str) -> Result<Box<dyn PendingWrite>, StorageError> {
        let inner = self.plan.step("create", key, || self.inner.create(key))?;
        Ok(Box::new(FaultingWrite {
            inner,
            plan: self.plan.clone(),
            key: key.to_owned(),
        }))
    }

    fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError> {
        self.plan
            .step("replace", key, || self.inner.replace(key, bytes))
    }

    fn overwrite(
        &self,
        key: &str,
        offset: u64,
        was: &[u8],
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        self.plan.step("overwrite", key, || {
            self.inner.overwrite(key, offset, was, bytes)
        })
    }

    fn open(&self, key: &str, offset: u64) -> Result<Box<dyn Read + Send>, StorageError> {
        let inner = self
            .plan
            .step("open", key, || self.inner.open(key, offset))?;
        Ok(Box::new(FaultingRead {
            inner,
            plan: self.plan.clone(),
            key: key.to_owned(),
        }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, StorageError> {
        self.plan.step("list", prefix, || self.inner.list(prefix))
    }

    fn remove(&self, key: &str) -> Result<(), StorageError> {
        self.plan.step("remove", key, || self.inner.remove(key))
    }

    fn sweep(&self) -> Result<Vec<String>, StorageError> {
        self.plan.step("sweep", "", || self.inner.sweep())
    }

    fn free_bytes(&self) -> Option<u64> {
        self.inner.free_bytes()
    }

    fn local_root(&self) -> Option<&Path> {
        self.inner.local_root()
    }
}

struct FaultingWrite {
    inner: Box<dyn PendingWrite>,
    plan: FaultPlan,
    key: String,
}

impl Write for FaultingWrite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let inner = &mut self.inner;
        self.plan.step("write", &self.key, || inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl PendingWrite for FaultingWrite {
    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        let Self { inner, plan, key } = *self;
        plan.step("commit", &key, || inner.commit())
    }
}

struct FaultingRead {
    inner: Box<dyn Read + Send>,
    plan: FaultPlan,
    key: String,
}

impl Read for FaultingRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let inner = &mut self.inner;
        self.plan.step("read", &self.key, || inner.read(buffer))
    }
}
