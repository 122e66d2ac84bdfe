//! The settings of `[notify]`: receivers, what each wants to hear, and where its
//! secrets are to be taken from. URLs are secrets: no error repeats one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::file::{ChatKeys, EmailKeys, Entry, PingKeys, WebhookKeys};
use super::layers::{Layers, Setting, or_default, wrong};
use super::settings::{
    ChatSettings, EmailSettings, NotifySettings, PingSettings, PingUrlSettings, WebhookSettings,
    WhenSettings,
};
use super::{ConfigError, Origin, Sourced};
use crate::event::EventKind;
use crate::notify::{ChatKind, EmailTls, Endpoint, is_mailbox};
use crate::secrets::{SecretSource, SecretText};

const URL: [&str; 2] = ["BACKUP_WEBHOOK_URL", "BACKUP_WEBHOOK_URL_FILE"];
const SECRET: [&str; 2] = ["BACKUP_WEBHOOK_SECRET", "BACKUP_WEBHOOK_SECRET_FILE"];

/// The commands that a ping can be for.
const COMMANDS: [&str; 6] = [
    "backup",
    "backup db",
    "backup source",
    "restore",
    "verify",
    "check",
];
/// Names that need none.
const WEBHOOK: &str = "webhook";
const EMAIL: &str = "email";
const PING: &str = "ping";

