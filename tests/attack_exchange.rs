//! Whoever can write to the storage puts another file in an archive's place while a
//! restore reads it: between two readings of it, or in the middle of one. What runs
//! what it reads must never get a byte of that file, in none of the formats. Succeeds
//! on 861f450, where psql got it and the digest came too late.

use std::io::{self, BufRead, Cursor, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use kluis::catalog::{Backup, Catalog, Trust, read_whole};
use kluis::operations::{
    Depth, Encryption, OperationError, RestoreSteps, decrypt, restore, verify,
};
use kluis::reached::{Goal, Reached};
use kluis::storage::{MemoryStorage, PendingWrite, Storage, StorageError, StoredObject};
use kluis::target::{Received, Target, TargetError};

use crate::support::in_process::{Witness, at, back_up, tree_of, vault};
use crate::support::opening::reads_otherwise;

const EVERY: u64 = 1 << 30;

/// Another file stands under `archive` from its opening `from` on, and that one
/// changes to it after so many bytes.
struct Exchanging<'a> {
    inner: &'a MemoryStorage,
    archive: &'a str,
    other: Vec<u8>,
    from: usize,
    after_bytes: u64,
    opened: AtomicUsize,
}

impl Exchanging<'_> {
    fn reads(&self, genuine: Box<dyn Read + Send>, offset: u64) -> Box<dyn Read + Send> {
        let other = |from: u64| Cursor::new(self.other[from as usize..].to_vec());
        match self.opened.fetch_add(1, Ordering::Relaxed) {
            at if at < self.from => genuine,
            at if at == self.from => {
                let first = genuine.take(self.after_bytes.saturating_sub(offset));
                let then = offset.max(self.after_bytes);
                Box::new(first.chain(other(then.min(self.other.len() as u64))))
            }
            _ => Box::new(other(offset)),
        }
    }
}

reads_otherwise!(Exchanging<'_>);

/// Runs what it gets, as a server does: at once.
#[derive(Clone, Default)]
struct Server {
    ran: Arc<Mutex<Vec<u8>>>,
}

impl Target for Server {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let mut piece = [0; 10_000];
        loop {
            match stream.read(&mut piece).map_err(TargetError::Stream)? {
                0 => return Ok(Received::default()),
                bytes => self.ran.lock().unwrap().extend_from_slice(&piece[..bytes]),
            }
        }
    }

    fn read_back(&mut self, _: &dyn Fn(u64)) -> Result<Option<Received>, TargetError> {
        Ok(Some(Received::default()))
    }

    fn commit(&mut self, _: &mut Reached) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }
}

struct Field {
    storage: MemoryStorage,
    backup: Backup,
    /// What a server gets of it.
    genuine: Vec<u8>,
    /// The same archive with one bit changed somewhere, or another one of ours.
    others: Vec<Vec<u8>>,
}

fn field(encryption: Encryption) -> Field {
    let storage = MemoryStorage::new();
    let reporter = Witness::default();
    let run = vault(&storage, &reporter, "backup");
    let tree = tree_of((2 << 20) + 300_000);
    let made = back_up(&run, tree.path(), encryption, at(1)).unwrap();
    let another = back_up(&run, tree_of((2 << 20) + 300_000).path(), encryption, at(2)).unwrap();
    let archive = &made.manifest.stored.file;
    let catalog = Catalog::load(&storage, Trust::Ring(&run.ring)).unwrap();
    let backup = catalog.backups.iter().find(|it| *archive == it.archive);
    let backup = Backup::clone(backup.unwrap());
    let bytes = read_whole(&storage, archive, EVERY).unwrap();
    let mut changed = bytes.clone();
    changed[3 << 19] ^= 1;
    let others = vec![
        changed,
        read_whole(&storage, &another.manifest.stored.file, EVERY).unwrap(),
    ];
    let server = Server::default();
    let _ = restored(&storage, &backup, &server);
    let genuine = server.ran.lock().unwrap().clone();
    assert!(genuine.len() > (2 << 20) + 300_000);
    Field {
        storage,
        backup,
        genuine,
        others,
    }
}

