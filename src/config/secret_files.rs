//! Files with secrets that others may read. They are taken, because a container's
//! secrets are like that and cannot be changed there; it is told, unless the
//! operator says that it is meant.

use std::path::Path;

use super::settings::{NotifySettings, PingUrlSettings, Settings};
use super::{ConfigError, Sourced};
use crate::secrets::{KeySource, SecretSource};
use crate::strict;

const VARIABLE: &str = "BACKUP_ALLOW_READABLE_SECRETS";

impl super::layers::Layers<'_> {
    pub(super) fn allow_readable_secrets(&self) -> Result<Sourced<bool>, ConfigError> {
        let parse = |text: &str| text.parse::<bool>().map_err(|_| "it is true or false");
        let allow = self.parsed_variable(VARIABLE, parse)?;
        let allow = allow.or(self.key(&self.keys.allow_readable_secrets));
        Ok(super::layers::or_default(allow, false))
    }
}

/// One for each file that others may read.
pub fn warnings(settings: &Settings) -> Vec<String> {
    if settings.allow_readable_secrets.value {
        return Vec::new();
    }
    let open = files(settings)
        .into_iter()
        .filter(|path| strict::is_readable_by_others(path));
    open.map(|path| {
        let path = path.display();
        format!(
            "{path} holds a secret and can be read by others; chmod 600 {path}, or set \
             allow_readable_secrets = true ({VARIABLE}) where that is meant"
        )
    })
    .collect()
}

fn files(settings: &Settings) -> Vec<&Path> {
    let encryption = &settings.encryption;
    let mut files = Vec::new();
    if let Some(KeySource::File(path)) = settings.key_source() {
        files.push(path.as_path());
    }
    files.extend(encryption.signing_key.iter().map(|it| it.value.as_path()));
    let keys = [&encryption.also_key_files, &encryption.read_key_files];
    files.extend(
        keys.into_iter()
            .flat_map(|it| it.value.iter().map(|it| it.as_path())),
    );
    let api_key = settings.serve.api_key.iter();
    let secrets = notified(&settings.notify).into_iter().chain(api_key);
    files.extend(secrets.filter_map(|secret| match &secret.value {
        SecretSource::File(path) => Some(path.as_path()),
        SecretSource::Text(_) | SecretSource::Credential(_) => None,
    }));
    files
}

fn notified(notify: &NotifySettings) -> Vec<&Sourced<SecretSource>> {
    let mut secrets = Vec::new();
    if let Some(webhook) = &notify.webhook {
        secrets.push(&webhook.url);
        secrets.extend(&webhook.secret);
    }
    secrets.extend(notify.email.iter().filter_map(|it| it.password.as_ref()));
    secrets.extend(notify.chats.iter().map(|it| &it.url));
    for ping in &notify.pings {
        match &ping.urls {
            PingUrlSettings::Below(url) => secrets.push(url),
            PingUrlSettings::Each {
                start,
                success,
                fail,
            } => secrets.extend([start, success, fail].into_iter().flatten()),
        }
    }
    secrets
}
