//! `kluis verify`.

use crate::catalog::{Backup, Foreign, Named, Unproven};
use crate::checked::shell_word;
use crate::cli::Verify;
use crate::event::{Event, EventBackup, EventKind};
use crate::exit::{Exit, exit_of, hint_of};
use crate::format::manifest::{Kind, ProofLevel, Standing, Trigger};
use crate::operations::{
    Depth, OperationError, Reporter, UnusedCopy, VerifyDone, accept, refuse_hollow, verify,
};
use crate::render::{VerifyFinding, VerifyReport, VerifyRow};
use crate::wiring;

use super::around::problem_of;
use super::session::{Opened, Session, each_backup};

pub fn run(session: &Session<'_>, wanted: &Verify) -> anyhow::Result<Exit> {
    session.ring()?;
    let (depth, level) = match (wanted.quick, wanted.restore) {
        (true, _) => (Depth::Quick, ProofLevel::Stored),
        (_, true) => (Depth::Restore, ProofLevel::Restored),
        _ => (Depth::Full, ProofLevel::Verified),
    };
    let plan = match depth {
        Depth::Restore => Some(wiring::proof_plan(
            &session.settings,
            wanted.in_server,
            wanted.as_superuser,
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
    let (mut unreadable, mut passed_over, mut unsealed) = (0, 0, 0);
    let named_none = wanted.backups.is_empty();
    let mut act = |opened: &Opened, named: Named<'_>, backup: &Backup| -> anyhow::Result<()> {
        let vault = session.vault(&opened.storage, "verify", trigger)?;
        // What somebody names is read, however it looks.
        let anybodys = named_none && !named.is_checked();
        let refused = match anybodys {
            true => refuse_hollow(
                &opened.storage,
                &backup.archive,
                backup.stored_bytes(),
                "verify",
            ),
            false => Ok(()),
        };
        let verified = refused.and_then(|()| verify(&vault, backup, depth, session.now, &check));
        let (mut row, exit) = match verified {
            // What a prune took away meanwhile is not one of them all.
            Err(gone @ OperationError::Gone { .. }) if named_none => {
                session.console.detail(&format!("passed over: {gone}"));
                return Ok(());
            }
            verified => judged(backup, verified)?,
        };
        row.warnings
            .extend(counts_nowhere(named).filter(|_| row.ok));
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
        (passed_over, unsealed) = (chosen.passed_over, chosen.unsealed);
        for named in chosen.backups {
            act(&opened, named, named.backup())?;
        }
        session.warn_of_unreadable(&opened.catalog);
        unreadable = opened.catalog.unreadable.len() as u64;
        if unreadable > 0 {
            worst = Exit::Integrity;
        }
        if rows.is_empty() {
            session.record_idle(&opened.storage, "verify", trigger, "nothing was pending");
        }
    } else {
        each_backup(session, &wanted.backups, |opened, named| {
            if depth == Depth::Restore {
                // It runs what the archive says.
                let ring = session.ring()?;
                let accepted = accept(&opened.storage, ring, named, wanted.accept_unsealed)?;
                return act(opened, named, &accepted.backup);
            }
            act(opened, named, named.backup())
        })?;
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
        unsealed,
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
    backups: Vec<Named<'a>>,
    /// Those that cannot be proven so far.
    passed_over: u64,
    /// Those that are not run to prove them.
    unsealed: u64,
}

fn chosen<'a>(opened: &'a Opened, wanted: &Verify, depth: Depth, level: ProofLevel) -> Chosen<'a> {
    let checked = |backup: &Backup| {
        let state = backup.file.as_ref().map(|file| &file.state);
        let last = state.and_then(|state| state.verification.as_ref());
        // What restores but wants a repair stays pending until it has it.
        last.is_some_and(|last| last.ok && last.detail.is_none() && last.level >= level)
    };
    // Globals and files without a manifest cannot be proven by a restore, and what
    // another program's file should be nobody knows.
    let can_be = |backup: &&Backup| match depth {
        Depth::Restore => backup.file.is_some() && !backup.holds_globals(),
        Depth::Quick | Depth::Full => !backup.is_loose(),
    };
    let catalog = &opened.catalog;
    let ours = catalog.backups.iter();
    let (mut backups, others): (Vec<_>, Vec<_>) = ours.partition(|ours| can_be(&&***ours));
    backups.retain(|backup| wanted.all || !checked(backup));
    // What others put there is read with --all, and restored to prove it on the
    // operator's word only. What was ours and is no more is looked at in any case.
    let is_read = |foreign: &&Foreign| match depth {
        Depth::Restore => wanted.accept_unsealed && can_be(&foreign.described()),
        _ => can_be(&foreign.described()) && (wanted.all || foreign.why.is_alarming()),
    };
    let (read, passed): (Vec<_>, Vec<_>) = catalog.foreign.iter().partition(is_read);
    let loose = passed.iter().filter(|it| it.described().is_loose()).count();
    let ours = backups.into_iter().map(Named::Ours);
    Chosen {
        backups: ours.chain(read.into_iter().map(Named::Foreign)).collect(),
        passed_over: (others.len() + loose) as u64,
        unsealed: match depth {
            Depth::Restore => (passed.len() - loose) as u64,
            _ => 0,
        },
    }
}

/// What is right and yet no backup of ours.
fn counts_nowhere(named: Named<'_>) -> Option<String> {
    let foreign = named.foreign()?;
    let archive = &foreign.described().archive;
    let remedy = match foreign.why.lacks_seal() {
        true => format!("kluis adopt {} makes it ours", shell_word(archive)),
        false => Unproven::OTHER_KEY_REMEDY.to_owned(),
    };
    Some(format!(
        "it is right, but not sealed by a key of ours ({}): counts nowhere; {remedy}",
        foreign.why
    ))
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
    let is_refused =
        backup.standing() == Some(Standing::DoesNotRestore) && done.level < ProofLevel::Restored;
    let refused = is_refused.then(|| {
        let archive = shell_word(&backup.archive);
        format!("an earlier proof found that it does not restore; kluis verify --restore {archive} tries again")
    });
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
        warnings: done
            .warnings
            .into_iter()
            .chain(unused)
            .chain(refused)
            .collect(),
        ..empty(backup)
    }
}

