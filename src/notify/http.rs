//! One HTTP call: no redirects, one limit for the whole, a short answer.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

use super::patience::seconds;
use super::{Endpoint, NotifyError};
use crate::strict;

const USER_AGENT: &str = concat!("kluis/", env!("CARGO_PKG_VERSION"));
/// An answer is read this far.
const ANSWER_BYTES_MAX: u64 = 4096;
/// A longer one is a page, not a word.
const WORD_CHARS_MAX: usize = 80;

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// What carries the calls of one receiver. A proxy is taken from the usual
/// variables (HTTPS_PROXY, NO_PROXY, ...).
#[derive(Clone)]
pub struct HttpClient {
    roots: RootCerts,
}

/// The certificates in a file that nobody else can have written: who could, would
/// say which server is believed.
pub(super) fn read_ca(path: &Path) -> Result<Vec<u8>, NotifyError> {
    strict::read(path).map_err(|error| {
        let remedy = error.remedy().map(|it| format!("; {it}"));
        let remedy = remedy.unwrap_or_default();
        NotifyError::Setup(format!("the ca_file {}: {error}{remedy}", path.display()))
    })
}

/// What is sent.
pub(super) struct Call<'a> {
    pub endpoint: &'a Endpoint,
    pub headers: &'a [(&'static str, String)],
    /// The type and the bytes; `None` is a GET.
    pub body: Option<(&'static str, &'a [u8])>,
}

impl HttpClient {
    /// Servers are believed whom the machine believes.
    pub fn new() -> Self {
        Self {
            roots: RootCerts::PlatformVerifier,
        }
    }

    /// Servers are believed that one of the file's certificates (PEM) signed,
    /// and no others.
    pub fn with_ca_file(path: &Path) -> Result<Self, NotifyError> {
        let failed =
            |what: String| NotifyError::Setup(format!("the ca_file {}: {what}", path.display()));
        let pem = read_ca(path)?;
        let mut certificates = Vec::new();
        for item in parse_pem(&pem) {
            if let PemItem::Certificate(one) = item.map_err(|error| failed(error.to_string()))? {
                certificates.push(one);
            }
        }
        if certificates.is_empty() {
            return Err(failed("holds no certificate in PEM form".to_owned()));
        }
        Ok(Self {
            roots: RootCerts::from(certificates),
        })
    }

    /// Sends it once. The answer is the status and, where that is a word, what
    /// the other side says.
    pub(super) fn send(&self, call: &Call<'_>, limit: Duration) -> Result<String, NotifyError> {
        let tls = TlsConfig::builder().root_certs(self.roots.clone());
        let agent: Agent = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(limit))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(USER_AGENT)
            .build()
            .into();
        let url = call.endpoint.expose();
        let response = match call.body {
            None => with_headers(agent.get(url), call.headers).call(),
            Some((kind, bytes)) => with_headers(agent.post(url), call.headers)
                .header("Content-Type", kind)
                .send(bytes),
        };
        let response = response.map_err(|error| explain(&error, call.endpoint, limit))?;
        let status = response.status().as_u16();
        let header = response.headers().get("Retry-After");
        let wait = header.and_then(|it| retry_after(it.to_str().ok()?, Timestamp::now()));
        let mut said = Vec::new();
        let body = response.into_body().into_reader();
        // The status is what counts; an answer that breaks off is no failure.
        let _ = body.take(ANSWER_BYTES_MAX).read_to_end(&mut said);
        judge(status, &word(&said, call.endpoint), wait)
    }
}

impl Default for HttpClient {
    fn default() -> Self {
        Self::new()
    }
}

fn with_headers<T>(
    request: ureq::RequestBuilder<T>,
    headers: &[(&'static str, String)],
) -> ureq::RequestBuilder<T> {
    let add = |request: ureq::RequestBuilder<T>, (name, value): &(&'static str, String)| {
        request.header(*name, value)
    };
    headers.iter().fold(request, add)
}

/// RFC 9110: seconds, or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| {
        let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
    })
}

/// What a status means; the word stands behind it. `wait`: how long the other side
/// wants to be left alone.
fn judge(status: u16, word: &str, wait: Option<Duration>) -> Result<String, NotifyError> {
    let answer = match word {
        "" => status.to_string(),
        word => format!("{status} {word}"),
    };
    match status {
        200..300 => Ok(answer),
        300..400 => Err(NotifyError::Refused(format!(
            "it answered {status}, a redirect, which is not followed; configure the URL that it \
             leads to"
        ))),
        408 | 429 | 500.. => {
            let why = format!("it answered {answer}");
            Err(match wait {
                Some(wait) => NotifyError::Busy { why, wait },
                None => NotifyError::Unreachable(why),
            })
        }
        _ => Err(NotifyError::Refused(format!("it answered {answer}"))),
    }
}

