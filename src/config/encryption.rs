//! The settings of `[encryption]`: which keys new archives open with, which keys
//! only open older ones, and where each is to be taken from.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::layers::{Layers, Setting, or_default, switch, wrong};
use super::settings::{ArchiveFormat, EncryptionSettings};
use super::values::parse_format;
use super::{ConfigError, Origin, Sourced};
use crate::format::age::AgeRecipient;
use crate::format::signing::Verifier;
use crate::secrets::{KeySource, SecretText};

const TEXT: &str = "BACKUP_ENCRYPTION_KEY";
const FILE: &str = "BACKUP_ENCRYPTION_KEY_FILE";
const COMMAND: &str = "BACKUP_ENCRYPTION_KEY_COMMAND";
const SIGNING: &str = "BACKUP_SIGNING_KEY_FILE";
const COMMAND_ENV: &str = "BACKUP_ENCRYPTION_KEY_COMMAND_ENV";

impl Layers<'_> {
    pub(super) fn encryption(&self, no_encrypt: bool) -> Result<EncryptionSettings, ConfigError> {
        let keys = &self.keys.encryption;
        let read = self.paths_variable("BACKUP_READ_KEY_FILES");
        let key_command_env = self.key_command_env()?;
        Ok(EncryptionSettings {
            enabled: or_default(
                switch("--no-encrypt", no_encrypt, false).or(self.key(&keys.enabled)),
                true,
            ),
            key: self.encryption_key(&key_command_env.value)?,
            key_command_env,
            also_key_files: or_default(self.paths_key(&keys.also_key_files), Vec::new()),
            recipients: self.recipients()?,
            read_key_files: or_default(read.or(self.paths_key(&keys.read_key_files)), Vec::new()),
            format: or_default(
                self.parsed_key(&keys.format, parse_format)?,
                ArchiveFormat::Kluis1,
            ),
            required: or_default(self.key(&keys.required), false),
            signing_key: self
                .path_variable(SIGNING)
                .or(self.path_key(&keys.signing_key)),
            verify_keys: self.verify_keys()?,
        })
    }

    fn verify_keys(&self) -> Result<Sourced<Vec<Verifier>>, ConfigError> {
        let list = or_default(self.key(&self.keys.encryption.verify_keys), Vec::new());
        let parse = |text: &String| {
            let key = text.parse::<Verifier>();
            key.map_err(|what| wrong(&list.origin, format!("{text:?}: {what}")))
        };
        let keys = list.value.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Sourced::new(keys, list.origin))
    }

    fn key_command_env(&self) -> Result<Sourced<Vec<String>>, ConfigError> {
        let variable = self.variable(COMMAND_ENV)?.map(apart);
        self.variable_names(variable.or(self.key(&self.keys.encryption.key_command_env)))
    }

    /// The environment's key goes before the file's, and that before systemd's.
    fn encryption_key(&self, pass_env: &[String]) -> Setting<KeySource> {
        let set = [TEXT, FILE, COMMAND].map(|name| self.environment.present(name).map(|_| name));
        let mut set = set.into_iter().flatten();
        if let (Some(one), Some(other)) = (set.next(), set.next()) {
            let what = format!("{other} is set too; unset one of them");
            return Err(wrong(&self.environment.origin(one), what));
        }
        if let Some(source) = self.key_of_environment(pass_env)? {
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
            (None, Some(command)) => not_empty(command.value, pass_env, command.origin),
            (None, None) => Ok(self.credential()),
        }
    }

    fn key_of_environment(&self, pass_env: &[String]) -> Setting<KeySource> {
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
                    Some(argv) => not_empty(argv, pass_env, origin),
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

/// What stands in a variable with commas or blanks between.
fn apart(list: Sourced<String>) -> Sourced<Vec<String>> {
    let apart = list.value.split([',', ' ']).filter(|one| !one.is_empty());
    Sourced::new(apart.map(str::to_owned).collect(), list.origin)
}

fn not_empty(argv: Vec<String>, pass_env: &[String], origin: Origin) -> Setting<KeySource> {
    match argv.first().is_some_and(|program| !program.is_empty()) {
        true => {
            let pass_env = pass_env.to_vec();
            Ok(Some(Sourced::new(
                KeySource::Command { argv, pass_env },
                origin,
            )))
        }
        false => Err(wrong(
            &origin,
            "it is empty; name a program that prints the key",
        )),
    }
}
