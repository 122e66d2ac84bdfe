//! The archives of a change of keys: not only backups, but every archive that
//! some key opens. One that is left out would be lost with its old key.

use jiff::Timestamp;

use crate::catalog::{Backup, Catalog, Named, Superseded, Unproven};
use crate::format::manifest::Manifest;
use crate::format::manifest_file::ManifestFile;
use crate::format::names::{ArchiveName, archive_of_manifest};
use crate::ids::BackupId;
use crate::operations::{OperationError, Vault};
use crate::storage::StoredObject;

pub(super) struct Target {
    pub archive: String,
    pub stored: Option<StoredObject>,
    pub file: Option<ManifestFile>,
    /// Why its manifest is not believed.
    pub disbelieved: Option<Unproven>,
}

impl Target {
    fn of(named: Named<'_>) -> Self {
        let backup = named.backup();
        Self {
            archive: backup.archive.clone(),
            stored: backup.stored.clone(),
            file: backup.file.clone(),
            disbelieved: named.foreign().map(|foreign| foreign.why.clone()),
        }
    }

    pub fn manifest(&self) -> Option<&Manifest> {
        self.file.as_ref().map(|file| &file.manifest)
    }

    pub fn id(&self) -> Option<BackupId> {
        self.manifest().map(|manifest| manifest.id.clone())
    }

    /// As the operations that read take it.
    pub fn backup(&self) -> Backup {
        Backup {
            archive: self.archive.clone(),
            stored: self.stored.clone(),
            file: self.file.clone(),
            series: None,
            vouched_only: false,
            is_foreign: false,
            named: ArchiveName::parse(&self.archive),
        }
    }

    fn said_format(&self) -> Option<&str> {
        let encryption = self.manifest()?.encryption.as_ref();
        Some(encryption.map_or("not encrypted", |encryption| &encryption.format))
    }

    pub fn says_kluis1(&self) -> bool {
        self.manifest().is_some_and(Manifest::is_kluis1)
    }

    /// What an archive without the magic is.
    pub fn form_without_slots(&self) -> &'static str {
        let is_kanbu = match self.said_format() {
            Some(format) => format == "kanbu",
            None => self.archive.ends_with(".enc"),
        };
        if is_kanbu { "kanbu" } else { "not encrypted" }
    }
}

/// Those that were named, each once; or all that the storage holds, those whose
/// manifest cannot be read or is not there too.
pub(super) fn of(
    vault: &Vault<'_>,
    catalog: &Catalog,
    wanted: &[String],
    now: Timestamp,
) -> Result<Vec<Target>, OperationError> {
    let location = vault.storage.location();
    if !wanted.is_empty() {
        let mut found: Vec<Named<'_>> = Vec::new();
        for wanted in wanted {
            let named = catalog.find(wanted, now, &location)?;
            let is_it = |known: &Named<'_>| known.backup().archive == named.backup().archive;
            if !found.iter().any(is_it) {
                found.push(named);
            }
        }
        return Ok(found.into_iter().map(Target::of).collect());
    }
    let ours = catalog.backups.iter().map(Named::Ours);
    // What may get a slot is `vouched`'s business: none is passed over in silence.
    let foreign = catalog.foreign.iter().map(Named::Foreign);
    let superseded = catalog.superseded.iter().map(Superseded::named);
    let repeated = catalog.repeated.iter().map(|it| Named::Ours(&it.ours));
    let known = ours.chain(foreign).chain(superseded).chain(repeated);
    let there = known.filter(|named| named.backup().stored.is_some());
    let mut targets: Vec<Target> = there.map(Target::of).collect();
    if !catalog.unreadable.is_empty() {
        let objects = vault.storage.list("")?;
        for broken in &catalog.unreadable {
            let archive = archive_of_manifest(&broken.key);
            let stored = objects
                .iter()
                .find(|object| Some(object.key.as_str()) == archive);
            targets.extend(stored.map(|stored| Target {
                archive: stored.key.clone(),
                stored: Some(stored.clone()),
                file: None,
                disbelieved: None,
            }));
        }
    }
    Ok(targets)
}
