//! The receivers of messages, without their secrets.

use serde_json::{Value, json};

use super::{SettingRow, optional, path, row, text};
use crate::config::settings::{
    ChatSettings, NotifySettings, PingSettings, PingUrlSettings, WhenSettings,
};
use crate::config::{Origin, Sourced};
use crate::event::EventKind;
use crate::notify::{EmailTls, Endpoint};
use crate::secrets::SecretSource;

pub fn notify(notify: &NotifySettings) -> Vec<SettingRow> {
    let mut rows = vec![
        row("notify.on_success", &notify.on_success, |on| json!(on)),
        row("notify.on_failure", &notify.on_failure, |on| json!(on)),
    ];
    rows.extend(webhook(notify));
    rows.extend(email(notify));
    rows.extend(notify.chats.iter().map(|it| chat(notify, it)));
    rows.extend(notify.pings.iter().map(ping));
    rows
}

fn webhook(notify: &NotifySettings) -> Vec<SettingRow> {
    let it = notify.webhook.as_ref();
    let secret = it.and_then(|it| it.secret.as_ref());
    let ca_file = it.and_then(|it| it.ca_file.as_ref());
    let when = it.map(|it| &it.when);
    let mut rows = vec![
        optional("notify.webhook.url", it.map(|it| &it.url), url),
        optional("notify.webhook.secret", secret, hidden),
        optional("notify.webhook.ca_file", ca_file, |file| path(file)),
    ];
    rows.extend(switches(
        [
            "notify.webhook.on_success",
            "notify.webhook.on_failure",
            "notify.webhook.events",
        ],
        when,
    ));
    rows
}

fn email(notify: &NotifySettings) -> Vec<SettingRow> {
    let it = notify.email.as_ref();
    let user = it.and_then(|it| it.user.as_ref());
    let password = it.and_then(|it| it.password.as_ref());
    let ca_file = it.and_then(|it| it.ca_file.as_ref());
    let mut rows = vec![
        optional("notify.email.to", it.map(|it| &it.to), |to| json!(to)),
        optional("notify.email.from", it.map(|it| &it.from), text),
        optional("notify.email.host", it.map(|it| &it.host), text),
        optional("notify.email.port", it.map(|it| &it.port), |port| {
            json!(port)
        }),
        optional("notify.email.tls", it.map(|it| &it.tls), |tls| {
            json!(match tls {
                EmailTls::StartTls => "starttls",
                EmailTls::Implicit => "implicit",
                EmailTls::None => "none",
            })
        }),
        optional("notify.email.user", user, text),
        optional("notify.email.password", password, hidden),
        optional("notify.email.ca_file", ca_file, |file| path(file)),
    ];
    rows.extend(switches(
        [
            "notify.email.on_success",
            "notify.email.on_failure",
            "notify.email.events",
        ],
        it.map(|it| &it.when),
    ));
    rows
}

fn switches(keys: [&'static str; 3], when: Option<&WhenSettings>) -> [SettingRow; 3] {
    let [success, failure, events] = keys;
    let on = |on: &bool| json!(on);
    [
        optional(success, when.and_then(|it| it.on_success.as_ref()), on),
        optional(failure, when.and_then(|it| it.on_failure.as_ref()), on),
        optional(events, when.and_then(|it| it.events.as_ref()), |kinds| {
            names(kinds)
        }),
    ]
}

/// One row for each: "slack: https://hooks.slack.com/***, hears backup.failed".
fn chat(notify: &NotifySettings, chat: &ChatSettings) -> SettingRow {
    let kinds = notify.events(&chat.when);
    row("notify.chat", &chat.url, |secret| {
        json!({
            "name": chat.name,
            "kind": chat.kind.name(),
            "url": url(secret),
            "events": names(&kinds),
        })
    })
}

fn ping(ping: &PingSettings) -> SettingRow {
    let (urls, origin): (Value, &Origin) = match &ping.urls {
        PingUrlSettings::Below(below) => (json!({ "url": url(&below.value) }), &below.origin),
        PingUrlSettings::Each {
            start,
            success,
            fail,
        } => {
            let shown = |one: &Option<Sourced<SecretSource>>| {
                one.as_ref().map_or(Value::Null, |one| url(&one.value))
            };
            let first = [start, success, fail].into_iter().flatten().next();
            (
                json!({
                    "start_url": shown(start),
                    "success_url": shown(success),
                    "fail_url": shown(fail),
                }),
                first.map_or(&Origin::Default, |one| &one.origin),
            )
        }
    };
    let schedule = ping.schedule.as_ref().map(|schedule| &schedule.value);
    let mut value = json!({
        "name": ping.name,
        "commands": ping.commands.value,
        "schedule": schedule,
    });
    if let (Some(value), Value::Object(urls)) = (value.as_object_mut(), urls) {
        value.extend(urls);
    }
    SettingRow {
        key: "notify.ping",
        value,
        from: origin.to_string(),
    }
}

fn names(kinds: &[EventKind]) -> Value {
    kinds.iter().map(|kind| kind.name()).collect()
}

/// The host; the rest may be a token.
fn url(secret: &SecretSource) -> Value {
    let SecretSource::Text(text) = secret else {
        return hidden(secret);
    };
    let scheme = text.expose().split("://").next().unwrap_or_default();
    match Endpoint::parse(text) {
        Ok(endpoint) => json!(format!("{scheme}://{}/***", endpoint.host())),
        Err(_) => json!("set"),
    }
}

fn hidden(secret: &SecretSource) -> Value {
    match secret {
        SecretSource::Text(_) => json!("set"),
        SecretSource::File(file) => json!(format!("in the file {}", file.display())),
        SecretSource::Credential(file) => {
            json!(format!("in the credential {}", file.display()))
        }
    }
}
