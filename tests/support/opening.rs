//! A storage in memory in which one archive reads otherwise than it is.

/// Makes a storage of a type with a `MemoryStorage` as its `inner` and an `archive`,
/// which reads as its `reads(genuine, offset)` says. All else is as in `inner`.
macro_rules! reads_otherwise {
    ($type:ty) => {
        impl ::kluis::storage::Storage for $type {
            fn location(&self) -> String {
                self.inner.location()
            }
            fn create(&self, key: &str) -> Result<Box<dyn PendingWrite>, StorageError> {
                self.inner.create(key)
            }
            fn replace(&self, key: &str, bytes: &[u8]) -> Result<(), StorageError> {
                self.inner.replace(key, bytes)
            }
            fn overwrite(
                &self,
                key: &str,
                offset: u64,
                was: &[u8],
                bytes: &[u8],
            ) -> Result<(), StorageError> {
                self.inner.overwrite(key, offset, was, bytes)
            }
            fn open(&self, key: &str, offset: u64) -> Result<Box<dyn Read + Send>, StorageError> {
                let genuine = self.inner.open(key, offset)?;
                match *key == *self.archive {
                    true => Ok(self.reads(genuine, offset)),
                    false => Ok(genuine),
                }
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
                None
            }
            fn local_root(&self) -> Option<&Path> {
                None
            }
        }
    };
}
pub(crate) use reads_otherwise;
