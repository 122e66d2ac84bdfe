//! The hooks around a run: whose turn it is, what they are told, and what it
//! means when one fails behind the run.

use anyhow::Error;

use super::{Around, record};
use crate::commands::session::Session;
use crate::config::{ConfigError, Settings};
use crate::event::Event;
use crate::exit::{Exit, exit_of};
use crate::hooks::{Context, HookError, Moment, run_hooks};
use crate::lock::{Lock, LockKind};
use crate::operations::Reporter;
use crate::process::{self, Tool};
use crate::render::whole;
use crate::storage::Storage;
use crate::strict::{self, StrictError};
use crate::wiring;

/// Beside the storage's own lock; no object can have this name.
const HOOKS_LOCK: &str = ".kluis-hooks.lock";

/// Runs with hooks take turns, from the first hook to the last. It is a lock of
/// its own: a hook may well call kluis, which takes the storage's.
pub(super) fn turn(session: &Session<'_>, around: &Around) -> anyhow::Result<Option<Lock>> {
    let settings = &session.settings;
    if settings.hooks.fit(around.command) {
        judge(settings)?;
    }
    if !settings.hooks.fit(around.command) {
        return Ok(None);
    }
    // A storage that cannot be opened is told by the run.
    let storage = wiring::existing_storage(settings).ok();
    let path = storage.map(|it| it.lock_file(HOOKS_LOCK)).transpose()?;
    let Some(path) = path.flatten() else {
        return Ok(None);
    };
    let actor = session.actor(around.command, around.trigger);
    let holder = actor.holder(session.now);
    let wait = Some(settings.lock_wait.value);
    match Lock::acquire(&path, LockKind::Exclusive, wait, &holder, session.cancel) {
        Ok(lock) => Ok(Some(lock)),
        // Where nobody can write, nobody else is at work either.
        Err(error) if error.is_read_only() => {
            session.console.detail(&error.to_string());
            Ok(None)
        }
        Err(error) if error.is_for_others() => {
            let text = format!("runs with hooks take no turns with this one: {error}");
            session.console.warn(&text);
            Ok(None)
        }
        // Something that is no lock lies there: without it a hook would thaw what
        // another run has frozen.
        Err(error) => Err(error.into()),
    }
}

/// Refuses, as root, a hook's program that somebody else could have written.
fn judge(settings: &Settings) -> Result<(), ConfigError> {
    if !process::is_root() {
        return Ok(());
    }
    for program in settings.hooks.programs() {
        // One that is not there fails when its turn comes.
        let Some(path) = Tool::new(program).located() else {
            continue;
        };
        if let Err(source @ StrictError::Refused { .. }) = strict::open(&path) {
            return Err(ConfigError::NotOurs {
                what: "the hook's program",
                path,
                source,
            });
        }
    }
    Ok(())
}

/// Runs what stands behind a run; whether all of it went well.
pub(super) fn behind(
    session: &Session<'_>,
    around: &Around,
    result: &anyhow::Result<Exit>,
    events: &[Event],
) -> bool {
    let ended_well = matches!(result, Ok(Exit::Done | Exit::Incomplete | Exit::Plugin(0)));
    let well = ended_well && events.iter().all(|event| event.kind.is_success());
    let moment = match well {
        true => Moment::After,
        false => Moment::Failed,
    };
    let told = context(result, events, well);
    let mut all_well = true;
    for moment in [moment, Moment::Finally] {
        if let Err(error) = at(session, around, moment, told.clone()) {
            let error = Error::new(error);
            let text = format!(
                "{}; what the run did is not touched by that; {}",
                whole(&error),
                HookError::HINT
            );
            session.console.warn(&text);
            let command = format!("hook {}", moment.word());
            let about = events.iter().find_map(|event| event.backup.as_ref());
            let about = about.map(|backup| backup.file.as_str());
            record(session, &command, around.trigger, about, &error);
            all_well = false;
        }
    }
    all_well
}

pub(super) fn at(
    session: &Session<'_>,
    around: &Around,
    moment: Moment,
    behind: Context,
) -> Result<(), HookError> {
    let settings = &session.settings.hooks;
    let wanted = settings.of(moment);
    if wanted.is_empty() || !settings.fit(around.command) {
        return Ok(());
    }
    let place = session.settings.storage_path().ok();
    let mut context = vec![
        ("COMMAND", around.command.to_owned()),
        ("TRIGGER", around.trigger.word().to_owned()),
        ("SCHEDULE", session.schedule.clone().unwrap_or_default()),
        (
            "STORAGE",
            place.map_or_else(String::new, |path| path.display().to_string()),
        ),
    ];
    context.extend(behind);
    let console = session.console;
    console.detail(&format!("running the hooks `{}`", moment.word()));
    let said = |line: &str| console.detail(&format!("{}: {line}", moment.word()));
    let (limit, pass_env) = (settings.limit.value, &settings.pass_env.value);
    run_hooks(moment, wanted, &context, pass_env, limit, said)
}

fn context(result: &anyhow::Result<Exit>, events: &[Event], well: bool) -> Context {
    let code = match result {
        Ok(exit) => exit.code(),
        Err(error) => exit_of(error).code(),
    };
    let files = events.iter().filter_map(|event| event.backup.as_ref());
    let files: Vec<&str> = files.map(|backup| backup.file.as_str()).collect();
    let failed = events.iter().filter(|event| !event.kind.is_success());
    let problems: Vec<&str> = failed
        .filter_map(|event| event.problem.as_deref())
        .collect();
    let word = match well {
        true => "completed",
        false => "failed",
    };
    vec![
        ("RESULT", word.to_owned()),
        ("EXIT_CODE", code.to_string()),
        ("BACKUPS", files.join("\n")),
        ("ERROR", problems.join("\n")),
    ]
}
