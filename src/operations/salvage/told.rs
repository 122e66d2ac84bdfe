//! What is not whole, in words.

use std::collections::HashMap;

use super::content;
use crate::catalog::Backup;
use crate::format::manifest::TreeContent;
use crate::format::mended::{NotWhole, PartKind};
use crate::format::tar::{Hurt, MendedTar, display_path};
use crate::ledger::Ledger;
use crate::operations::compare::Comparison;
use crate::operations::{OperationError, Vault};
use crate::target::{Received, Target, TargetError};

/// Tables that are named one by one where all are lost.
const NAMED_MAX: usize = 200;

/// Why nothing comes back of an archive without its table of contents.
pub(super) fn no_contents(why: &str, known: Option<&Ledger>) -> String {
    let what = format!(
        "its table of contents cannot be read ({why}), and without it nothing of a dump in custom \
         or directory format can be told from another"
    );
    let Some(known) = known else {
        return format!("{what}: all of its tables are lost");
    };
    let names = known.tables.iter().take(NAMED_MAX);
    let names: Vec<String> = names
        .map(|it| format!("{}.{}", it.schema, it.name))
        .collect();
    let more = match known.tables.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (count, names) = (known.tables.len(), names.join(", "));
    format!("{what}: all of its {count} tables are lost: {names}{more}")
}

pub(super) fn told(mended: &MendedTar) -> impl Iterator<Item = NotWhole> + '_ {
    let hurt = mended.hurt.iter().map(|file| {
        let lost_bytes = match &file.hurt {
            Hurt::Lost(places) => places.iter().map(|it| (it.start, it.end)).collect(),
            _ => Vec::new(),
        };
        let name = display_path(&file.path);
        NotWhole {
            lost_bytes,
            ..NotWhole::new(PartKind::File, name, file.hurt.to_string())
        }
    });
    let found = mended.found_again.iter().map(|found| {
        let why = format!(
            "doubtful: behind a damaged place this entry and {} after it were found by looking for \
             the next; if a file that is lost there was itself a tar archive, they may be its",
            found.entries.saturating_sub(1)
        );
        NotWhole::new(PartKind::File, display_path(&found.first), why)
    });
    hurt.chain(found)
}

/// The restored database beside what is known of its dump: the manifest's word, else what
/// came of it.
pub(super) fn differences(
    vault: &Vault<'_>,
    backup: &Backup,
    received: &Received,
    target: &mut dyn Target,
) -> Result<Vec<NotWhole>, OperationError> {
    let Some(came) = &received.database else {
        return Ok(Vec::new());
    };
    let phase = format!("comparing {}", backup.name());
    vault.reporter.phase(&phase, None);
    let copy = target.read_back(&|bytes| vault.reporter.advance(bytes));
    vault.reporter.phase_done();
    let copy = match copy {
        Ok(copy) => copy.and_then(|copy| copy.database),
        Err(TargetError::Cancelled(cancelled)) => return Err(cancelled.into()),
        Err(error) => {
            let why = format!("what came could not be compared with its dump: {error}");
            return Ok(vec![NotWhole::new(
                PartKind::Archive,
                &*backup.archive,
                why,
            )]);
        }
    };
    let Some(copy) = copy else {
        return Ok(Vec::new());
    };
    let known = content(backup);
    let dumped = known.unwrap_or(came);
    let comparison = Comparison::of(&dumped.ledger, known, &copy, received.types_left_out);
    let tables = comparison.tables.iter().filter(|table| !table.same);
    let tables = tables.map(|table| {
        let name = format!("{}.{}", table.schema, table.name);
        NotWhole::new(PartKind::Table, name, table.to_string())
    });
    let others = comparison.others.iter();
    let others = others.map(|other| NotWhole::new(PartKind::Archive, "database", other));
    Ok(tables.chain(others).collect())
}

/// Adds what the comparison found; of a table that is named already it is told there.
pub(super) fn add(not_whole: &mut Vec<NotWhole>, found: Vec<NotWhole>) {
    let named = not_whole.iter().enumerate();
    let named = named.filter(|(_, it)| it.kind == PartKind::Table);
    let named: HashMap<String, usize> = named.map(|(at, it)| (it.name.clone(), at)).collect();
    for found in found {
        match named
            .get(&found.name)
            .filter(|_| found.kind == PartKind::Table)
        {
            Some(at) => not_whole[*at].why += &format!(" ({})", found.why),
            None => not_whole.push(found),
        }
    }
}

/// What the manifest counts and did not come; its names are lost with it.
pub(super) fn missing(backup: &Backup, came: Option<&TreeContent>) -> Vec<NotWhole> {
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    let (Some(told), Some(came)) = (manifest.and_then(|it| it.source.as_ref()), came) else {
        return Vec::new();
    };
    let counts = [
        ("files", told.files, came.files),
        ("directories", told.directories, came.directories),
        ("symlinks", told.symlinks, came.symlinks),
        ("hard links", told.hard_links, came.hard_links),
    ];
    let wrong = counts.into_iter().filter(|(_, told, came)| told != came);
    let wrong = wrong.map(|(what, told, came)| {
        let why = match told.checked_sub(came) {
            Some(lost) => format!("{lost} of {told} {what} are lost, with their names"),
            None => format!("{came} {what} came, {told} were backed up"),
        };
        NotWhole::new(PartKind::Archive, what, why)
    });
    wrong.collect()
}
