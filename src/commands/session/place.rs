//! Where what somebody names lies: in the configured storage, or where its path leads.

use std::path::Path;

use super::{Opened, Session};
use crate::catalog::{Catalog, CatalogError, Named, Unproven, try_named};
use crate::format::names::ArchiveName;
use crate::operations::OperationError;
use crate::storage::{LocalStorage, Storage};
use crate::wiring;

impl Session<'_> {
    pub(super) fn place_of(&self, wanted: &str) -> anyhow::Result<(Opened, String)> {
        let configured = self.settings.storage.place.is_some();
        let path = Path::new(wanted);
        // A database may have a slash in its name.
        let names_no_path = !wanted.contains('/') || wanted.starts_with("latest:");
        let is_there = path.symlink_metadata().is_ok();
        let names_a_file = ArchiveName::guess(wanted, self.now).is_some();
        if names_no_path && names_a_file && !configured && !is_there {
            return Err(no_file(path, "").into());
        }
        if names_no_path && (configured || !path.is_file()) {
            // A file beside us needs no storage.
            let opened = self.open().map(Some);
            let opened = opened.or_else(|error| match path.is_file() {
                true => Ok(None),
                false => Err(error),
            });
            if let Some(mut opened) = opened? {
                self.look_into(&mut opened, wanted)?;
                if names_a_file && !is_there && opened.has_none(wanted) {
                    let place = opened.storage.location();
                    return Err(no_file(path, &format!(", nor in {place}")).into());
                }
                if !path.is_file() || !opened.has_none(wanted) {
                    return Ok((opened, wanted.to_owned()));
                }
            }
        }
        let (storage, key) = wiring::storage_of_file(path)?;
        if !is_there && Catalog::load(&storage, self.trust())?.has_none(&key, self.now) {
            return Err(no_file(path, "").into());
        }
        let mut opened = self.opened(storage)?;
        self.look_into(&mut opened, &key)?;
        Ok((opened, key))
    }

    /// What planted archives kept from being tried is tried where it is named, and then
    /// all that share its salt are.
    pub(super) fn tried_for(&self, opened: Opened, wanted: &str) -> anyhow::Result<Opened> {
        let found = opened.catalog.find(wanted, self.now, "");
        let foreign = found.ok().and_then(Named::foreign);
        match foreign.filter(|it| it.why == Unproven::NotTried) {
            None => Ok(opened),
            Some(foreign) => {
                try_named(&opened.storage, self.ring()?, &foreign.described().archive);
                self.opened(opened.storage)
            }
        }
    }

    /// What somebody names by its file is taken for what is in it.
    fn look_into(&self, opened: &mut Opened, file: &str) -> anyhow::Result<()> {
        let is_loose = match opened.catalog.find(file, self.now, "") {
            Ok(found) => found.backup().is_loose(),
            Err(error) => matches!(error, CatalogError::NotFound { .. }),
        };
        let Opened {
            storage, catalog, ..
        } = opened;
        match is_loose {
            true => Ok(catalog.look_into(storage, self.trust(), file)?),
            false => Ok(()),
        }
    }

    /// Where a storage is empty, the backups may lie one level below it.
    pub(super) fn hint_at_below(&self, storage: &LocalStorage) {
        let below = storage.directories_with_archives();
        if let Some(first) = below.first() {
            let place = storage.location();
            self.console.info(&format!(
                "archives lie below {place}, in {}; kluis -s {place}/{first} looks there",
                below.join(", ")
            ));
        }
    }
}

/// `elsewhere`: where else it was looked for.
fn no_file(path: &Path, elsewhere: &str) -> OperationError {
    let path = path.display();
    OperationError::Usage {
        what: format!("there is no file {path}{elsewhere}; `kluis list` shows the backups"),
    }
}

impl Opened {
    fn has_none(&self, wanted: &str) -> bool {
        self.catalog.has_none(wanted, self.now)
    }
}
