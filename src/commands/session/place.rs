//! Where what somebody names lies: in the configured storage, or where its path leads.

use std::path::Path;

use super::{Opened, Session};
use crate::catalog::CatalogError;
use crate::storage::{LocalStorage, Storage};
use crate::wiring;

impl Session<'_> {
    pub(super) fn place_of(&self, wanted: &str) -> anyhow::Result<(Opened, String)> {
        let configured = self.settings.storage.place.is_some();
        let path = Path::new(wanted);
        // A database may have a slash in its name.
        let names_no_path = !wanted.contains('/') || wanted.starts_with("latest:");
        if names_no_path && (configured || !path.is_file()) {
            // A file beside us needs no storage.
            let opened = self.open().map(Some);
            let opened = opened.or_else(|error| match path.is_file() {
                true => Ok(None),
                false => Err(error),
            });
            if let Some(mut opened) = opened? {
                self.look_into(&mut opened, wanted)?;
                if !path.is_file() || !opened.has_none(wanted) {
                    return Ok((opened, wanted.to_owned()));
                }
            }
        }
        let (storage, key) = wiring::storage_of_file(path)?;
        let mut opened = self.opened(storage)?;
        self.look_into(&mut opened, &key)?;
        Ok((opened, key))
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

impl Opened {
    /// Nothing in the storage is called so.
    fn has_none(&self, wanted: &str) -> bool {
        let found = self.catalog.find(wanted, self.now, "");
        matches!(found, Err(CatalogError::NotFound { .. }))
    }
}
