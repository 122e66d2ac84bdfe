//! `kluis verify`.

use crate::catalog::Backup;
use crate::cli::Verify;
use crate::event::{Event, EventBackup, EventKind};
use crate::exit::{Exit, exit_of, hint_of};
use crate::format::manifest::{Kind, ProofLevel, Trigger};
use crate::operations::{Depth, OperationError, Reporter, UnusedCopy, VerifyDone, verify};
use crate::render::{VerifyReport, VerifyRow};
use crate::wiring;

use super::around::problem_of;
use super::session::{Opened, Session, each_backup};

pub fn run(session: &Session<'_>, wanted: &Verify) -> anyhow::Result<Exit> {
    let (depth, level) = match (wanted.quick, wanted.restore) {
        (true, _) => (Depth::Quick, ProofLevel::Stored),
        (_, true) => (Depth::Restore, ProofLevel::Restored),
        _ => (Depth::Full, ProofLevel::Verified),
    };
    let plan = match depth {
        Depth::Restore => Some(wiring::proof_plan(
            &session.settings,
            wanted.in_server,
            session.path.as_deref(),
        )?),
        _ => None,
    };
    let programs = wiring::archive_programs(&session.settings, session.path.as_deref());
    let check = |backup: &Backup| match &plan {
        Some(plan) => wiring::proof_target(plan, backup, &programs, session.cancel),
        None => wiring::check_target(backup, &programs, session.cancel),
    };
    let trigger: Trigger = wanted.run.trigger.into();
    let mut worst = Exit::Done;
    let mut rows = Vec::new();
    let (mut unreadable, mut passed_over) = (0, 0);
    let named_none = wanted.backups.is_empty();
    let mut act = |opened: &Opened, backup: &Backup| -> anyhow::Result<()> {
        let vault = session.vault(&opened.storage, "verify", trigger)?;
        let (row, exit) = match verify(&vault, backup, depth, session.now, &check) {
            // What a prune took away meanwhile is not one of them all.
            Err(gone @ OperationError::Gone { .. }) if named_none => {
                session.console.detail(&format!("passed over: {gone}"));
                return Ok(());
            }
            verified => judged(backup, verified)?,
        };
        happened(session, backup, &row, trigger);
        if worst != Exit::Integrity && exit != Exit::Done {
            worst = exit;
        }
        rows.push(row);
        Ok(())
    };
    if named_none {
        let opened = session.open()?;
        let chosen = chosen(&opened, wanted, depth, level);
        passed_over = chosen.passed_over;
        for backup in chosen.backups {
            act(&opened, backup)?;
        }
        unreadable = tell_unreadable(session, &opened);
        if unreadable > 0 {
            worst = Exit::Integrity;
        }
        if rows.is_empty() {
            session.record_idle(&opened.storage, "verify", trigger, "nothing was pending");
        }
    } else {
        each_backup(session, &wanted.backups, act)?;
    }
    for row in rows.iter().filter(|row| !row.ok) {
        let (text, hint) = (row.problems.join("; "), row.hint.as_deref());
        session.console.also_wrong(&row.file, &text, hint);
    }
    let ok = worst == Exit::Done;
    let report = VerifyReport {
        ok,
        backups: rows,
        unreadable,
        passed_over,
    };
    session.end(&report, worst)
}

/// One backup's row. What ends the whole command is an error; an archive that is
/// wrong is a row like the others.
fn judged(
    backup: &Backup,
    verified: Result<VerifyDone, OperationError>,
) -> anyhow::Result<(VerifyRow, Exit)> {
    match verified {
        Ok(done) => Ok(match done.damage().cloned() {
            None => (right(backup, done), Exit::Done),
            Some(damaged) => (restorable(backup, done, &damaged), Exit::Integrity),
        }),
        Err(error @ (OperationError::Cancelled(_) | OperationError::Lock(_))) => Err(error.into()),
        Err(error) => Ok(wrong(backup, error)),
    }
}

/// What `--all` or `--pending` takes of a storage.
struct Chosen<'a> {
    backups: Vec<&'a Backup>,
    /// Those that cannot be proven so far.
    passed_over: u64,
}

