//! The key that a host signs its backups with: a file of its own, which opens no
//! archive.

use std::path::Path;

use super::{KeyTextError, SecretError, read_key_file};
use crate::format::signing::Signer;

/// Reads what `kluis key generate --signing` wrote.
pub fn load_signing_key(path: &Path) -> Result<Signer, SecretError> {
    let bytes = read_key_file(path)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    Signer::parse(text.trim_end_matches('\n')).ok_or_else(|| SecretError::Key {
        place: path.display().to_string(),
        source: KeyTextError::NoSigningKey,
    })
}
