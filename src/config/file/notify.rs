//! The keys of `[notify]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::Entry;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifyKeys {
    pub on_success: Entry<bool>,
    pub on_failure: Entry<bool>,
    pub webhook: WebhookKeys,
    pub email: EmailKeys,
    pub chat: Vec<ChatKeys>,
    pub ping: Vec<PingKeys>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookKeys {
    pub url: Entry<String>,
    pub url_file: Entry<PathBuf>,
    pub secret: Entry<String>,
    pub secret_file: Entry<PathBuf>,
    pub ca_file: Entry<PathBuf>,
    pub on_success: Entry<bool>,
    pub on_failure: Entry<bool>,
    pub events: Entry<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailKeys {
    pub to: Entry<Vec<String>>,
    pub from: Entry<String>,
    pub host: Entry<String>,
    pub port: Entry<u16>,
    pub tls: Entry<String>,
    pub user: Entry<String>,
    pub password: Entry<String>,
    pub password_file: Entry<PathBuf>,
    pub ca_file: Entry<PathBuf>,
    pub on_success: Entry<bool>,
    pub on_failure: Entry<bool>,
    pub events: Entry<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChatKeys {
    pub name: Entry<String>,
    pub kind: Entry<String>,
    pub url: Entry<String>,
    pub url_file: Entry<PathBuf>,
    pub ca_file: Entry<PathBuf>,
    pub on_success: Entry<bool>,
    pub on_failure: Entry<bool>,
    pub events: Entry<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PingKeys {
    pub name: Entry<String>,
    pub url: Entry<String>,
    pub url_file: Entry<PathBuf>,
    pub start_url: Entry<String>,
    pub success_url: Entry<String>,
    pub fail_url: Entry<String>,
    pub ca_file: Entry<PathBuf>,
    pub commands: Entry<Vec<String>>,
    pub schedule: Entry<String>,
}

impl NotifyKeys {
    /// Whether a secret itself stands in the file.
    pub fn hold_a_secret(&self) -> bool {
        let chats = self.chat.iter().map(|chat| &chat.url);
        let pings = self.ping.iter().flat_map(|ping| {
            [
                &ping.url,
                &ping.start_url,
                &ping.success_url,
                &ping.fail_url,
            ]
        });
        let single = [
            &self.webhook.url,
            &self.webhook.secret,
            &self.email.password,
        ];
        let mut secrets = single.into_iter().chain(chats).chain(pings);
        secrets.any(Option::is_some)
    }
}
