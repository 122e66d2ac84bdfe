//! `kluis decrypt`: a file in, a file or stdout out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cli::Decrypt;
use crate::exit::Exit;
use crate::format::manifest::Trigger;
use crate::operations::{OperationError, decrypt};
use crate::render::DecryptReport;
use crate::storage::Storage;
use crate::wiring;

use super::session::Session;

pub fn run(session: &Session<'_>, wanted: &Decrypt) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let (storage, archive) = wiring::storage_of_file(&wanted.file)?;
    let vault = session.vault(&storage, "decrypt", Trigger::Manual)?;
    let output = match &wanted.output {
        Some(output) if output == Path::new("-") => {
            let mut stdout = session.console.stdout()?;
            let done = decrypt(&vault, &archive, &mut stdout, "stdout")?;
            stdout.flush()?;
            session.warn_of_copy(&archive, done.unused_copy.as_ref());
            return Ok(Exit::Done);
        }
        Some(output) => output.clone(),
        None => beside(&wanted.file)?,
    };
    // A pending write: nothing is there under that name before all of it is right.
    let (out_storage, key) = wiring::storage_of_file(&output)?;
    let out_storage = out_storage.unsynced();
    let place = format!("{}/{key}", out_storage.location());
    let mut pending = out_storage.create(&key)?;
    let done = decrypt(&vault, &archive, &mut *pending, &place)?;
    pending.commit()?;
    session.warn_of_copy(&archive, done.unused_copy.as_ref());
    session.print(&DecryptReport {
        file: archive,
        output: output.display().to_string(),
        format: done.format.to_owned(),
        bytes: done.unsealed.content_bytes,
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    })?;
    Ok(Exit::Done)
}

/// FILE without its `.enc`.
fn beside(file: &Path) -> Result<PathBuf, OperationError> {
    match file.extension() {
        Some(extension) if extension == "enc" => Ok(file.with_extension("")),
        _ => Err(OperationError::Usage {
            what: format!(
                "{} does not end in .enc; say where to write with -o",
                file.display()
            ),
        }),
    }
}
