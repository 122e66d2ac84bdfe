//! How often a restore reads an archive. Once where the copy is thrown away unless
//! everything was right and our own key vouches for each chunk of what a server is to
//! run; twice where one of both is missing.

use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use kluis::catalog::{Backup, Catalog, Trust};
use kluis::operations::{Encryption, RestoreSteps, restore};
use kluis::reached::{Goal, Reached};
use kluis::storage::{MemoryStorage, PendingWrite, StorageError, StoredObject};
use kluis::target::{Received, Target, TargetError};

use crate::support::in_process::{Witness, at, back_up, tree_of, vault};
use crate::support::opening::reads_otherwise;

/// Counts what is read of the archive.
struct Counting<'a> {
    inner: &'a MemoryStorage,
    archive: &'a str,
    read_bytes: Arc<AtomicU64>,
}

struct CountedRead {
    inner: Box<dyn Read + Send>,
    read_bytes: Arc<AtomicU64>,
}

impl Read for CountedRead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Counting<'_> {
    fn reads(&self, inner: Box<dyn Read + Send>, _: u64) -> Box<dyn Read + Send> {
        let read_bytes = Arc::clone(&self.read_bytes);
        Box::new(CountedRead { inner, read_bytes })
    }
}

reads_otherwise!(Counting<'_>);

/// Tells what is done with it, in order.
struct Told(&'static str, Arc<Mutex<Vec<&'static str>>>);

impl Target for Told {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        std::io::copy(stream, &mut std::io::sink()).map_err(TargetError::Stream)?;
        self.1.lock().unwrap().push(self.0);
        Ok(Received::default())
    }

    fn commit(&mut self, _: &mut Reached) -> Result<Vec<String>, TargetError> {
        self.1.lock().unwrap().push("committed");
        Ok(Vec::new())
    }
}

/// What was done, and how often the archive was read.
fn restored(encryption: Encryption, in_place: bool) -> (Vec<&'static str>, f64) {
    let storage = MemoryStorage::new();
    let reporter = Witness::default();
    let tree = tree_of(2 << 20);
    let run = vault(&storage, &reporter, "backup");
    let made = back_up(&run, tree.path(), encryption, at(1)).unwrap();
    let catalog = Catalog::load(&storage, Trust::Ring(&run.ring)).unwrap();
    let backup: &Backup = &catalog.backups[0];
    let counting = Counting {
        inner: &storage,
        archive: &made.manifest.stored.file,
        read_bytes: Arc::default(),
    };
    let course = Arc::<Mutex<Vec<&str>>>::default();
    let told = |what| Box::new(Told(what, Arc::clone(&course)));
    let steps = RestoreSteps {
        goal: Goal {
            shown: "database shop".to_owned(),
            existed: true,
            in_place,
        },
        check: Some(told("checked")),
        before_change: Box::new(|| {
            course.lock().unwrap().push("backed up");
            Ok(None)
        }),
        start: Box::new(|| Ok(told("filled"))),
        read_back: None,
        accept_differences: false,
    };
    let run = vault(&counting, &reporter, "restore");
    restore(&run, backup, at(2), steps).unwrap();
    let read = counting.read_bytes.load(Ordering::Relaxed) as f64;
    let course = course.lock().unwrap().clone();
    (course, read / backup.stored_bytes() as f64)
}

#[test]
fn what_our_key_vouches_for_is_read_once_into_a_staging_place() {
    let (course, times) = restored(Encryption::Kluis1, false);
    // What is written meanwhile is in the backup of what is replaced, too.
    assert_eq!(course, ["filled", "backed up", "committed"]);
    assert!(times < 1.1, "{times}");
}

#[test]
fn a_database_that_is_filled_as_it_stands_waits_for_a_whole_reading() {
    let (course, times) = restored(Encryption::Kluis1, true);
    assert_eq!(course, ["checked", "backed up", "filled", "committed"]);
    assert!(times > 1.9, "{times}");
}

#[test]
fn what_no_key_vouches_for_chunk_by_chunk_is_read_to_its_end_before_it_is_run() {
    for encryption in [Encryption::None, Encryption::Kanbu] {
        let (course, times) = restored(encryption, false);
        assert_eq!(course, ["checked", "filled", "backed up", "committed"]);
        assert!(times > 1.9, "{encryption:?}: {times}");
    }
}
