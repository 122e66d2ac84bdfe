//! Archives without key slots: their manifest is sealed by a configured key
//! itself, and would be nobody's once that key is gone.

use super::{KeyOutcome, KeyPlan, Target, without_slots};
use crate::checked::shell_word;
use crate::format::manifest_file::ManifestFile;
use crate::format::names::manifest_key;
use crate::operations::{OperationError, Vault};
use crate::pipeline::PassphraseSalt;

/// Seals the manifest by the key that seals new ones, where another key of the
/// ring sealed it. The state stays.
pub(super) fn reseal(
    vault: &Vault<'_>,
    target: &Target,
    salt: &PassphraseSalt,
    plan: &KeyPlan,
) -> Result<KeyOutcome, OperationError> {
    let passed_over = || without_slots(target, plan);
    // Where hosts sign, the signature tells whose it is.
    if target.disbelieved.is_some() || !vault.ring.verifiers().is_empty() {
        return passed_over();
    }
    let sealed = target.file.as_ref();
    let Some(file) = sealed.filter(|file| file.own_seal_holds(&vault.ring)) else {
        return passed_over();
    };
    let Some(anew) = file.sealed_anew(&vault.ring, salt) else {
        if !vault.ring.writers().any(|(_, key)| key.material.opens()) {
            vault.reporter.warn(&format!(
                "{} stays sealed by a key that writes no more, for none that writes can seal: \
                 without that key it counts no longer; kluis adopt {}, where the new key is",
                target.archive,
                shell_word(&target.archive)
            ));
        }
        return passed_over();
    };
    if !plan.dry_run {
        write(vault, target, &anew)?;
    }
    Ok(KeyOutcome::Resealed)
}

fn write(vault: &Vault<'_>, target: &Target, anew: &ManifestFile) -> Result<(), OperationError> {
    let bytes = anew.to_bytes();
    let bytes = bytes.map_err(|source| OperationError::Manifest {
        archive: target.archive.clone(),
        source,
    })?;
    Ok(vault
        .storage
        .replace(&manifest_key(&target.archive), &bytes)?)
}
