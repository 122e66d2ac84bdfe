//! What a child finds in its environment: names on a list, the values ours.
//!
//! Invariant: no child inherits. Ours holds keys, passwords and the credentials
//! of whatever else the machine uses, and a child may be anybody's program. Only
//! kluis itself, as a child, is given the whole, but what is meant for this
//! process alone.

use std::ffi::{OsStr, OsString};
use std::process::Command;

/// Where programs and files are, who we are, how text and times look.
const EVERYBODY: &[&str] = &[
    "HOME",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "TMPDIR",
    "TZ",
    "TZDIR",
    "USER",
];
const LOCALE_PREFIX: &str = "LC_";

/// Where a container engine is: docker's and podman's variables, the socket of
/// the user's own engine, an agent for `DOCKER_HOST=ssh://`, a proxy on the way.
pub(super) const ENGINE: &[&str] = &[
    "CONTAINERS_CONF",
    "CONTAINER_CONNECTION",
    "CONTAINER_HOST",
    "CONTAINER_SSHKEY",
    "DOCKER_API_VERSION",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSH_AUTH_SOCK",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// What is said to this process alone: the key of the HTTP trigger, and the
/// words of a service manager.
const OURS_ALONE: [&str; 7] = [
    "BACKUP_TRIGGER_API_KEY",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Where we look for programs.
pub(super) fn path() -> Option<OsString> {
    std::env::var_os("PATH")
}

/// How much of our environment a child is given. There is no arm for the whole.
#[derive(Clone, Debug)]
pub(super) enum Given {
    /// [`EVERYBODY`]'s, and these.
    Listed(Vec<OsString>),
    /// Nothing at all.
    Nothing,
    /// All but [`OURS_ALONE`]: the child is kluis.
    ToOurselves,
}

impl Given {
    /// Clears the command's environment, and gives it what is listed.
    pub(super) fn apply(&self, command: &mut Command) {
        command.env_clear();
        command.envs(std::env::vars_os().filter(|(name, _)| self.has(name)));
    }

    fn has(&self, name: &OsStr) -> bool {
        let text = name.to_str().unwrap_or_default();
        match self {
            Self::Nothing => false,
            Self::ToOurselves => !OURS_ALONE.contains(&text),
            Self::Listed(more) => {
                EVERYBODY.contains(&text)
                    || text.starts_with(LOCALE_PREFIX)
                    || more.iter().any(|it| it == name)
            }
        }
    }

    pub(super) fn list(&mut self, names: impl IntoIterator<Item = OsString>) {
        if let Self::Listed(listed) = self {
            listed.extend(names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(given: &Given, name: &str) -> bool {
        given.has(OsStr::new(name))
    }

    #[test]
    fn a_child_is_given_what_is_listed_and_no_secret() {
        let mut given = Given::Listed(Vec::new());
        for name in ["PATH", "HOME", "LC_ALL", "TZ"] {
            assert!(has(&given, name), "{name}");
        }
        for name in [
            "BACKUP_ENCRYPTION_KEY",
            "BACKUP_WEBHOOK_URL",
            "DATABASE_URL",
            "PGPASSWORD",
            "PGHOST",
            "AWS_SECRET_ACCESS_KEY",
            "VAULT_TOKEN",
            "LD_PRELOAD",
            "BASH_ENV",
        ] {
            assert!(!has(&given, name), "{name}");
        }
        given.list(["VAULT_TOKEN".into()]);
        assert!(has(&given, "VAULT_TOKEN"));
    }

    #[test]
    fn kluis_as_a_child_is_given_all_but_what_is_for_its_parent_alone() {
        for name in ["BACKUP_ENCRYPTION_KEY", "DATABASE_URL", "KLUIS_CONFIG"] {
            assert!(has(&Given::ToOurselves, name), "{name}");
        }
        for name in ["BACKUP_TRIGGER_API_KEY", "NOTIFY_SOCKET"] {
            assert!(!has(&Given::ToOurselves, name), "{name}");
        }
    }
}
