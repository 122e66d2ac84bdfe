//! `[serve]`: the scheduler's mode and its HTTP trigger.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::file::Entry;
use super::layers::{Layers, Setting, or_default, wrong};
use super::{ConfigError, Sourced};
use crate::secrets::{SecretSource, SecretText};
use crate::systemd::Manager;

const PORT_DEFAULT: u16 = 8427;
const KEY: &str = "BACKUP_TRIGGER_API_KEY";
const KEY_FILE: &str = "BACKUP_TRIGGER_API_KEY_FILE";

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeKeys {
    pub mode: Entry<String>,
    pub listen: Entry<String>,
    pub api_key_file: Entry<PathBuf>,
}

/// What `kluis serve` does; the words are those of the service that kluis
/// replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulerMode {
    /// Runs the schedules.
    Internal,
    /// Runs what is asked for over HTTP.
    External,
    Both,
}

impl SchedulerMode {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text.trim() {
            "internal" => Ok(Self::Internal),
            "external" => Ok(Self::External),
            "both" => Ok(Self::Both),
            _ => Err("not a scheduler's mode; known are internal, external, both"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
            Self::Both => "both",
        }
    }

    pub fn runs_schedules(self) -> bool {
        self != Self::External
    }

    pub fn listens(self) -> bool {
        self != Self::Internal
    }
}

pub struct ServeSettings {
    pub mode: Sourced<SchedulerMode>,
    pub listen: Sourced<SocketAddr>,
    /// Who has it may trigger backups and read the report.
    pub api_key: Option<Sourced<SecretSource>>,
    /// The service manager that started us, as the environment tells.
    pub manager: Manager,
}

impl Layers<'_> {
    pub(super) fn serve(&self) -> Result<ServeSettings, ConfigError> {
        let keys = &self.keys.serve;
        let mode = self
            .parsed_variable("BACKUP_SCHEDULER_MODE", SchedulerMode::parse)?
            .or(self.parsed_key(&keys.mode, SchedulerMode::parse)?);
        Ok(ServeSettings {
            mode: or_default(mode, SchedulerMode::Internal),
            listen: or_default(
                self.parsed_key(&keys.listen, parse_address)?,
                SocketAddr::from((Ipv4Addr::LOCALHOST, PORT_DEFAULT)),
            ),
            api_key: self.api_key()?,
            manager: self.manager()?,
        })
    }

    /// The watchdog may be another process's; what it says wrong is none.
    fn manager(&self) -> Result<Manager, ConfigError> {
        let number = |name| -> Result<Option<u64>, ConfigError> {
            let text = self.environment.text(name)?;
            Ok(text.and_then(|text| text.parse().ok()))
        };
        let ours = u64::from(std::process::id());
        let is_ours = number("WATCHDOG_PID")?.is_none_or(|pid| pid == ours);
        let micros = number("WATCHDOG_USEC")?.filter(|micros| is_ours && *micros > 0);
        Ok(Manager {
            socket: self.environment.get("NOTIFY_SOCKET").map(OsStr::to_owned),
            watchdog: micros.map(Duration::from_micros),
        })
    }

    fn api_key(&self) -> Setting<SecretSource> {
        let text = self.environment.present(KEY);
        let file = self.environment.get(KEY_FILE);
        match (text, file) {
            (Some(_), Some(_)) => {
                let what = format!("{KEY_FILE} is set too; unset one of them");
                Err(wrong(&self.environment.origin(KEY), what))
            }
            (Some(text), None) => self.api_key_text(text).map(Some),
            (None, Some(_)) => {
                let file = self.path_variable(KEY_FILE);
                Ok(file.map(|file| Sourced::new(SecretSource::File(file.value), file.origin)))
            }
            (None, None) => {
                let file = self.path_key(&self.keys.serve.api_key_file);
                Ok(file.map(|file| Sourced::new(SecretSource::File(file.value), file.origin)))
            }
        }
    }

    fn api_key_text(&self, text: &OsStr) -> Result<Sourced<SecretSource>, ConfigError> {
        let text = text.to_str().ok_or(ConfigError::NotUtf8 { name: KEY })?;
        let secret = SecretSource::Text(SecretText::new(text));
        Ok(Sourced::new(secret, self.environment.origin(KEY)))
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    let wrong = "not an address and a port; write one such as 127.0.0.1:8427 or [::1]:8427";
    text.trim().parse().map_err(|_| wrong)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::SchedulerMode;
    use crate::config::{ConfigError, ConfigFile, Environment, Flags, Settings, resolve};
    use crate::secrets::SecretSource;

    fn of<const N: usize>(
        variables: [(&str, &str); N],
        text: &str,
    ) -> Result<Settings, ConfigError> {
        let file = ConfigFile::parse(Path::new("/etc/kluis.toml"), text.to_owned())?;
        resolve(Flags::default(), &Environment::of(variables), Some(&file))
    }

    #[test]
    fn the_scheduler_alone_on_loopback_is_the_default() {
        let serve = of([], "").unwrap().serve;
        assert_eq!(serve.mode.value, SchedulerMode::Internal);
        assert_eq!(serve.listen.value.to_string(), "127.0.0.1:8427");
        assert!(serve.api_key.is_none());
    }

    #[test]
    fn the_environments_mode_beats_the_files() {
        let text = "[serve]\nmode = \"external\"\nlisten = \"[::1]:1\"\n";
        let serve = of([("BACKUP_SCHEDULER_MODE", "both")], text).unwrap().serve;
        assert_eq!(serve.mode.value, SchedulerMode::Both);
        assert_eq!(serve.listen.value.to_string(), "[::1]:1");
        assert_eq!(
            of([], text).unwrap().serve.mode.value,
            SchedulerMode::External
        );
    }

    #[test]
    fn a_key_comes_from_one_place() {
        let text = "[serve]\napi_key_file = \"trigger.key\"\n";
        let place = |settings: Settings| match settings.serve.api_key.map(|key| key.value) {
            Some(SecretSource::File(path)) => Some(path.display().to_string()),
            _ => None,
        };
        let file = of([], text).unwrap();
        assert_eq!(place(file).as_deref(), Some("/etc/trigger.key"));
        let file = of([("BACKUP_TRIGGER_API_KEY_FILE", "/k")], text).unwrap();
        assert_eq!(place(file).as_deref(), Some("/k"));
        let key = of([("BACKUP_TRIGGER_API_KEY", "")], text).unwrap();
        // An empty one is refused where it is used, and is not the file's.
        let key = key.serve.api_key.map(|key| key.value);
        assert!(matches!(key, Some(SecretSource::Text(_))));
        let both = [
            ("BACKUP_TRIGGER_API_KEY", "x"),
            ("BACKUP_TRIGGER_API_KEY_FILE", "/k"),
        ];
        let refused = of(both, "").err().unwrap().to_string();
        assert!(refused.contains("unset one of them"), "{refused}");
    }

    #[test]
    fn nonsense_is_refused_with_its_place() {
        for (text, said) in [
            (
                "mode = \"cron\"",
                "/etc/kluis.toml:2: \"cron\": not a scheduler's mode",
            ),
            (
                "listen = \"8427\"",
                "/etc/kluis.toml:2: \"8427\": not an address and a port",
            ),
            (
                "listen = \"localhost:1\"",
                "/etc/kluis.toml:2: \"localhost:1\": not an address",
            ),
        ] {
            let refused = of([], &format!("[serve]\n{text}\n"))
                .err()
                .unwrap()
                .to_string();
            assert!(refused.starts_with(said), "{refused}");
        }
    }
}
