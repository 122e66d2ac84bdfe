//! Takes the encryption off one file: the way back without its last step, so
//! that any gunzip reads what comes out.

use std::io::{self, BufRead, Write};

use super::read::{OpenedArchive, integrity, open_archive};
use super::{OperationError, UnusedCopy, Vault};
use crate::format::manifest::Codec;
use crate::pipeline::{Opening, UnsealError, Unsealed, Unsealing, unseal};
use crate::storage::StorageError;

#[derive(Debug)]
pub struct DecryptDone {
    /// "KLUIS1" or "kanbu".
    pub format: &'static str,
    pub unsealed: Unsealed,
    pub unused_copy: Option<UnusedCopy>,
}

enum Failed {
    Archive(UnsealError),
    Output(io::Error),
}

impl From<UnsealError> for Failed {
    fn from(error: UnsealError) -> Self {
        Self::Archive(error)
    }
}

impl Failed {
    fn of(self, archive: &str, out_place: &str) -> OperationError {
        match self {
            Self::Archive(UnsealError::Cancelled(cancelled)) => cancelled.into(),
            Self::Archive(error @ UnsealError::Storage(_)) => error.into(),
            Self::Archive(error) => integrity(archive, &error.to_string()),
            Self::Output(source) => StorageError::new("write", out_place, source).into(),
        }
    }
}

/// Decrypts `archive` into `out`, which gets authenticated bytes only. The
/// caller makes `out` visible after `Ok`.
pub fn decrypt(
    vault: &Vault<'_>,
    archive: &str,
    out: &mut dyn Write,
    out_place: &str,
) -> Result<DecryptDone, OperationError> {
    let OpenedArchive {
        opening,
        offset,
        unused_copy,
        form,
        ..
    } = open_archive(vault, vault.storage, archive)?;
    if matches!(opening, Opening::Plain) {
        return Err(OperationError::Usage {
            what: format!("{archive} is not encrypted; gunzip, zstd or tar read it as it is"),
        });
    }
    let unsealing = Unsealing {
        opening,
        // The content goes out as it is, compressed.
        codec: Some(Codec::None),
        workers: 1,
        digests: false,
        told_bytes: None,
        cancel: vault.cancel.clone(),
    };
    let stored = vault.storage.open(archive, offset)?;
    vault.reporter.phase("decrypting", None);
    let advance = |bytes| vault.reporter.advance(bytes);
    let result = unseal(stored, unsealing, &advance, |content| copy(content, out));
    vault.reporter.phase_done();
    let ((), unsealed) = result.map_err(|failed| failed.of(archive, out_place))?;
    Ok(DecryptDone {
        format: form.name(),
        unsealed,
        unused_copy,
    })
}

fn copy(content: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), Failed> {
    loop {
        let bytes = content.fill_buf().map_err(Failed::Output)?;
        if bytes.is_empty() {
            return Ok(());
        }
        out.write_all(bytes).map_err(Failed::Output)?;
        let len = bytes.len();
        content.consume(len);
    }
}
