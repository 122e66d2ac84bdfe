//! The settings of `[notify]` as types: who is told what, and by which way.

use std::path::PathBuf;

use crate::config::Sourced;
use crate::event::EventKind;
use crate::notify::{ChatKind, EmailTls};
use crate::secrets::SecretSource;

pub struct NotifySettings {
    pub on_success: Sourced<bool>,
    pub on_failure: Sourced<bool>,
    pub webhook: Option<WebhookSettings>,
    pub email: Option<EmailSettings>,
    pub chats: Vec<ChatSettings>,
    pub pings: Vec<PingSettings>,
}

/// What one receiver wants to hear; what is `None` is as for all.
pub struct WhenSettings {
    pub on_success: Option<Sourced<bool>>,
    pub on_failure: Option<Sourced<bool>>,
    /// These and no others, whatever the switches say.
    pub events: Option<Sourced<Vec<EventKind>>>,
}

pub struct WebhookSettings {
    pub url: Sourced<SecretSource>,
    /// Calls are signed with it.
    pub secret: Option<Sourced<SecretSource>>,
    pub ca_file: Option<Sourced<PathBuf>>,
    pub when: WhenSettings,
}

pub struct EmailSettings {
    pub to: Sourced<Vec<String>>,
    pub from: Sourced<String>,
    pub host: Sourced<String>,
    pub port: Sourced<u16>,
    pub tls: Sourced<EmailTls>,
    pub user: Option<Sourced<String>>,
    /// There where `user` is.
    pub password: Option<Sourced<SecretSource>>,
    pub ca_file: Option<Sourced<PathBuf>>,
    pub when: WhenSettings,
}

pub struct ChatSettings {
    /// No two receivers have the same.
    pub name: String,
    pub kind: ChatKind,
    pub url: Sourced<SecretSource>,
    pub ca_file: Option<Sourced<PathBuf>>,
    pub when: WhenSettings,
}

pub struct PingSettings {
    pub name: String,
    pub urls: PingUrlSettings,
    pub ca_file: Option<Sourced<PathBuf>>,
    /// "backup" is "backup db" too.
    pub commands: Sourced<Vec<String>>,
    /// Only runs of this schedule.
    pub schedule: Option<Sourced<String>>,
}

pub enum PingUrlSettings {
    /// As healthchecks has it: the others lie below it.
    Below(Sourced<SecretSource>),
    /// At least one is there.
    Each {
        start: Option<Sourced<SecretSource>>,
        success: Option<Sourced<SecretSource>>,
        fail: Option<Sourced<SecretSource>>,
    },
}

impl NotifySettings {
    /// The events that a receiver hears of.
    pub fn events(&self, when: &WhenSettings) -> Vec<EventKind> {
        if let Some(events) = &when.events {
            return events.value.clone();
        }
        let success = when.on_success.as_ref().unwrap_or(&self.on_success).value;
        let failure = when.on_failure.as_ref().unwrap_or(&self.on_failure).value;
        let heard = |kind: &EventKind| match kind.is_success() {
            true => success,
            false => failure,
        };
        EventKind::ALL.into_iter().filter(heard).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.webhook.is_none()
            && self.email.is_none()
            && self.chats.is_empty()
            && self.pings.is_empty()
    }
}
