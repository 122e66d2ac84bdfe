//! The manifest of a file to adopt, of nothing but what was read.

use super::identify::Found;
use super::{Adopting, OperationError, Reading, random_id};
use crate::checked::FileName;
use crate::format::manifest::{ADOPTED, Content, Encryption, MANIFEST_VERSION, Manifest, Stored};
use crate::ids::BackupId;
use crate::operations::read::integrity;

impl Adopting<'_> {
    /// What was seen.
    pub(super) fn describe(&self, reading: &Reading) -> Result<Manifest, OperationError> {
        let Found {
            format,
            name,
            created_at,
            ..
        } = &reading.found;
        let mut database = reading.received.database.clone();
        if let (Some(database), Some(format)) = (&mut database, reading.database_format()) {
            format.clone_into(&mut database.format);
        }
        let unsealed = &reading.unsealed;
        let unread = || integrity(&self.file.key, "it was not read whole");
        Ok(Manifest {
            version: MANIFEST_VERSION,
            id: BackupId::from_random(random_id()?),
            kind: format.kind(),
            name: name.clone(),
            created_at: *created_at,
            host: self.vault.actor.host.clone(),
            trigger: self.vault.actor.trigger,
            note: Some(ADOPTED.to_owned()),
            label: None,
            before_restore_of: None,
            adopted: true,
            reencrypted_from: None,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            stored: Stored {
                file: FileName::new(&*self.file.key)?,
                bytes: reading.stored_bytes,
                sha256: reading.stored_sha256.clone(),
                payload_sha256: reading
                    .has_header
                    .then(|| unsealed.stored_sha256.clone())
                    .flatten(),
            },
            content: Content {
                codec: unsealed.codec,
                bytes: unsealed.content_bytes,
                sha256: unsealed.content_sha256.clone().ok_or_else(unread)?,
                raw_bytes: unsealed.raw_bytes,
            },
            encryption: reading
                .encryption
                .clone()
                .map(|(format, key_id)| Encryption {
                    format: format.to_owned(),
                    key_id,
                }),
            database,
            source: reading.received.tree.clone(),
            gzip_index: None,
        })
    }
}