impl Layers<'_> {
    pub(super) fn notify(&self) -> Result<NotifySettings, ConfigError> {
        let keys = &self.keys.notify;
        let mut names = Names::default();
        let webhook = self.webhook(&keys.webhook)?;
        let email = self.email(&keys.email)?;
        names.taken.extend([WEBHOOK.to_owned(), EMAIL.to_owned()]);
        let mut chats = Vec::new();
        for chat in &keys.chat {
            chats.push(self.chat(chat, &mut names)?);
        }
        let mut pings = Vec::new();
        for ping in &keys.ping {
            pings.push(self.ping(ping, &mut names)?);
        }
        Ok(NotifySettings {
            on_success: or_default(self.key(&keys.on_success), false),
            on_failure: or_default(self.key(&keys.on_failure), true),
            webhook,
            email,
            chats,
            pings,
        })
    }

    fn webhook(&self, keys: &WebhookKeys) -> Result<Option<WebhookSettings>, ConfigError> {
        let url = match self.secret_variable(URL)? {
            Some(url) => Some(url),
            None => self.secret_key(&keys.url, &keys.url_file, "url")?,
        };
        let secret = match self.secret_variable(SECRET)? {
            Some(secret) => Some(secret),
            None => self.secret_key(&keys.secret, &keys.secret_file, "secret")?,
        };
        let Some(url) = url else {
            return match secret.filter(|secret| matches!(secret.origin, Origin::File { .. })) {
                Some(secret) => Err(wrong(&secret.origin, "[notify.webhook] has no url")),
                None => Ok(None),
            };
        };
        check_url(&url)?;
        Ok(Some(WebhookSettings {
            url,
            secret,
            ca_file: self.path_key(&keys.ca_file),
            when: self.when(&keys.on_success, &keys.on_failure, &keys.events)?,
        }))
    }

    fn chat(&self, keys: &ChatKeys, names: &mut Names) -> Result<ChatSettings, ConfigError> {
        let kind = self.parsed_key(&keys.kind, parse_chat)?;
        let kind = kind.ok_or(ConfigError::Missing {
            what: "kind of a [[notify.chat]]",
            remedy: "give each [[notify.chat]] a kind: slack, discord or teams",
        })?;
        let url = self.secret_key(&keys.url, &keys.url_file, "url")?;
        let url = url.ok_or_else(|| wrong(&kind.origin, "this [[notify.chat]] has no url"))?;
        check_url(&url)?;
        Ok(ChatSettings {
            name: names.choose(self.key(&keys.name), kind.value.name())?,
            kind: kind.value,
            url,
            ca_file: self.path_key(&keys.ca_file),
            when: self.when(&keys.on_success, &keys.on_failure, &keys.events)?,
        })
    }

    fn ping(&self, keys: &PingKeys, names: &mut Names) -> Result<PingSettings, ConfigError> {
        let commands = or_default(self.key(&keys.commands), vec!["backup".to_owned()]);
        let unknown = |command: &&String| !COMMANDS.contains(&command.as_str());
        if let Some(unknown) = commands.value.iter().find(unknown) {
            let known = COMMANDS.join(", ");
            let what = format!("{unknown:?} is no command that pings; known are {known}");
            return Err(wrong(&commands.origin, what));
        }
        Ok(PingSettings {
            name: names.choose(self.key(&keys.name), PING)?,
            urls: self.ping_urls(keys)?,
            ca_file: self.path_key(&keys.ca_file),
            commands,
            schedule: self.key(&keys.schedule),
        })
    }

    fn ping_urls(&self, keys: &PingKeys) -> Result<PingUrlSettings, ConfigError> {
        let below = self.secret_key(&keys.url, &keys.url_file, "url")?;
        let each = [&keys.start_url, &keys.success_url, &keys.fail_url];
        let [start, success, fail] = each.map(|entry| {
            let url = self.key(entry)?;
            let text = SecretSource::Text(SecretText::new(url.value));
            Some(Sourced::new(text, url.origin))
        });
        let each = || [&start, &success, &fail].into_iter().flatten();
        each().chain(&below).try_for_each(check_url)?;
        let one_of_each = each().next().map(|url| url.origin.clone());
        match (below, one_of_each) {
            (Some(_), Some(origin)) => {
                let what = "url is set too; give a ping either url, or start_url, success_url \
                            and fail_url";
                Err(wrong(&origin, what))
            }
            (Some(below), None) => Ok(PingUrlSettings::Below(below)),
            (None, Some(_)) => Ok(PingUrlSettings::Each {
                start,
                success,
                fail,
            }),
            (None, None) => Err(ConfigError::Missing {
                what: "url of a [[notify.ping]]",
                remedy: "give each [[notify.ping]] a url, or start_url, success_url, fail_url",
            }),
        }
    }

    fn email(&self, keys: &EmailKeys) -> Result<Option<EmailSettings>, ConfigError> {
        let (to, host, from) = (
            self.key(&keys.to),
            self.key(&keys.host),
            self.key(&keys.from),
        );
        let (to, host, from) = match (to, host, from) {
            (None, None, None) => return Ok(None),
            (Some(to), Some(host), Some(from)) => (to, host, from),
            _ => {
                return Err(ConfigError::Missing {
                    what: "to, from or host under [notify.email]",
                    remedy: "a mail needs all three: to, from, and the SMTP server's host",
                });
            }
        };
        check_addresses(&to.value, &to.origin)?;
        check_addresses(std::slice::from_ref(&from.value), &from.origin)?;
        let tls = or_default(self.parsed_key(&keys.tls, parse_tls)?, EmailTls::StartTls);
        let user = self.key(&keys.user);
        let password = self.secret_key(&keys.password, &keys.password_file, "password")?;
        check_login(&user, &password, &tls, &host.value)?;
        Ok(Some(EmailSettings {
            to,
            from,
            host,
            port: or_default(self.key(&keys.port), port_of(tls.value)),
            tls,
            user,
            password,
            ca_file: self.path_key(&keys.ca_file),
            when: self.when(&keys.on_success, &keys.on_failure, &keys.events)?,
        }))
    }

    fn when(
        &self,
        on_success: &Entry<bool>,
        on_failure: &Entry<bool>,
        events: &Entry<Vec<String>>,
    ) -> Result<WhenSettings, ConfigError> {
        let events = self.key(events).map(|names| {
            let kinds = names.value.iter().map(|name| {
                EventKind::named(name).ok_or_else(|| {
                    let known = EventKind::ALL.map(EventKind::name).join(", ");
                    let what = format!("{name:?} is no event; known are {known}");
                    wrong(&names.origin, what)
                })
            });
            let kinds = kinds.collect::<Result<Vec<EventKind>, _>>()?;
            Ok(Sourced::new(kinds, names.origin.clone()))
        });
        Ok(WhenSettings {
            on_success: self.key(on_success),
            on_failure: self.key(on_failure),
            events: events.transpose()?,
        })
    }

    /// A secret of the file: the text itself, or the file that it stands in.
    fn secret_key(
        &self,
        text: &Entry<String>,
        file: &Entry<PathBuf>,
        name: &str,
    ) -> Setting<SecretSource> {
        let text = self.key(text);
        match (text, self.path_key(file)) {
            (Some(_), Some(file)) => {
                let what = format!("{name} is set too; remove one of them");
                Err(wrong(&file.origin, what))
            }
            (Some(text), None) if text.value.is_empty() => {
                Err(wrong(&text.origin, format!("{name} is empty")))
            }
            (Some(text), None) => {
                let secret = SecretSource::Text(SecretText::new(text.value));
                Ok(Some(Sourced::new(secret, text.origin)))
            }
            (None, Some(file)) => Ok(Some(self.secret_file(file))),
            (None, None) => Ok(None),
        }
    }

    /// The same of the environment: a variable, or the one that names a file.
    fn secret_variable(&self, [text, file]: [&'static str; 2]) -> Setting<SecretSource> {
        match (self.variable(text)?, self.path_variable(file)) {
            (Some(text), Some(_)) => {
                let what = format!("{file} is set too; unset one of them");
                Err(wrong(&text.origin, what))
            }
            (Some(text), None) => {
                let secret = SecretSource::Text(SecretText::new(text.value));
                Ok(Some(Sourced::new(secret, text.origin)))
            }
            (None, Some(file)) => Ok(Some(self.secret_file(file))),
            (None, None) => Ok(None),
        }
    }

    /// What lies among systemd's credentials is guarded by systemd.
    fn secret_file(&self, file: Sourced<PathBuf>) -> Sourced<SecretSource> {
        let credentials = self.environment.get("CREDENTIALS_DIRECTORY");
        let source = match credentials.is_some_and(|one| file.value.starts_with(Path::new(one))) {
            true => SecretSource::Credential(file.value),
            false => SecretSource::File(file.value),
        };
        Sourced::new(source, file.origin)
    }
}

