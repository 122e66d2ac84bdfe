//! Reads the catalogue of a storage. Mostly without a lock: other runs may make
//! and remove backups meanwhile, and what they are at work on must look neither
//! damaged nor like another program's file.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::found::{FOREIGN_WEIGHT_MAX, Found, Unremembered, read_all};
use super::salts::with_common_salts;
use super::trust::Judged;
use super::{
    Backup, Catalog, CatalogError, RECORDS_READ_MAX, Trust, Unreadable, read_record, storage_id,
};
use crate::format::manifest::{Manifest, State};
use crate::format::manifest_file::{ManifestError, ManifestFile};
use crate::format::names::{ArchiveName, MARKER_KEY, archive_of_manifest, manifest_key};
use crate::format::run_record::{RunKey, RunStatus};
use crate::series::{Series, series_of};
use crate::storage::{ErrorKind, RECORDS, Storage, StorageError, StoredObject};

/// Records of runs that change backups that are looked at in any case where an archive
/// has no manifest: what is not believed takes no place among them.
const NEWEST_RECORDS: usize = 16;

/// By key.
type Objects = BTreeMap<String, StoredObject>;

impl Catalog {
    /// `trust` decides which manifests are backups of ours.
    pub fn load(storage: &dyn Storage, trust: Trust<'_>) -> Result<Self, CatalogError> {
        let mut objects = objects(storage)?;
        let manifests: Vec<StoredObject> = objects
            .values()
            .filter(|object| archive_of_manifest(&object.key).is_some())
            .cloned()
            .collect();
        add_archives(storage, &manifests, &mut objects)?;
        let mut catalog = Self::default();
        let all = with_common_salts(storage, trust, || {
            Ok::<_, CatalogError>(read_all(storage, trust, &manifests))
        })?;
        let mut foreign = Vec::new();
        for (manifest, found) in manifests.iter().zip(all) {
            objects.remove(&manifest.key);
            catalog.add(manifest, found, &mut objects, &mut foreign);
        }
        catalog.name_misplaced(storage)?;
        // Anything else that lies there is not ours to speak of.
        objects.retain(|key, object| ArchiveName::guess(key, object.modified).is_some());
        if !objects.is_empty() {
            catalog.read_alone(storage, trust, objects, &mut foreign)?;
        }
        catalog.read_foreign(storage, trust, foreign);
        let newest_first = |a: &Backup, b: &Backup| {
            let newest_first = b.created_at().cmp(&a.created_at());
            newest_first.then_with(|| b.archive.cmp(&a.archive))
        };
        catalog.backups.sort_by(|a, b| newest_first(a, b));
        let foreign = &mut catalog.foreign;
        foreign.sort_by(|a, b| newest_first(a.described(), b.described()));
        catalog.count_each_once(storage, trust);
        catalog.join_series();
        Ok(catalog)
    }

    /// What has a manifest's name and is no file, or stands in the records' place: it
    /// is passed over, but not in silence.
    fn name_misplaced(&mut self, storage: &dyn Storage) -> Result<(), StorageError> {
        let is_told = |key: &String| archive_of_manifest(key).is_some() || key == RECORDS;
        let misplaced = storage.misplaced("")?.into_iter().filter(is_told);
        self.unreadable.extend(misplaced.map(|key| Unreadable {
            key,
            error: ManifestError::Misplaced,
        }));
        Ok(())
    }

    /// Older backups of ours to the series that go on with them. What a foreign
    /// manifest says joins nothing.
    fn join_series(&mut self) {
        let files = self.backups.iter().filter_map(|ours| ours.file.as_ref());
        let all: Vec<(&Manifest, &State)> = files.map(|it| (&it.manifest, &it.state)).collect();
        let mut series = series_of(&all).into_iter();
        for ours in self.backups.iter_mut().filter(|ours| ours.file.is_some()) {
            ours.set_series(series.next());
        }
    }

    /// The backup of a manifest; takes its archive out of `objects`.
    fn add(
        &mut self,
        manifest: &StoredObject,
        found: Found,
        objects: &mut Objects,
        foreign: &mut Vec<Unremembered>,
    ) {
        let Some(archive) = archive_of_manifest(&manifest.key) else {
            return;
        };
        let stored = objects.remove(archive);
        match found {
            Found::Manifest(file, judged) => self.push(archive, stored, Some(*file), judged),
            Found::Foreign { weight, why } => foreign.push(Unremembered {
                weight,
                why,
                manifest: manifest.clone(),
                stored,
            }),
            Found::Broken(error) => self.unreadable.push(Unreadable {
                key: manifest.key.clone(),
                error,
            }),
            Found::Gone => {}
        }
    }

