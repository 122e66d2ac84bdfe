//! Mail by SMTP. All events of a run are one mail; each recipient is handed over
//! on its own, so that one who is refused keeps it from no other.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, SmtpTransport, Transport};

use super::http::{OWN_CA, OWN_CA_REMEDY, read_ca};

use super::patience::seconds;
use super::{Notice, Notifier, NotifyError, Patience, Sent};
use crate::secrets::SecretText;

/// Longer words of a server are cut.
const WORDS_CHARS_MAX: usize = 200;
/// A subject is one line on a phone.
const SUBJECT_CHARS_MAX: usize = 150;

/// How the connection to the server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailTls {
    /// From the first byte.
    Implicit,
    /// After STARTTLS, and not at all where the server has none.
    StartTls,
    None,
}

/// The server and how it is reached.
pub struct EmailAccount {
    pub host: String,
    pub port: u16,
    pub tls: EmailTls,
    /// User and password.
    pub login: Option<(String, SecretText)>,
    /// This machine's name, for the greeting and the message's id.
    pub own_host: String,
}

pub struct Email {
    account: EmailAccount,
    tls: Tls,
    from: Mailbox,
    to: Vec<Mailbox>,
}

/// Whether it is a mail address, perhaps with a name before it.
pub fn is_mailbox(text: &str) -> bool {
    text.parse::<Mailbox>().is_ok()
}

impl Email {
    /// `ca_file`: a server is believed that one of its certificates (PEM) signed,
    /// and no other; without it, those whom the machine believes.
    pub fn new(
        account: EmailAccount,
        from: &str,
        to: &[String],
        ca_file: Option<&Path>,
    ) -> Result<Self, NotifyError> {
        let mailbox = |text: &str| {
            let parsed = text.parse::<Mailbox>();
            parsed.map_err(|_| NotifyError::Setup(format!("{text:?} is not a mail address")))
        };
        Ok(Self {
            tls: tls(&account, ca_file)?,
            account,
            from: mailbox(from)?,
            to: to
                .iter()
                .map(|one| mailbox(one))
                .collect::<Result<_, _>>()?,
        })
    }

    fn transport(&self, limit: Duration) -> SmtpTransport {
        let mut builder = SmtpTransport::builder_dangerous(&self.account.host)
            .port(self.account.port)
            .hello_name(ClientId::Domain(safe_host(&self.account.own_host)))
            .tls(self.tls.clone())
            .timeout(Some(limit));
        if let Some((user, password)) = &self.account.login {
            let password = password.expose().to_owned();
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        builder.build()
    }

    fn message(&self, notice: &Notice) -> Result<Vec<u8>, NotifyError> {
        let mut id = [0; 16];
        let failed = |why: String| NotifyError::Setup(format!("the mail cannot be made: {why}"));
        getrandom::fill(&mut id).map_err(|error| failed(error.to_string()))?;
        let id = format!(
            "<{}@{}>",
            hex::encode(id),
            safe_host(&self.account.own_host)
        );
        let subject: String = notice.text.title.chars().take(SUBJECT_CHARS_MAX).collect();
        // No answer by somebody's machine (RFC 3834).
        let automatic = HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        );
        let to = self.to.iter().cloned();
        let builder = to.fold(Message::builder(), |builder, one| builder.to(one));
        builder
            .from(self.from.clone())
            .subject(subject)
            .message_id(Some(id))
            .raw_header(automatic)
            .header(ContentType::TEXT_PLAIN)
            .body(notice.text.plain())
            .map(|message| message.formatted())
            .map_err(|error| failed(error.to_string()))
    }

    /// Hands it over to one recipient.
    fn hand_over(&self, to: &Address, mail: &[u8], limit: Duration) -> Result<String, NotifyError> {
        let envelope = Envelope::new(Some(self.from.email.clone()), vec![to.clone()])
            .map_err(|error| NotifyError::Setup(error.to_string()))?;
        let answer = self
            .transport(limit)
            .send_raw(&envelope, mail)
            .map_err(|error| self.explain(&error, limit))?;
        Ok(format!(
            "{} {}",
            answer.code(),
            self.harmless(answer.first_line().unwrap_or_default())
        ))
    }

