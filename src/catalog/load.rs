//! Reads the catalogue of a storage. Mostly without a lock: other runs may make
//! and remove backups meanwhile, and what they are at work on must look neither
//! damaged nor like another program's file.

use std::collections::{BTreeMap, HashSet};
use std::thread;

use super::{Backup, Catalog, CatalogError, Unreadable, read_whole};
use crate::format::manifest_file::{ManifestError, ManifestFile};
use crate::format::names::{ArchiveName, MARKER_KEY, archive_of_manifest, manifest_key};
use crate::format::run_record::{RunKey, RunRecord, RunStatus};
use crate::storage::{ErrorKind, Storage, StorageError, StoredObject};

/// Records of runs that change backups that are read in any case where an archive
/// has no manifest.
const NEWEST_RECORDS: usize = 16;

/// Fewer manifests are read before a thread has begun.
const MANIFESTS_A_THREAD: usize = 200;
/// More only get in each other's way.
const THREADS_MAX: usize = 8;

/// By key.
type Objects = BTreeMap<String, StoredObject>;

impl Catalog {
    pub fn load(storage: &dyn Storage) -> Result<Self, CatalogError> {
        let mut objects = objects(storage)?;
        let manifests: Vec<String> = objects
            .keys()
            .filter(|key| archive_of_manifest(key).is_some())
            .cloned()
            .collect();
        add_archives(storage, &manifests, &mut objects)?;
        let mut catalog = Self::default();
        for (key, found) in manifests.iter().zip(read_all(storage, &manifests)) {
            objects.remove(key);
            catalog.add(key, found?, &mut objects);
        }
        // Anything else that lies there is not ours to speak of.
        objects.retain(|key, _| ArchiveName::parse(key).is_some());
        if !objects.is_empty() {
            catalog.read_alone(storage, objects)?;
        }
        catalog.backups.sort_by(|a, b| {
            let newest_first = b.created_at().cmp(&a.created_at());
            newest_first.then_with(|| b.archive.cmp(&a.archive))
        });
        catalog.set_superseded_aside();
        Ok(catalog)
    }

    /// The backup of the manifest `key`; takes its archive out of `objects`.
    fn add(&mut self, key: &str, found: Found, objects: &mut Objects) {
        let Some(archive) = archive_of_manifest(key) else {
            return;
        };
        let stored = objects.remove(archive);
        match found {
            Found::Manifest(file) => self.push(archive, stored, Some(*file)),
            Found::Broken(error) => self.unreadable.push(Unreadable {
                key: key.to_owned(),
                error,
            }),
            Found::Gone => {}
        }
    }

    /// Archives that had no manifest when the storage was listed: other programs'
    /// files, unless a run was at work on them.
    fn read_alone(&mut self, storage: &dyn Storage, alone: Objects) -> Result<(), StorageError> {
        let unfinished = unfinished(storage, &alone)?;
        // Only after the records: what a run has ended since is seen here.
        let mut now = objects(storage)?;
        for archive in alone.keys().filter(|key| !unfinished.contains(*key)) {
            let manifest = manifest_key(archive);
            if now.contains_key(&manifest) {
                let found = Found::read(storage, &manifest)?;
                self.add(&manifest, found, &mut now);
            } else if let Some(stored) = now.remove(archive) {
                self.push(archive, Some(stored), None);
            }
        }
        Ok(())
    }

    /// A backup is there once, however often its archive is.
    fn set_superseded_aside(&mut self) {
        let names = |backup: &Backup| {
            let from = backup.file.as_ref()?.manifest.reencrypted_from.as_ref()?;
            Some(from.file.clone())
        };
        let named: HashSet<String> = self.backups.iter().filter_map(names).collect();
        if named.is_empty() {
            return;
        }
        let all = std::mem::take(&mut self.backups);
        let is_old = |backup: &Backup| {
            named.contains(&backup.archive) && all.iter().any(|new| supersedes(new, backup))
        };
        let old: Vec<bool> = all.iter().map(is_old).collect();
        for (backup, is_old) in all.into_iter().zip(old) {
            match is_old {
                true => self.superseded.push(backup),
                false => self.backups.push(backup),
            }
        }
    }

    fn push(&mut self, archive: &str, stored: Option<StoredObject>, file: Option<ManifestFile>) {
        let named = ArchiveName::parse(archive);
        self.backups.push(Backup {
            archive: archive.to_owned(),
            stored,
            file,
            named,
        });
    }
}

/// What lies under a manifest's key.
enum Found {
    Manifest(Box<ManifestFile>),
    Broken(ManifestError),
    /// Removed since it was listed, by a prune for one.
    Gone,
}

