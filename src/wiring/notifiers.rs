//! Settings to the receivers of messages. One that cannot be used, such as one
//! whose secret's file is gone, is there with the reason: it must stop no backup.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{
    ChatSettings, EmailSettings, PingSettings, PingUrlSettings, Settings, Sourced, WebhookSettings,
};
use crate::notify::{
    Chat, Email, EmailAccount, Endpoint, HttpClient, Interest, Notifier, NotifyError, Ping,
    PingUrls, Receiver, Webhook,
};
use crate::process;
use crate::secrets::SecretSource;

/// Every configured receiver: webhook, mail, chats, pings.
pub fn receivers(settings: &Settings) -> Vec<Receiver> {
    let notify = &settings.notify;
    let mut receivers = Vec::new();
    if let Some(it) = &notify.webhook {
        receivers.push(Receiver {
            name: "webhook".to_owned(),
            kind: "webhook",
            interest: Interest::Events(notify.events(&it.when)),
            notifier: webhook(it),
        });
    }
    if let Some(it) = &notify.email {
        receivers.push(Receiver {
            name: "email".to_owned(),
            kind: "email",
            interest: Interest::Events(notify.events(&it.when)),
            notifier: email(it),
        });
    }
    receivers.extend(notify.chats.iter().map(|it| Receiver {
        name: it.name.clone(),
        kind: it.kind.name(),
        interest: Interest::Events(notify.events(&it.when)),
        notifier: chat(it),
    }));
    receivers.extend(notify.pings.iter().map(|it| Receiver {
        name: it.name.clone(),
        kind: "ping",
        interest: Interest::Runs {
            commands: it.commands.value.clone(),
            schedule: it.schedule.as_ref().map(|name| name.value.clone()),
        },
        notifier: ping(it),
    }));
    receivers
}

type Made = Result<Arc<dyn Notifier>, NotifyError>;

fn webhook(it: &WebhookSettings) -> Made {
    let secret = it.secret.as_ref().map(|secret| secret.value.read());
    Ok(Arc::new(Webhook {
        http: http(it.ca_file.as_ref())?,
        endpoint: endpoint(&it.url.value)?,
        secret: secret.transpose().map_err(setup)?,
    }))
}

fn chat(it: &ChatSettings) -> Made {
    Ok(Arc::new(Chat {
        http: http(it.ca_file.as_ref())?,
        kind: it.kind,
        endpoint: endpoint(&it.url.value)?,
    }))
}

fn ping(it: &PingSettings) -> Made {
    let each = |one: &Option<Sourced<SecretSource>>| {
        one.as_ref().map(|one| endpoint(&one.value)).transpose()
    };
    let urls = match &it.urls {
        PingUrlSettings::Below(below) => PingUrls::Below(Box::new(endpoint(&below.value)?)),
        PingUrlSettings::Each {
            start,
            success,
            fail,
        } => PingUrls::Each {
            start: each(start)?,
            success: each(success)?,
            fail: each(fail)?,
        },
    };
    Ok(Arc::new(Ping {
        http: http(it.ca_file.as_ref())?,
        urls,
    }))
}

fn email(it: &EmailSettings) -> Made {
    let login = match (&it.user, &it.password) {
        (Some(user), Some(password)) => {
            Some((user.value.clone(), password.value.read().map_err(setup)?))
        }
        _ => None,
    };
    let account = EmailAccount {
        host: it.host.value.clone(),
        port: it.port.value,
        tls: it.tls.value,
        login,
        own_host: process::host(),
    };
    let ca_file = it.ca_file.as_ref().map(|file| file.value.as_path());
    let email = Email::new(account, &it.from.value, &it.to.value, ca_file)?;
    Ok(Arc::new(email))
}

fn http(ca_file: Option<&Sourced<PathBuf>>) -> Result<HttpClient, NotifyError> {
    match ca_file {
        Some(file) => HttpClient::with_ca_file(&file.value),
        None => Ok(HttpClient::new()),
    }
}

fn endpoint(source: &SecretSource) -> Result<Endpoint, NotifyError> {
    let url = source.read().map_err(setup)?;
    let place = match source {
        SecretSource::Text(_) => String::new(),
        SecretSource::File(path) | SecretSource::Credential(path) => {
            format!(" in {}", path.display())
        }
    };
    Endpoint::parse(&url).map_err(|why| NotifyError::Setup(format!("the URL{place}: {why}")))
}

fn setup(error: impl ToString) -> NotifyError {
    NotifyError::Setup(error.to_string())
}