/// Names of receivers: what was given, or the kind, with a number where that is
/// taken.
#[derive(Default)]
struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    fn choose(
        &mut self,
        given: Option<Sourced<String>>,
        kind: &str,
    ) -> Result<String, ConfigError> {
        if let Some(given) = given {
            if given.value.is_empty() || given.value.contains(char::is_control) {
                return Err(wrong(&given.origin, "a receiver's name is a word"));
            }
            if !self.taken.insert(given.value.clone()) {
                let what = format!("another receiver has the name {:?}", given.value);
                return Err(wrong(&given.origin, what));
            }
            return Ok(given.value);
        }
        let numbered = (2..).map(|number| format!("{kind}-{number}"));
        let free = std::iter::once(kind.to_owned())
            .chain(numbered)
            .find(|name| !self.taken.contains(name));
        let name = free.unwrap_or_else(|| kind.to_owned());
        self.taken.insert(name.clone());
        Ok(name)
    }
}

/// Of a URL that stands in a file of its own that is judged when it is read.
fn check_url(url: &Sourced<SecretSource>) -> Result<(), ConfigError> {
    match &url.value {
        SecretSource::Text(text) => match Endpoint::parse(text) {
            Ok(_) => Ok(()),
            Err(why) => Err(wrong(&url.origin, why)),
        },
        SecretSource::File(_) | SecretSource::Credential(_) => Ok(()),
    }
}

fn check_addresses(list: &[String], origin: &Origin) -> Result<(), ConfigError> {
    match list.iter().find(|one| !is_mailbox(one)) {
        Some(odd) => Err(wrong(origin, format!("{odd:?} is not a mail address"))),
        None if list.is_empty() => Err(wrong(origin, "it is empty; name who gets the mails")),
        None => Ok(()),
    }
}

