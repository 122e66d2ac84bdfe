//! What an operator may read back of a backup that no key of ours vouches for.
//!
//! An archive that one of our keys authenticates is ours whatever lies beside it;
//! then its manifest is not believed. Any other one is somebody's until the
//! operator says otherwise.

use std::borrow::Cow;

use super::OperationError;
use super::read::{Form, read_head};
use crate::catalog::{Backup, Named, Unproven};
use crate::checked::shell_word;
use crate::format::header;
use crate::format::keyring::Keyring;
use crate::storage::Storage;

pub struct Accepted<'a> {
    pub backup: Cow<'a, Backup>,
    /// Taken on the operator's word: what it restores must lend nobody rights.
    pub unsealed: bool,
    /// Its manifest was passed over, and why.
    pub without_manifest: Option<Unproven>,
}

/// The backup to restore, or why it takes a word more. `told`: that the operator
/// accepts what is not sealed.
pub fn accept<'a>(
    storage: &dyn Storage,
    ring: &Keyring,
    named: Named<'a>,
    told: bool,
) -> Result<Accepted<'a>, OperationError> {
    let backup = named.backup();
    let as_it_is = |unsealed| Accepted {
        backup: Cow::Borrowed(backup),
        unsealed,
        without_manifest: None,
    };
    let Some(foreign) = named.foreign() else {
        return Ok(as_it_is(false));
    };
    // Where hosts sign, what is not signed is anybody's, although it opens.
    let by_itself = match foreign.why {
        Unproven::NotSigned => None,
        _ => by_itself(storage, ring, backup)?,
    };
    match by_itself {
        Some(form) => {
            // A seal by the archive's own key is looked at when it is read.
            let keeps_manifest = form == Form::Kluis1;
            Ok(Accepted {
                backup: Cow::Owned(Backup {
                    vouched_only: true,
                    is_foreign: false,
                    file: backup.file.clone().filter(|_| keeps_manifest),
                    ..backup.clone()
                }),
                unsealed: false,
                without_manifest: (backup.file.is_some() && !keeps_manifest)
                    .then(|| foreign.why.clone()),
            })
        }
        None if told => Ok(as_it_is(true)),
        None => Err(refused(storage, &backup.archive, &foreign.why.to_string())),
    }
}

/// What it is where it may be ours by itself. Its reading makes sure of that, and
/// tells what else is wrong with it.
fn by_itself(
    storage: &dyn Storage,
    ring: &Keyring,
    backup: &Backup,
) -> Result<Option<Form>, OperationError> {
    let archive = &backup.archive;
    if backup.stored.is_none() {
        return Ok(Some(Form::Kluis1));
    }
    let head = read_head(storage, archive)?;
    if !header::has_magic(&head) {
        return Ok(archive.ends_with(".enc").then_some(Form::Kanbu));
    }
    Ok(match header::open(&head, ring) {
        Ok(opened) if !header::vouches(&head, ring, &opened) => None,
        _ => Some(Form::Kluis1),
    })
}

/// Whether no more is known than that anybody can have made it, or put it where it lies:
/// a file of Kanbu's has no name and time but its file's.
pub fn is_anybodys(
    storage: &dyn Storage,
    ring: &Keyring,
    backup: &Backup,
) -> Result<bool, OperationError> {
    Ok(!matches!(
        by_itself(storage, ring, backup)?,
        Some(Form::Kluis1)
    ))
}

/// Of an archive that was to be ours by itself.
pub(super) fn not_vouched(storage: &dyn Storage, archive: &str) -> OperationError {
    refused(storage, archive, &Unproven::RecipientOnly.to_string())
}

/// Of one whose name and time stand nowhere but in its file's name.
pub(super) fn named_by_anybody(storage: &dyn Storage, archive: &str) -> OperationError {
    refused(storage, archive, "its name and time are its file's alone")
}

fn refused(storage: &dyn Storage, archive: &str, why: &str) -> OperationError {
    let place = storage.location();
    let named = format!("{place}/{archive}");
    let word = shell_word(&named);
    OperationError::Usage {
        what: format!(
            "{archive} is not sealed by a key of ours ({why}): whoever can write to {place} may \
             have put it there. If you know where it is from, `kluis adopt {word}` makes it \
             ours, or --accept-unsealed takes it once, without setuid, devices and security \
             attributes",
        ),
    }
}
