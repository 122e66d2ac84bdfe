//! Pings: a monitor hears when a run begins and how it ends, and raises the alarm
//! itself where it hears nothing.

use super::http::{Call, TEXT};
use super::{Endpoint, HttpClient, Notice, Notifier, NotifyError, Occasion, Patience, Sent};

/// Monitors keep some KiB of a body.
const BODY_CHARS_MAX: usize = 8_000;

pub struct Ping {
    pub http: HttpClient,
    pub urls: PingUrls,
}

pub enum PingUrls {
    /// As healthchecks has it: success at the URL itself, `/start`, `/fail` and
    /// `/log` below it. The text is the body of a POST.
    Below(Box<Endpoint>),
    /// One URL for each, asked by GET; what has none is not told.
    Each {
        start: Option<Endpoint>,
        success: Option<Endpoint>,
        fail: Option<Endpoint>,
    },
}

impl PingUrls {
    fn any(&self) -> Option<&Endpoint> {
        match self {
            Self::Below(url) => Some(url),
            Self::Each {
                start,
                success,
                fail,
            } => start.as_ref().or(success.as_ref()).or(fail.as_ref()),
        }
    }
}

impl Ping {
    fn call(
        &self,
        endpoint: &Endpoint,
        body: Option<&str>,
        patience: &Patience,
    ) -> Result<String, NotifyError> {
        let call = Call {
            endpoint,
            headers: &[],
            body: body.map(|text| (TEXT, text.as_bytes())),
        };
        patience.tries(|limit| self.http.send(&call, limit))
    }
}

impl Notifier for Ping {
    fn host(&self) -> &str {
        self.urls.any().map_or("", Endpoint::host)
    }

    fn is_in_clear(&self) -> bool {
        self.urls.any().is_some_and(Endpoint::is_in_clear)
    }

    fn send(&self, notice: &Notice, patience: &Patience) -> Result<Sent, NotifyError> {
        let what = match (notice.occasion, notice.is_failure()) {
            (Occasion::Begin, _) => "start",
            (Occasion::Test, _) => "log",
            (Occasion::End | Occasion::BrokenEnd, true) => "fail",
            (Occasion::End | Occasion::BrokenEnd, false) => "success",
        };
        let (what, answer) = match &self.urls {
            PingUrls::Below(url) => {
                let text = format!("{}\n\n{}", notice.text.title, notice.text.plain());
                let text: String = text.chars().take(BODY_CHARS_MAX).collect();
                let below = (what != "success").then(|| url.below(what));
                let url = below.as_ref().unwrap_or(url);
                (what, self.call(url, Some(&text), patience)?)
            }
            PingUrls::Each {
                start,
                success,
                fail,
            } => {
                let (what, url) = match what {
                    "start" => ("start", start.as_ref()),
                    "success" => ("success", success.as_ref()),
                    "fail" => ("fail", fail.as_ref()),
                    // There is nothing harmless: the first one of them.
                    _ if start.is_some() => ("start", start.as_ref()),
                    _ if success.is_some() => ("success", success.as_ref()),
                    _ => ("fail", fail.as_ref()),
                };
                match url {
                    Some(url) => (what, self.call(url, None, patience)?),
                    None => ("nothing", String::new()),
                }
            }
        };
        Ok(Sent {
            what: format!("ping: {what}"),
            answer,
        })
    }
}