fn chosen<'a>(opened: &'a Opened, wanted: &Verify, depth: Depth, level: ProofLevel) -> Chosen<'a> {
    let checked = |backup: &Backup| {
        let state = backup.file.as_ref().map(|file| &file.state);
        let last = state.and_then(|state| state.verification.as_ref());
        // What restores but wants a repair stays pending until it has it.
        last.is_some_and(|last| last.ok && last.detail.is_none() && last.level >= level)
    };
    // Globals and files without a manifest cannot be proven by a restore.
    let can_be = |backup: &&Backup| {
        depth != Depth::Restore || (backup.file.is_some() && !backup.holds_globals())
    };
    let backups = opened.catalog.backups.iter();
    let (mut backups, others): (Vec<_>, Vec<_>) = backups.partition(can_be);
    backups.retain(|backup| wanted.all || !checked(backup));
    Chosen {
        backups,
        passed_over: others.len() as u64,
    }
}

/// How many manifests cannot be read; each is told.
fn tell_unreadable(session: &Session<'_>, opened: &Opened) -> u64 {
    for broken in &opened.catalog.unreadable {
        let text = format!("the manifest {}: {}", broken.key, broken.error);
        session.console.warn(&text);
    }
    opened.catalog.unreadable.len() as u64
}

/// Keeps what is wrong with a backup for those who are told of it. What could
/// not be judged, such as for want of a key, is no proof of anything.
fn happened(session: &Session<'_>, backup: &Backup, row: &VerifyRow, trigger: Trigger) {
    if row.ok || row.unknown {
        return;
    }
    let manifest = backup.file.as_ref().map(|file| &file.manifest);
    session.happened.add(Event {
        subject: Some(row.kind),
        name: Some(row.name.clone()),
        backup: manifest.map(EventBackup::of),
        duration_ms: Some(row.duration_ms),
        problem: Some(problem_of(row.problems.join("; "), row.hint.clone())),
        ..session.event(EventKind::VerifyFailed, "verify", trigger)
    });
}

fn right(backup: &Backup, done: VerifyDone) -> VerifyRow {
    // Of an undamaged copy this is worth a note.
    let unused = done.unused_copy.map(|unused| {
        let remedy = unused.remedy(&backup.archive);
        format!("{unused}; {remedy}")
    });
    VerifyRow {
        ok: true,
        restorable: true,
        level: done.level,
        read_bytes: done.stored_bytes,
        duration_ms: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
        warnings: done.warnings.into_iter().chain(unused).collect(),
        ..empty(backup)
    }
}

/// Proven as far as was asked, but by its last copy of the header.
fn restorable(backup: &Backup, mut done: VerifyDone, damaged: &UnusedCopy) -> VerifyRow {
    done.unused_copy = None;
    VerifyRow {
        ok: false,
        problems: vec![damaged.to_string()],
        hint: Some(damaged.remedy(&backup.archive)),
        ..right(backup, done)
    }
}

fn wrong(backup: &Backup, error: OperationError) -> (VerifyRow, Exit) {
    let lacks_key = error.lacks_key();
    let said = error.to_string();
    // The row names the archive already.
    let problem = said.strip_prefix(&format!("{}: ", backup.archive));
    let problem = problem.unwrap_or(&said).to_owned();
    let error = anyhow::Error::new(error);
    let exit = exit_of(&error);
    let damaged = || {
        let name = backup.name();
        let kind = match backup.kind() {
            Some(Kind::Source) => "source",
            _ => "db",
        };
        format!("make a new one with kluis backup {kind}, and restore {name} from another backup")
    };
    let hint = hint_of(&error).or_else(|| (exit == Exit::Integrity).then(damaged));
    let row = VerifyRow {
        unknown: lacks_key || exit != Exit::Integrity,
        problems: vec![problem],
        hint,
        ..empty(backup)
    };
    (row, exit)
}

fn empty(backup: &Backup) -> VerifyRow {
    let id = backup
        .file
        .as_ref()
        .map(|file| file.manifest.id.to_string());
    VerifyRow {
        id: id.unwrap_or_else(|| "-".to_owned()),
        kind: backup.kind().unwrap_or(Kind::Source),
        name: backup.name().to_owned(),
        created_at: backup.created_at(),
        file: backup.archive.clone(),
        ok: false,
        restorable: false,
        unknown: false,
        level: ProofLevel::Stored,
        read_bytes: 0,
        duration_ms: 0,
        problems: Vec::new(),
        hint: None,
        warnings: Vec::new(),
    }
}