    fn explain(&self, error: &Error, limit: Duration) -> NotifyError {
        let EmailAccount { host, port, .. } = &self.account;
        let said = self.harmless(&error.to_string());
        if error.is_permanent() {
            let why = said.replacen("permanent error", "the server refuses it", 1);
            return NotifyError::Refused(why.trim().to_owned());
        }
        let limit = seconds(limit);
        let why = match () {
            () if is_timeout(error) => format!("no answer from {host}:{port} within {limit}"),
            () if said.contains("UnknownIssuer") => format!(
                "the certificate of {host} is signed by nobody who is trusted; name its CA in \
                 ca_file"
            ),
            () if said.contains(OWN_CA) => OWN_CA_REMEDY.to_owned(),
            () => format!("{host}:{port}: {said}"),
        };
        match error.is_client() || error.is_tls() {
            true => NotifyError::Refused(why),
            false => NotifyError::Unreachable(why),
        }
    }

    /// A server's words, on one line, without the password should it repeat that.
    fn harmless(&self, words: &str) -> String {
        let password = self
            .account
            .login
            .as_ref()
            .map(|(_, password)| password.expose());
        let words = match password {
            Some(password) if !password.is_empty() => words.replace(password, "***"),
            _ => words.to_owned(),
        };
        let tame = |c: char| if c.is_control() { ' ' } else { c };
        words.chars().map(tame).take(WORDS_CHARS_MAX).collect()
    }
}

impl Notifier for Email {
    fn host(&self) -> &str {
        &self.account.host
    }

    fn send(&self, notice: &Notice, patience: &Patience) -> Result<Sent, NotifyError> {
        let mail = self.message(notice)?;
        let mut answer = String::new();
        let mut failed: Vec<String> = Vec::new();
        let mut last = NotifyError::OutOfTime;
        for to in &self.to {
            match patience.tries(|limit| self.hand_over(&to.email, &mail, limit)) {
                Ok(said) => answer = said,
                Err(error) => {
                    failed.push(format!("to {}: {error}", to.email));
                    last = error;
                }
            }
        }
        if failed.is_empty() {
            let number = self.to.len();
            return Ok(Sent {
                what: match number {
                    1 => "1 mail".to_owned(),
                    _ => format!("1 mail to {number}"),
                },
                answer,
            });
        }
        let why = failed.join("; ");
        Err(match last {
            NotifyError::Refused(_) => NotifyError::Refused(why),
            _ => NotifyError::Unreachable(why),
        })
    }
}

fn tls(account: &EmailAccount, ca_file: Option<&Path>) -> Result<Tls, NotifyError> {
    if account.tls == EmailTls::None {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(account.host.clone());
    if let Some(path) = ca_file {
        let failed =
            |what: String| NotifyError::Setup(format!("the ca_file {}: {what}", path.display()));
        let pem = read_ca(path)?;
        let ca = Certificate::from_pem(&pem)
            .map_err(|_| failed("holds no certificate in PEM form".to_owned()))?;
        parameters = parameters
            .certificate_store(CertificateStore::None)
            .add_root_certificate(ca);
    }
    let parameters = parameters
        .build()
        .map_err(|error| NotifyError::Setup(format!("TLS for {}: {error}", account.host)))?;
    Ok(match account.tls {
        EmailTls::Implicit => Tls::Wrapper(parameters),
        EmailTls::StartTls | EmailTls::None => Tls::Required(parameters),
    })
}

/// A read that takes too long ends as one that would block.
fn is_timeout(error: &Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        }
        next = cause.source();
    }
    false
}

/// A host's name as SMTP and a message's id can have it.
fn safe_host(host: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let name: String = host.chars().filter(fits).collect();
    match name.is_empty() {
        true => "localhost".to_owned(),
        false => name,
    }
}