/// Proven as far as was asked, but by its last copy of the header.
fn restorable(backup: &Backup, mut done: VerifyDone, damaged: &UnusedCopy) -> VerifyRow {
    done.unused_copy = None;
    VerifyRow {
        ok: false,
        finding: Some(VerifyFinding::Damaged),
        problems: vec![damaged.to_string()],
        hint: Some(damaged.remedy(&backup.archive)),
        ..right(backup, done)
    }
}

fn wrong(backup: &Backup, error: OperationError) -> (VerifyRow, Exit) {
    let finding = finding(&error);
    let said = error.to_string();
    // The row names the archive already.
    let problem = said.strip_prefix(&format!("{}: ", backup.archive));
    let problem = problem.unwrap_or(&said).to_owned();
    let error = anyhow::Error::new(error);
    let exit = exit_of(&error);
    let hint = hint_of(&error).or_else(|| remedy(backup, finding));
    let row = VerifyRow {
        unknown: finding.is_unknown(),
        finding: Some(finding),
        problems: vec![problem],
        hint,
        ..empty(backup)
    };
    (row, exit)
}

fn finding(error: &OperationError) -> VerifyFinding {
    match error.standing() {
        Some(Standing::Damaged) => VerifyFinding::Damaged,
        Some(Standing::DoesNotRestore) => VerifyFinding::DoesNotRestore,
        _ if error.is_of_the_place() => VerifyFinding::NotProvable,
        _ => VerifyFinding::NotDone,
    }
}

fn remedy(backup: &Backup, finding: VerifyFinding) -> Option<String> {
    let name = backup.name();
    let kind = match backup.kind() {
        Some(Kind::Source) => "source",
        _ => "db",
    };
    match finding {
        VerifyFinding::Damaged => Some(format!(
            "make a new one with kluis backup {kind}, and restore {name} from another backup; \
             keep this one until the new one is proven"
        )),
        VerifyFinding::DoesNotRestore => Some(format!(
            "all its data is there: `kluis decrypt {}` writes it out; mend in {name} what the \
             server refuses, make a new one with kluis backup {kind}, and prove that",
            shell_word(&backup.archive)
        )),
        VerifyFinding::NotProvable | VerifyFinding::NotDone => None,
    }
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
        finding: None,
        level: ProofLevel::Stored,
        read_bytes: 0,
        duration_ms: 0,
        problems: Vec::new(),
        hint: None,
        warnings: Vec::new(),
    }
}
