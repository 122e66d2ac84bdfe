//! Asks for what was not said: which backup, and where it goes. Only on a
//! terminal; a script has to say both.
//!
//! Decides nothing that the flags could not say, and tells at the end which flags
//! say it.

use std::borrow::Cow;

use crate::catalog::Backup;
use crate::checked::shell_word;
use crate::cli::{Destination, Restore};
use crate::commands::list::proof;
use crate::commands::session::Session;
use crate::format::manifest::Kind;
use crate::operations::OperationError;
use crate::render::{self, PromptError};

mod pick;

/// `wanted`, with what is missing asked for.
pub fn completed<'a>(
    session: &Session<'_>,
    wanted: &'a Restore,
) -> anyhow::Result<Cow<'a, Restore>> {
    let flags = &wanted.destination;
    // Roles have no other destination than in place.
    let has_destination = flags.to.is_some()
        || flags.into.is_some()
        || flags.replace
        || flags.list
        || wanted.in_place;
    if wanted.backup.is_some() && has_destination {
        return Ok(Cow::Borrowed(wanted));
    }
    if !session.console.can_ask() {
        return Err(unsaid(wanted).into());
    }
    let mut answered = wanted.clone();
    let backup = match &wanted.backup {
        Some(backup) => backup.clone(),
        None => pick::ask_backup(session)?,
    };
    if !has_destination {
        let (opened, key) = session.open_for(&backup)?;
        answered.destination = ask_destination(session, opened.find(&key)?.backup())?;
    }
    answered.backup = Some(backup);
    Ok(Cow::Owned(answered))
}

/// The backup that was named, by flag or by answer.
pub fn backup(wanted: &Restore) -> Result<&str, OperationError> {
    wanted.backup.as_deref().ok_or_else(|| unsaid(wanted))
}

fn unsaid(wanted: &Restore) -> OperationError {
    let what = match &wanted.backup {
        None => "which backup? name it: kluis restore BACKUP; `kluis list` shows what is there",
        Some(_) => {
            "where to? say --to DIR for a source tree, --into DB or --replace for a database, \
             --in-place for roles"
        }
    };
    OperationError::Usage {
        what: what.to_owned(),
    }
}

/// The shortest thing that means this backup for good.
fn name_of(backup: &Backup) -> String {
    match &backup.file {
        Some(file) => file.manifest.id.to_string(),
        None => backup.archive.clone(),
    }
}

fn ask_destination(session: &Session<'_>, backup: &Backup) -> anyhow::Result<Destination> {
    let console = session.console;
    let name = backup.name();
    let proof = proof(backup).word();
    let about = format!(
        "\n{name}, made {}, {}, proof: {proof}",
        render::when(backup.created_at(), &session.view),
        render::size(backup.stored_bytes()),
    );
    let suggested = format!("{name}_restored");
    if backup.kind() == Some(Kind::Source) {
        let question = format!("{about}\nInto which directory, new or empty?");
        let to = console.ask(&question, Some(&suggested), session.cancel)?;
        return Ok(Destination {
            to: Some(to.into()),
            ..Destination::default()
        });
    }
    let question = format!(
        "{about}\n  1  into a new database, beside what is there\n  \
         2  in place of the database {name}: what is in it is backed up and REPLACED\n\
         How? 1, 2, or q to leave"
    );
    loop {
        match &*console.ask(&question, Some("1"), session.cancel)? {
            "1" => {
                let question = "The new database's name";
                let into = console.ask(question, Some(&suggested), session.cancel)?;
                return Ok(Destination {
                    into: Some(into),
                    ..Destination::default()
                });
            }
            "2" => {
                return Ok(Destination {
                    replace: true,
                    ..Destination::default()
                });
            }
            "q" | "Q" | "quit" => return Err(PromptError::Left.into()),
            other => console.info(&format!("{other:?} is neither 1 nor 2")),
        }
    }
}

/// Tells the command that does the same without a question.
pub fn tell_command(session: &Session<'_>, answered: &Restore) {
    let mut words = vec!["kluis restore".to_owned()];
    let backup = answered.backup.as_deref();
    words.extend(backup.map(|backup| shell_word(backup).into_owned()));
    let flags = &answered.destination;
    if let Some(to) = &flags.to {
        words.push(format!("--to {}", shell_word(&to.to_string_lossy())));
    }
    if let Some(into) = &flags.into {
        words.push(format!("--into {}", shell_word(into)));
    }
    if flags.replace {
        words.push("--replace --yes".to_owned());
    }
    let command = words.join(" ");
    session.console.info(&format!(
        "\nThe same, with the other flags as now and no question: {command}"
    ));
}
