//! The settings of `[encryption]`: which keys new archives open with, which keys
//! only open older ones, and where each is to be taken from.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::layers::{Layers, Setting, or_default, switch, wrong};
use super::settings::{ArchiveFormat, EncryptionSettings};
use super::values::parse_format;
use super::{ConfigError, Origin, Sourced};
use crate::format::age::AgeRecipient;
use crate::secrets::{KeySource, SecretText};

const TEXT: &str = "BACKUP_ENCRYPTION_KEY";
const FILE: &str = "BACKUP_ENCRYPTION_KEY_FILE";
const COMMAND: &str = "BACKUP_ENCRYPTION_KEY_COMMAND";

impl Layers<'_> {
    pub(super) fn encryption(&self, no_encrypt: bool) -> Result<EncryptionSettings, ConfigError> {
        let keys = &self.keys.encryption;
        let read = self.paths_variable("BACKUP_READ_KEY_FILES");
        Ok(EncryptionSettings {
            enabled: or_default(
                switch("--no-encrypt", no_encrypt, false).or(self.key(&keys.enabled)),
                true,
            ),
            key: self.encryption_key()?,
            also_key_files: or_default(self.paths_key(&keys.also_key_files), Vec::new()),
            recipients: self.recipients()?,
            read_key_files: or_default(read.or(self.paths_key(&keys.read_key_files)), Vec::new()),
            format: or_default(
                self.parsed_key(&keys.format, parse_format)?,
                ArchiveFormat::Kluis1,
            ),
        })
    }

    /// The environment's key goes before the file's, and that before systemd's.
    fn encryption_key(&self) -> Setting<KeySource> {
        let set = [TEXT, FILE, COMMAND].map(|name| self.environment.present(name).map(|_| name));
        let mut set = set.into_iter().flatten();
        if let (Some(one), Some(other)) = (set.next(), set.next()) {
            let what = format!("{other} is set too; unset one of them");
            return Err(wrong(&self.environment.origin(one), what));
        }
        if let Some(source) = self.key_of_environment()? {
            return Ok(Some(source));
        }
        let keys = &self.keys.encryption;
        let command = self.key(&keys.key_command);
        match (self.path_key(&keys.key_file), command) {
            (Some(_), Some(command)) => {
                let what = "key_file is set too; remove one of them";
                Err(wrong(&command.origin, what))
            }
            (Some(file), None) => Ok(Some(Sourced::new(KeySource::File(file.value), file.origin))),
            (None, Some(command)) => not_empty(command.value, command.origin),
            (None, None) => Ok(self.credential()),
        }
    }

    fn key_of_environment(&self) -> Setting<KeySource> {
        let of = |name: &'static str| {
            let value = self.environment.present(name)?;
            Some((name, value, self.environment.origin(name)))
        };
        let Some((name, value, origin)) = of(TEXT).or_else(|| of(FILE)).or_else(|| of(COMMAND))
        else {
            return Ok(None);
        };
        let text = |value: &OsStr| value.to_str().map(str::to_owned);
        match name {
            // Also where it is empty: `secrets` refuses that, as somebody who
            // sets a key does not expect unencrypted backups.
            TEXT => {
                let text = SecretText::new(text(value).ok_or(ConfigError::NotUtf8 { name })?);
                Ok(Some(Sourced::new(KeySource::Text { name, text }, origin)))
            }
            FILE if value.is_empty() => {
                let what = "it is empty; name the key's file, or unset it";
                Err(wrong(&origin, what))
            }
            FILE => Ok(Some(Sourced::new(
                KeySource::File(PathBuf::from(value)),
                origin,
            ))),
            _ => {
                let words = text(value).ok_or(ConfigError::NotUtf8 { name })?;
                match shlex::split(&words) {
                    Some(argv) => not_empty(argv, origin),
                    None => Err(wrong(&origin, "a quotation mark in it is not closed")),
                }
            }
        }
    }

    fn credential(&self) -> Option<Sourced<KeySource>> {
        let directory = self.path_variable("CREDENTIALS_DIRECTORY")?;
        let path = directory.value.join("kluis.key");
        Some(Sourced::new(KeySource::Credential(path), directory.origin))
    }

    fn recipients(&self) -> Result<Sourced<Vec<AgeRecipient>>, ConfigError> {
        let apart = |list: Sourced<String>| {
            let apart = list.value.split([',', ' ']).filter(|one| !one.is_empty());
            Sourced::new(apart.map(str::to_owned).collect(), list.origin)
        };
        let variable = self.variable("BACKUP_AGE_RECIPIENTS")?.map(apart);
        let list: Sourced<Vec<String>> = or_default(
            variable.or(self.key(&self.keys.encryption.recipients)),
            Vec::new(),
        );
        let parse = |text: &String| {
            let recipient = text.parse::<AgeRecipient>();
            recipient.map_err(|what| wrong(&list.origin, format!("{text:?}: {what}")))
        };
        let recipients = list.value.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Sourced::new(recipients, list.origin))
    }

    /// Paths with colons between them, as PATH has them.
    fn paths_variable(&self, name: &'static str) -> Option<Sourced<Vec<PathBuf>>> {
        let value = self.environment.get(name)?;
        let paths = std::env::split_paths(value).filter(|path| !path.as_os_str().is_empty());
        Some(Sourced::new(paths.collect(), self.environment.origin(name)))
    }
}

fn not_empty(argv: Vec<String>, origin: Origin) -> Setting<KeySource> {
    match argv.first().is_some_and(|program| !program.is_empty()) {
        true => Ok(Some(Sourced::new(KeySource::Command(argv), origin))),
        false => Err(wrong(
            &origin,
            "it is empty; name a program that prints the key",
        )),
    }
}
