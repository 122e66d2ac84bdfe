//! A run of several backups: one that fails stops none of the others.

use crate::checked::listed as listed_in_words;
use crate::exit::{Exit, hint_of};
use crate::format::manifest::Kind;
use crate::operations::{Reporter, Vault, record_failure};
use crate::render;

use super::super::session::Session;
use super::{finish, not_made};

/// The history tells of what was not even begun as of one that failed.
pub fn record_refused(session: &Session<'_>, vault: &Vault<'_>, name: &str, what: &str) {
    let name = listed_in_words(&[name]);
    let recorded = record_failure(
        vault.storage,
        Some(&vault.ring),
        &vault.actor,
        None,
        session.now,
        &format!("no backup of {name} was made: {what}"),
    );
    if let Err(error) = recorded {
        let text = format!("this leaves no record: {error}");
        session.console.detail(&text);
    }
}

/// What was made is told before what was not. Where nothing was made, the
/// first failure is the run's.
pub fn end(
    session: &Session<'_>,
    vault: &Vault<'_>,
    kind: Kind,
    done: Vec<render::BackupDone>,
    failed: Vec<(String, anyhow::Error)>,
) -> anyhow::Result<Exit> {
    let stopped = session.cancel.check();
    if done.is_empty() || stopped.is_err() {
        finish(session, vault, done, Vec::new())?;
        let mut failed = failed.into_iter();
        let first = failed.next();
        for (name, error) in failed {
            session
                .console
                .warn(&format!("{name}: {}", render::whole(&error)));
        }
        stopped?;
        return match first {
            Some((name, error)) => Err(not_made(&name, error)),
            None => Ok(Exit::Done),
        };
    }
    let failed = failed.into_iter().map(|(name, error)| {
        // On stderr too: a timer's job often throws stdout away.
        session.console.warn(&format!(
            "no backup of {} was made: {}",
            listed_in_words(&[name.as_str()]),
            render::whole(&error)
        ));
        render::BackupFailed {
            kind,
            error: render::whole(&error),
            hint: hint_of(&error),
            name,
        }
    });
    let failed = failed.collect();
    finish(session, vault, done, failed)
}