fn check_login(
    user: &Option<Sourced<String>>,
    password: &Option<Sourced<SecretSource>>,
    tls: &Sourced<EmailTls>,
    host: &str,
) -> Result<(), ConfigError> {
    match (user, password) {
        (Some(user), None) => Err(wrong(&user.origin, "user has no password_file")),
        (None, Some(password)) => Err(wrong(&password.origin, "the password has no user")),
        (Some(_), Some(_)) if tls.value == EmailTls::None && !is_here(host) => {
            let what = "without TLS the password would cross the network as it is; set tls to \
                        starttls or implicit";
            Err(wrong(&tls.origin, what))
        }
        _ => Ok(()),
    }
}

fn parse_chat(text: &str) -> Result<ChatKind, &'static str> {
    let known = ChatKind::ALL.into_iter().find(|kind| kind.name() == text);
    known.ok_or("not a kind of chat; known are slack, discord, teams")
}

fn parse_tls(text: &str) -> Result<EmailTls, &'static str> {
    match text {
        "starttls" => Ok(EmailTls::StartTls),
        "implicit" => Ok(EmailTls::Implicit),
        "none" => Ok(EmailTls::None),
        _ => Err("not a way of TLS; known are starttls, implicit, none"),
    }
}

fn port_of(tls: EmailTls) -> u16 {
    match tls {
        EmailTls::StartTls => 587,
        EmailTls::Implicit => 465,
        EmailTls::None => 25,
    }
}