/// What the other side says, where that is a plain word like "ok" or
/// "no_service". Pages are of no use, and some repeat the URL with its token.
fn word(said: &[u8], endpoint: &Endpoint) -> String {
    let text = String::from_utf8_lossy(said);
    let text = text.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || " _-.,:()'".contains(c);
    let is_word = text.chars().count() <= WORD_CHARS_MAX && text.chars().all(plain);
    match is_word && !endpoint.is_told_in(text) {
        true => text.to_owned(),
        false => String::new(),
    }
}

/// rustls of a server that shows a certificate of a CA as its own.
pub(super) const OWN_CA: &str = "CaUsedAsEndEntity";
pub(super) const OWN_CA_REMEDY: &str = "its certificate is made for a CA, and no server's; make one that is no CA (openssl req -x509 \
     -newkey rsa:2048 -nodes -subj /CN=HOST -addext subjectAltName=DNS:HOST -addext \
     basicConstraints=critical,CA:FALSE), and name that one in ca_file";

/// Why there was no answer. Never by the library's own words where those could
/// hold the URL.
fn explain(error: &Error, endpoint: &Endpoint, limit: Duration) -> NotifyError {
    let host = endpoint.host();
    let why = match error {
        Error::Timeout(_) => format!("no answer within {}", seconds(limit)),
        Error::HostNotFound => format!("the name {host} is not known"),
        Error::Io(error) if error.to_string().contains("UnknownIssuer") => {
            "its certificate is signed by nobody who is trusted; name its CA in ca_file".to_owned()
        }
        Error::Io(error) if error.to_string().contains(OWN_CA) => OWN_CA_REMEDY.to_owned(),
        Error::Io(error) => format!("{host}: {error}"),
        Error::Rustls(error) if error.to_string().contains(OWN_CA) => OWN_CA_REMEDY.to_owned(),
        Error::Rustls(error) => format!("{host}: {error}"),
        Error::Tls(what) => (*what).to_owned(),
        Error::Protocol(_) | Error::LargeResponseHeader(..) => {
            "its answer is not HTTP as it should be".to_owned()
        }
        Error::ConnectProxyFailed(_) | Error::InvalidProxyUrl => {
            "the proxy of HTTPS_PROXY or HTTP_PROXY lets nothing through".to_owned()
        }
        Error::ConnectionFailed => "no connection".to_owned(),
        _ => "the call failed".to_owned(),
    };
    NotifyError::Unreachable(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::SecretText;

    #[test]
    fn a_status_says_whether_another_try_is_worth_it() {
        for status in [200, 202, 204] {
            assert_eq!(judge(status, "", None).unwrap(), status.to_string());
        }
        for status in [301, 302, 307, 400, 401, 404, 410] {
            assert!(
                matches!(judge(status, "", None), Err(NotifyError::Refused(_))),
                "{status}"
            );
        }
        for status in [408, 429, 500, 503] {
            let judged = judge(status, "", None);
            assert!(
                matches!(judged, Err(NotifyError::Unreachable(_))),
                "{status}"
            );
        }
    }

    #[test]
    fn how_long_to_wait_is_told_in_seconds_or_by_a_date() {
        let now = "2026-01-18T10:30:00Z".parse().unwrap();
        let told = |text| retry_after(text, now);
        assert_eq!(told(" 7 "), Some(Duration::from_secs(7)));
        let date = "Sun, 18 Jan 2026 10:30:20 GMT";
        assert_eq!(told(date), Some(Duration::from_secs(20)));
        assert_eq!(told("Sun, 18 Jan 2026 10:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(told("soon"), None);
        let wait = told("7");
        let busy = judge(429, "", wait);
        assert!(matches!(busy, Err(NotifyError::Busy { .. })), "{busy:?}");
    }

    #[test]
    fn of_an_answer_only_a_harmless_word_is_told() {
        let endpoint = Endpoint::parse(&SecretText::new("https://h/services/TOKEN99")).unwrap();
        let told = |said: &str| word(said.as_bytes(), &endpoint);
        assert_eq!(told("ok\n"), "ok");
        assert_eq!(told("no_service"), "no_service");
        assert_eq!(told("<html>not found</html>"), "");
        assert_eq!(told("unknown token99"), "");
        assert_eq!(told("\u{1b}[2Jok"), "");
        assert_eq!(told(&"a".repeat(81)), "");
    }
}
