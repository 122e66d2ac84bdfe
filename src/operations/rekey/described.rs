//! What the manifest of an archive that was written anew says.

use jiff::Timestamp;

use crate::checked::FileName;
use crate::format::manifest::{
    Encryption, Manifest, ProofLevel, ReencryptedFrom, State, Stored, Verification,
};
use crate::pipeline::Receipt;

/// The same backup, in another archive.
pub(super) fn describe(
    archive: FileName,
    key_id: String,
    receipt: &Receipt,
    old: &Manifest,
) -> Manifest {
    Manifest {
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        reencrypted_from: Some(ReencryptedFrom {
            file: old.stored.file.clone(),
            sha256: old.stored.sha256.clone(),
            times: Some(old.times_written_anew().saturating_add(1)),
        }),
        stored: Stored {
            file: archive,
            bytes: receipt.stored_bytes,
            sha256: receipt.stored_sha256.clone(),
            payload_sha256: receipt.payload_sha256.clone(),
        },
        encryption: Some(Encryption {
            format: "KLUIS1".to_owned(),
            key_id,
        }),
        ..old.clone()
    }
}

/// Its series is the old one's. It was just read whole, so it is verified; what was proven of the old archive
/// beyond that is not proven of this one.
pub(super) fn state(old: &State, now: Timestamp) -> State {
    State {
        pinned: old.pinned,
        label: old.label.clone(),
        verification: Some(Verification {
            level: ProofLevel::Verified,
            at: now,
            ok: true,
            detail: None,
        }),
        replicas: None,
    }
}
