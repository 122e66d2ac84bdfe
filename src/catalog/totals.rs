//! How many backups there are, and what lies beside them.

use super::{Catalog, Unproven};
use crate::format::manifest::{ProofLevel, Standing};
use crate::health::{Totals, Uncounted};

impl Catalog {
    /// Of our backups, parts and what restores replaced among them.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for backup in &self.backups {
            let Some(standing) = backup.standing() else {
                continue;
            };
            totals.backups += 1;
            totals.stored_bytes = totals.stored_bytes.saturating_add(backup.stored_bytes());
            let of_its_sort = match standing {
                Standing::Good(ProofLevel::Stored) => &mut totals.pending,
                Standing::Good(_) => &mut totals.verified,
                Standing::DoesNotRestore | Standing::Damaged => &mut totals.failed,
            };
            *of_its_sort += 1;
        }
        totals
    }

    /// What lies there and is no backup that counts.
    pub fn uncounted(&self) -> Uncounted {
        let alone = self.all().filter(|backup| backup.file.is_none());
        let not_tried = self.foreign.iter();
        let not_tried = not_tried.filter(|it| it.why == Unproven::NotTried);
        Uncounted {
            not_tried: not_tried.count() as u64,
            foreign: self.foreign.len() as u64,
            without_manifest: alone.count() as u64,
        }
    }
}