fn restored(storage: &dyn Storage, backup: &Backup, server: &Server) -> bool {
    let reporter = Witness::default();
    let run = vault(storage, &reporter, "restore");
    let steps = RestoreSteps {
        goal: Goal {
            shown: "database shop".to_owned(),
            existed: false,
            in_place: false,
        },
        check: Some(Box::new(Server::default())),
        before_change: Box::new(|| Ok(None)),
        start: Box::new(|| Ok(Box::new(server.clone()))),
        read_back: None,
        accept_differences: false,
    };
    restore(&run, backup, at(3), steps).is_ok()
}

fn proven(storage: &dyn Storage, backup: &Backup, server: &Server) -> bool {
    let reporter = Witness::default();
    let run = vault(storage, &reporter, "verify");
    let target =
        |_: &Backup| -> Result<Box<dyn Target>, OperationError> { Ok(Box::new(server.clone())) };
    verify(&run, backup, Depth::Restore, at(3), &target).is_ok()
}

/// Every opening of the archive, and places in the middle of its reading.
fn nothing_of_another_file_is_run(
    encryption: Encryption,
    run: fn(&dyn Storage, &Backup, &Server) -> bool,
) {
    let field = field(encryption);
    let mut refused = 0;
    for other in &field.others {
        for from in 0..6 {
            for after_bytes in [0, 8192, (1 << 20) + 7] {
                let storage = Exchanging {
                    inner: &field.storage,
                    archive: &field.backup.archive,
                    other: other.clone(),
                    from,
                    after_bytes,
                    opened: AtomicUsize::new(0),
                };
                let server = Server::default();
                let is_right = run(&storage, &field.backup, &server);
                let ran = server.ran.lock().unwrap();
                let case = format!("{encryption:?}, opening {from}, after {after_bytes}");
                assert!(
                    field.genuine.starts_with(&ran),
                    "{case}: it ran another file"
                );
                assert!(
                    !is_right || *ran == field.genuine,
                    "{case}: a part is right"
                );
                refused += usize::from(!is_right);
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_restore_runs_no_byte_of_a_file_that_took_the_archives_place() {
    for encryption in [Encryption::None, Encryption::Kanbu, Encryption::Kluis1] {
        nothing_of_another_file_is_run(encryption, restored);
    }
}

#[test]
fn a_proof_runs_no_byte_of_a_file_that_took_the_archives_place() {
    for encryption in [Encryption::None, Encryption::Kanbu, Encryption::Kluis1] {
        nothing_of_another_file_is_run(encryption, proven);
    }
}

#[test]
fn decrypt_writes_no_byte_of_a_file_that_took_the_archives_place() {
    fn decrypted(storage: &dyn Storage, backup: &Backup, server: &Server) -> bool {
        let reporter = Witness::default();
        let run = vault(storage, &reporter, "decrypt");
        let mut gunzip = flate2::write::MultiGzDecoder::new(Vec::new());
        let done = decrypt(&run, &backup.archive, &mut gunzip, "stdout");
        let _ = io::Write::flush(&mut gunzip);
        server
            .ran
            .lock()
            .unwrap()
            .extend_from_slice(gunzip.get_ref());
        done.is_ok()
    }
    for encryption in [Encryption::Kanbu, Encryption::Kluis1] {
        let field = field(encryption);
        // Another archive of ours is whole, and comes out whole.
        let changed = Field {
            others: vec![field.others[0].clone()],
            ..field
        };
        for from in 0..5 {
            let storage = Exchanging {
                inner: &changed.storage,
                archive: &changed.backup.archive,
                other: changed.others[0].clone(),
                from,
                after_bytes: 0,
                opened: AtomicUsize::new(0),
            };
            let server = Server::default();
            decrypted(&storage, &changed.backup, &server);
            let ran = server.ran.lock().unwrap();
            assert!(changed.genuine.starts_with(&ran), "{encryption:?} {from}");
        }
    }
}