    /// As many of them as may be remembered, the small ones first: one large one must
    /// not hide the others. The rest is named.
    fn read_foreign(
        &mut self,
        storage: &dyn Storage,
        trust: Trust<'_>,
        mut foreign: Vec<Unremembered>,
    ) {
        foreign.sort_by(|a, b| (a.weight, &a.manifest.key).cmp(&(b.weight, &b.manifest.key)));
        let mut weight = 0_u64;
        for one in foreign {
            weight = weight.saturating_add(one.weight);
            let found = match weight > FOREIGN_WEIGHT_MAX {
                true => Found::Broken(ManifestError::TooMuch(FOREIGN_WEIGHT_MAX)),
                false => Found::read_whole(storage, trust, &one),
            };
            let stored = one.stored.map(|stored| (stored.key.clone(), stored));
            let mut objects = stored.into_iter().collect();
            self.add(&one.manifest, found, &mut objects, &mut Vec::new());
        }
    }

    /// Archives that had no manifest when the storage was listed: other programs'
    /// files, unless a run was at work on them.
    fn read_alone(
        &mut self,
        storage: &dyn Storage,
        trust: Trust<'_>,
        alone: Objects,
        foreign: &mut Vec<Unremembered>,
    ) -> Result<(), StorageError> {
        let unfinished = with_common_salts(storage, trust, || unfinished(storage, trust, &alone))?;
        // Only after the records: what a run has ended since is seen here.
        let mut now = objects(storage)?;
        for archive in alone.keys().filter(|key| !unfinished.contains(*key)) {
            let manifest = manifest_key(archive);
            if let Some(object) = now.remove(&manifest) {
                let found = Found::read(storage, trust, &object);
                self.add(&object, found, &mut now, foreign);
            } else if let Some(stored) = now.remove(archive) {
                self.push(archive, Some(stored), None, trust.judge_alone());
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        archive: &str,
        stored: Option<StoredObject>,
        file: Option<ManifestFile>,
        judged: Judged,
    ) {
        let modified = stored
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |it| it.modified);
        let backup = Backup {
            archive: archive.to_owned(),
            named: ArchiveName::guess(archive, modified),
            stored,
            series: file.as_ref().map(|it| Series::of(&it.manifest, &it.state)),
            file,
            vouched_only: false,
            is_foreign: judged.is_err(),
        };
        self.push_judged(backup, judged);
    }
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
    manifests: &[StoredObject],
    objects: &mut Objects,
) -> Result<(), StorageError> {
    let archives = || {
        manifests
            .iter()
            .filter_map(|it| archive_of_manifest(&it.key))
    };
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
/// hides nothing, nor does with a key at hand one that no key of ours sealed.
fn unfinished(
    storage: &dyn Storage,
    trust: Trust<'_>,
    archives: &Objects,
) -> Result<HashSet<String>, StorageError> {
    let made_at = |archive: &String| Some(ArchiveName::parse(archive)?.created.as_second());
    let seconds: HashSet<i64> = archives.keys().filter_map(made_at).collect();
    let listed = match storage.list("runs/") {
        // It is named elsewhere, and hides nothing.
        Err(error) if error.kind == ErrorKind::Misplaced => Vec::new(),
        listed => listed?,
    };
    let mut records: Vec<(RunKey, StoredObject)> = listed
        .into_iter()
        .filter_map(|object| Some((RunKey::parse(&object.key)?, object)))
        .filter(|(key, _)| key.may_change_backups())
        .collect();
    records.sort_by_key(|(_, object)| Reverse(object.modified));
    let storage_id = storage_id(storage)?;
    let mut newest = 0;
    let mut found = HashSet::new();
    for (key, object) in records.into_iter().take(RECORDS_READ_MAX) {
        if newest >= NEWEST_RECORDS && !seconds.contains(&key.started.as_second()) {
            continue;
        }
        let Ok(record) = read_record(storage, &object) else {
            continue;
        };
        let is_believed = match trust {
            Trust::NoKey | Trust::Unchecked => true,
            Trust::Ring(ring) => {
                record.is_of_storage(storage_id.as_deref()) && record.seal_holds(ring)
            }
        };
        if !is_believed {
            continue;
        }
        newest += 1;
        if record.status == RunStatus::Running && record.changes_its_backup() {
            found.extend(record.backup);
        }
    }
    Ok(found)
}
