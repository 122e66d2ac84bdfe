//! `kluis notify test`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::session::Session;
use crate::cli::NotifyTest;
use crate::event::{Event, EventBackup, EventKind};
use crate::exit::Exit;
use crate::format::manifest::{Kind, Trigger};
use crate::notify::{Delivery, Job, Notice, NotifyError, Occasion, Patience, Receiver, deliver};
use crate::operations::OperationError;
use crate::process;
use crate::render::{NotifyTestReport, NotifyTestRow, test_wording};
use crate::wiring;

pub fn test(session: &Session<'_>, wanted: &NotifyTest) -> anyhow::Result<Exit> {
    let receivers = chosen(wiring::receivers(&session.settings), &wanted.to)?;
    let notice = Notice {
        occasion: Occasion::Test,
        events: vec![made_up(session)],
        text: test_wording(&process::host()),
    };
    let job = |receiver: &Receiver| {
        let notifier = receiver.notifier.as_ref().ok()?;
        Some(Job {
            name: receiver.name.clone(),
            notifier: Arc::clone(notifier),
            notice: notice.clone(),
        })
    };
    let jobs = receivers.iter().filter_map(job).collect();
    let sent = deliver(jobs, &Patience::usual(session.cancel.clone()));
    session.cancel.check()?;
    let report = NotifyTestReport::new(receivers.iter().map(|it| row(it, &sent)).collect());
    session.print(&report)?;
    Ok(match report.ok {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

/// Those of the names, or all.
fn chosen(all: Vec<Receiver>, names: &[String]) -> Result<Vec<Receiver>, OperationError> {
    let usage = |what: String| OperationError::Usage { what };
    if all.is_empty() {
        return Err(usage(
            "no receiver is configured; write one under [notify] in kluis.toml, or set \
             BACKUP_WEBHOOK_URL"
                .to_owned(),
        ));
    }
    let known = |name: &&String| all.iter().any(|receiver| receiver.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = all.iter().map(|receiver| receiver.name.as_str()).collect();
        let known = known.join(", ");
        return Err(usage(format!(
            "there is no receiver {unknown:?}; there are {known}"
        )));
    }
    let is_wanted = |receiver: &Receiver| names.is_empty() || names.contains(&receiver.name);
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// What a webhook gets for a test, as the service that kluis replaces sends it.
fn made_up(session: &Session<'_>) -> Event {
    Event {
        at: Timestamp::now(),
        subject: Some(Kind::Db),
        backup: Some(EventBackup {
            id: "0000000000000000".to_owned(),
            file: "test_backup.sql".to_owned(),
            stored_bytes: 1024,
        }),
        duration_ms: Some(1000),
        ..session.event(EventKind::BackupCompleted, "notify test", Trigger::Manual)
    }
}

fn row(receiver: &Receiver, sent: &[Delivery]) -> NotifyTestRow {
    let delivery = sent.iter().find(|it| it.name == receiver.name);
    let result = match (&receiver.notifier, delivery) {
        (Err(error), _) => Err(error.clone()),
        (Ok(_), Some(delivery)) => delivery.result.clone(),
        (Ok(_), None) => Err(NotifyError::OutOfTime),
    };
    let took = delivery.map_or(Duration::ZERO, |delivery| delivery.took);
    let host = receiver.notifier.as_ref().map(|it| it.host().to_owned());
    let (sent, error) = match result {
        Ok(sent) => (Some(sent), None),
        Err(error) => (None, Some(error.to_string())),
    };
    NotifyTestRow {
        name: receiver.name.clone(),
        kind: receiver.kind,
        host: host.unwrap_or_default(),
        ok: error.is_none(),
        answer: sent.as_ref().map(|sent| sent.answer.clone()),
        sent: sent.map(|sent| sent.what),
        error,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}