impl Found {
    fn read(storage: &dyn Storage, key: &str) -> Result<Self, StorageError> {
        let bytes = match read_whole(storage, key) {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Self::Gone),
            read => read?,
        };
        Ok(match ManifestFile::parse(&bytes) {
            Ok(file) => Self::Manifest(Box::new(file)),
            Err(error) => Self::Broken(error),
        })
    }
}

/// Reads manifests, in the order of their keys; many of them on several threads,
/// because understanding them takes longer than reading them.
fn read_all(storage: &dyn Storage, keys: &[String]) -> Vec<Result<Found, StorageError>> {
    let read = |keys: &[String]| -> Vec<_> {
        let read = keys.iter().map(|key| Found::read(storage, key));
        read.collect()
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(THREADS_MAX).min(keys.len() / MANIFESTS_A_THREAD);
    if threads <= 1 {
        return read(keys);
    }
    let (mine, others) = keys.split_at(keys.len().div_ceil(threads));
    thread::scope(|scope| {
        let others: Vec<_> = others
            .chunks(mine.len())
            .map(|keys| (keys, scope.spawn(move || read(keys))))
            .collect();
        let mut found = read(mine);
        for (keys, thread) in others {
            // One that panicked has read nothing: then it is read here.
            found.extend(thread.join().unwrap_or_else(|_| read(keys)));
        }
        found
    })
}

/// Whether `new` is the backup `old`, written anew, and seems to be there whole.
pub fn supersedes(new: &Backup, old: &Backup) -> bool {
    let (Some(new_file), Some(old_file)) = (&new.file, &old.file) else {
        return false;
    };
    let from = new_file.manifest.reencrypted_from.as_ref();
    new.archive != old.archive
        && new.stored_bytes() == new_file.manifest.stored.bytes
        && new_file.manifest.id == old_file.manifest.id
        && from.is_some_and(|from| from.file == old.archive)
}

/// All that lies in the storage, but its marker and the records.
fn objects(storage: &dyn Storage) -> Result<Objects, StorageError> {
    let listed = storage.list("")?.into_iter();
    let objects = listed.filter(|object| object.key != MARKER_KEY);
    Ok(objects.map(|object| (object.key.clone(), object)).collect())
}

/// The names of a large directory are read in pieces: a backup that came in
/// between may show its manifest, and not the archive that was there before it.
fn add_archives(
    storage: &dyn Storage,
    manifests: &[String],
    objects: &mut Objects,
) -> Result<(), StorageError> {
    let archives = || manifests.iter().filter_map(|key| archive_of_manifest(key));
    if archives().all(|archive| objects.contains_key(archive)) {
        return Ok(());
    }
    let mut now = self::objects(storage)?;
    for archive in archives() {
        if let Some(stored) = now.remove(archive) {
            objects.insert(archive.to_owned(), stored);
        }
    }
    Ok(())
}

/// Those of `archives` that a run's record says it is at work on, or left when it
/// died. The record of a backup lies under the very second that stands in its
/// archive's name; that of a delete, prune or rotation is among the last that such
/// runs wrote, because the next one finishes its work. One that cannot be read
/// hides nothing.
fn unfinished(storage: &dyn Storage, archives: &Objects) -> Result<HashSet<String>, StorageError> {
    let made_at = |archive: &String| Some(ArchiveName::parse(archive)?.created.as_second());
    let seconds: HashSet<i64> = archives.keys().filter_map(made_at).collect();
    let mut records: Vec<(RunKey, StoredObject)> = storage
        .list("runs/")?
        .into_iter()
        .filter_map(|object| Some((RunKey::parse(&object.key)?, object)))
        .filter(|(key, _)| key.may_change_backups())
        .collect();
    // By their last word: a run that waited for the lock lies under an early time.
    records.sort_by_key(|(_, object)| std::cmp::Reverse(object.modified));
    let looked_at = records.into_iter().enumerate().filter(|(at, (key, _))| {
        *at < NEWEST_RECORDS || seconds.contains(&key.started.as_second())
    });
    let at_work_on = |(_, (_, object)): (usize, (RunKey, StoredObject))| {
        let bytes = read_whole(storage, &object.key).ok()?;
        let record: RunRecord = serde_json::from_slice(&bytes).ok()?;
        let is_at_work = record.status == RunStatus::Running && record.changes_its_backup();
        record.backup.filter(|_| is_at_work)
    };
    Ok(looked_at.filter_map(at_work_on).collect())
}