/// Whether the mail server is this machine.
fn is_here(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFile, Environment, Flags, Settings, resolve, show};

    fn from(environment: &Environment, text: &str) -> Result<Settings, String> {
        let file = ConfigFile::parse(Path::new("kluis.toml"), text.to_owned());
        let file = file.map_err(|error| error.to_string())?;
        let settings = resolve(Flags::default(), environment, Some(&file));
        settings.map_err(|error| error.to_string())
    }

    fn of_file(text: &str) -> Result<Settings, String> {
        from(&Environment::of([]), text)
    }

    fn shown(settings: &Settings) -> String {
        let rows = show(settings);
        let rows = rows.iter().filter(|row| row.key.starts_with("notify"));
        rows.map(|row| format!("{} {} {}\n", row.key, row.value, row.from))
            .collect()
    }

    #[test]
    fn failures_are_told_and_successes_are_not_unless_a_receiver_says_otherwise() {
        let text = "[notify.webhook]\nurl = \"https://h/x\"\n\
                    [[notify.chat]]\nkind = \"slack\"\nurl = \"https://h/y\"\non_success = true\n\
                    [[notify.chat]]\nkind = \"slack\"\nurl = \"https://h/y\"\n\
                    events = [\"verify.failed\"]\n";
        let notify = of_file(text).unwrap().notify;
        let failures = [
            EventKind::BackupFailed,
            EventKind::RestoreFailed,
            EventKind::VerifyFailed,
            EventKind::CheckUnhealthy,
        ];
        let webhook = notify.webhook.as_ref().unwrap();
        assert_eq!(notify.events(&webhook.when), failures);
        assert_eq!(notify.events(&notify.chats[0].when), EventKind::ALL);
        let only = [EventKind::VerifyFailed];
        assert_eq!(notify.events(&notify.chats[1].when), only);
        let names = notify.chats.iter().map(|chat| chat.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["slack", "slack-2"]);
    }

    #[test]
    fn kanbus_variables_make_a_webhook_and_beat_the_file() {
        let environment = Environment::of([
            ("BACKUP_WEBHOOK_URL", "https://env.example/token-e"),
            ("BACKUP_WEBHOOK_SECRET_FILE", "/run/secret"),
        ]);
        let text = "[notify.webhook]\nurl = \"https://file.example/token-f\"\non_success = true\n";
        let settings = from(&environment, text).unwrap();
        let shown = shown(&settings);
        assert!(shown.contains("https://env.example/***"), "{shown}");
        assert!(shown.contains("in the file /run/secret"), "{shown}");
        let webhook = settings.notify.webhook.as_ref().unwrap();
        assert!(webhook.when.on_success.as_ref().unwrap().value);
        // A secret alone is no webhook.
        let alone = Environment::of([("BACKUP_WEBHOOK_SECRET", "x")]);
        assert!(from(&alone, "").unwrap().notify.is_empty());
    }

    #[test]
    fn no_secret_is_shown_and_no_error_repeats_one() {
        let text = "[notify.webhook]\nurl = \"https://h.example/CANARY1\"\nsecret = \"CANARY2\"\n\
                    [[notify.chat]]\nkind = \"teams\"\nurl = \"https://h.example/CANARY3?x=CANARY4\"\n\
                    [[notify.ping]]\nurl = \"https://u:CANARY5@h.example/CANARY6\"\n\
                    [notify.email]\nto = [\"a@b.c\"]\nfrom = \"k@b.c\"\nhost = \"m.example\"\n\
                    user = \"u\"\npassword = \"CANARY7\"\n";
        let shown = shown(&of_file(text).unwrap());
        assert!(shown.contains("h.example") && shown.contains("m.example"));
        assert!(!shown.contains("CANARY"), "{shown}");
        for text in [
            "[notify.webhook]\nurl = \"CANARY\"\n",
            "[notify.webhook]\nsecret = \"CANARY\"\n",
            "[[notify.chat]]\nkind = \"slack\"\nurl = \"ftp://h/CANARY\"\n",
            "[[notify.ping]]\nurl = \"http:/CANARY\"\n",
            "[[notify.ping]]\nstart_url = \"CANARY\"\n",
            "[[notify.ping]]\nurl = \"https://h/CANARY\"\nfail_url = \"https://h/CANARY\"\n",
            "[notify.email]\npassword = \"CANARY\"\nto = [\"a@b.c\"]\nfrom = \"k@b.c\"\nhost = \"m\"\n",
        ] {
            let error = of_file(text).err().unwrap_or_default();
            assert!(error.starts_with("kluis.toml:"), "{text}: {error}");
            assert!(!error.contains("CANARY"), "{error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        for (text, why) in [
            ("[[notify.chat]]\nurl = \"https://h/x\"\n", "kind"),
            ("[[notify.chat]]\nkind = \"irc\"\n", "not a kind of chat"),
            ("[[notify.chat]]\nkind = \"slack\"\n", "no url"),
            (
                "[[notify.chat]]\nkind = \"slack\"\nurl = \"https://h/x\"\nname = \"email\"\n",
                "another receiver",
            ),
            (
                "[[notify.ping]]\nurl = \"https://h/x\"\ncommands = [\"bakup\"]\n",
                "no command that pings",
            ),
            ("[[notify.ping]]\n", "url"),
            (
                "[notify.webhook]\nurl = \"https://h/x\"\nevents = [\"backup.done\"]\n",
                "no event",
            ),
            (
                "[notify.webhook]\nurl = \"https://h/x\"\nurl_file = \"x\"\n",
                "set too",
            ),
            ("[notify.email]\nto = [\"a@b.c\"]\n", "to, from or host"),
            (
                "[notify.email]\nto = [\"a b\"]\nfrom = \"k@b.c\"\nhost = \"m\"\n",
                "not a mail address",
            ),
            (
                "[notify.email]\nto = [\"a@b.c\"]\nfrom = \"k@b.c\"\nhost = \"m\"\nuser = \"u\"\n",
                "password_file",
            ),
            (
                "[notify.email]\nto = [\"a@b.c\"]\nfrom = \"k@b.c\"\nhost = \"m\"\nuser = \"u\"\n\
                 password_file = \"p\"\ntls = \"none\"\n",
                "as it is",
            ),
        ] {
            let error = of_file(text).err().unwrap_or_default();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_secret_that_systemd_guards_is_a_credential() {
        let environment = Environment::of([
            ("CREDENTIALS_DIRECTORY", "/run/credentials/kluis.service"),
            (
                "BACKUP_WEBHOOK_URL_FILE",
                "/run/credentials/kluis.service/hook",
            ),
        ]);
        let settings = from(&environment, "").unwrap();
        let webhook = settings.notify.webhook.unwrap();
        assert!(matches!(webhook.url.value, SecretSource::Credential(_)));
    }
}
