//! Writes an archive's header anew: 8192 bytes, and not one of the payload's.
//!
//! Invariant: at every moment one copy is whole and opens, with the keys of
//! before or with those of after. So the copy that is not in use goes first, is
//! made durable and read back, and only then the one that is in use.

use crate::checked::shell_word;
use crate::format::header::{HEADER_LEN, HeaderError, Opened, PAYLOAD_OFFSET, copy_holds};
use crate::format::slots::Slot;
use crate::operations::read::{integrity, read_head};
use crate::operations::{OperationError, Vault};

/// Bytes that a change of keys writes into an archive.
pub const REWRITTEN_BYTES: u64 = PAYLOAD_OFFSET;

/// Both copies of `archive`'s header with `slots`, one generation on. `head`: what was
/// read and opened; nothing is written over anything else.
pub(super) fn rewrite(
    vault: &Vault<'_>,
    archive: &str,
    (head, opened): (&[u8], &Opened),
    slots: Vec<Slot>,
) -> Result<(), OperationError> {
    let copies = opened.with_slots(slots).map_err(|e| refused(archive, &e))?;
    for copy in [opened.copy.other(), opened.copy] {
        let written = &copies[copy as usize];
        let at = copy.offset() as usize;
        let was = head.get(at..at + HEADER_LEN).unwrap_or_default();
        vault
            .storage
            .overwrite(archive, copy.offset(), was, written.as_slice())?;
        let head = read_head(vault.storage, archive)?;
        let is_as_written = head.get(at..at + HEADER_LEN) == Some(written.as_slice());
        if !is_as_written || !copy_holds(&head, copy, &opened.keys) {
            let other = copy.other();
            let what = format!(
                "copy {copy} of its header does not read back as it was written; it still opens \
                 by copy {other}. Look after the disk, then kluis key repair {}",
                shell_word(archive)
            );
            return Err(integrity(archive, &what));
        }
    }
    Ok(())
}

/// What cannot be written into a header is no damage.
pub(super) fn refused(archive: &str, why: &HeaderError) -> OperationError {
    OperationError::Refused {
        what: format!("{archive}: {why}"),
    }
}
