//! The webhook: one call for each event, by the payload of the service that
//! kluis replaces, so that its receivers go on working.
//!
//! `execution.id` is a number that no other event of the host has: microseconds
//! since 1970. `schedule.id` is 0, as that service has it where it keeps no number:
//! schedules have names here. `execution.type` is DATABASE also where the event is about a whole
//! storage. What kluis knows beyond that stands beside it under `kluis`:
//!
//! ```json
//! { "event": "backup.completed", "timestamp": "2026-01-18T10:30:00.500Z",
//!   "execution": { "id": 1768732200500000, "type": "DATABASE", "trigger": "SCHEDULED",
//!     "status": "COMPLETED", "filename": "shop_backup_2026-01-18T10-30-00.sql.gz",
//!     "fileSize": 1024, "durationMs": 3800, "errorMessage": null },
//!   "schedule": { "id": 0, "name": "nightly" },
//!   "kluis": { "version": "0.1.0", "command": "backup db", "host": "db1",
//!     "storage": "/var/backups/kluis", "name": "shop",
//!     "backup": "838f989f5836d33d", "problem": null } }
//! ```
//!
//! `problem` is the error of a failed run; of a completed one it is what was not
//! as it should be. With a secret, the header `X-Kanbu-Signature` is `sha256=`
//! and the hex HMAC-SHA256 (RFC 2104) of the body's bytes. A test has the header
//! `X-Kanbu-Test: true`.

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::http::{Call, JSON};
use super::{Endpoint, HttpClient, Notice, Notifier, NotifyError, Occasion, Patience, Sent};
use crate::event::Event;
use crate::format::manifest::{Kind, Trigger};
use crate::secrets::SecretText;

pub struct Webhook {
    pub http: HttpClient,
    pub endpoint: Endpoint,
    /// The calls are signed with it.
    pub secret: Option<SecretText>,
}

#[derive(Serialize)]
struct Payload<'a> {
    event: &'static str,
    timestamp: String,
    execution: Execution<'a>,
    schedule: Option<Schedule<'a>>,
    kluis: Beside<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Execution<'a> {
    id: u64,
    #[serde(rename = "type")]
    kind: &'static str,
    trigger: Trigger,
    status: &'static str,
    filename: Option<&'a str>,
    file_size: Option<u64>,
    duration_ms: Option<u64>,
    error_message: Option<&'a str>,
}

#[derive(Serialize)]
struct Schedule<'a> {
    id: u64,
    name: &'a str,
}

#[derive(Serialize)]
struct Beside<'a> {
    version: &'static str,
    command: &'a str,
    host: &'a str,
    storage: &'a str,
    name: Option<&'a str>,
    backup: Option<&'a str>,
    problem: Option<&'a str>,
}

impl<'a> Payload<'a> {
    fn of(event: &'a Event) -> Self {
        let well = event.kind.is_success();
        let backup = event.backup.as_ref();
        let problem = event.problem.as_deref();
        Self {
            event: event.kind.name(),
            timestamp: format!("{:.3}", event.at),
            execution: Execution {
                id: u64::try_from(event.at.as_microsecond()).unwrap_or(0),
                kind: match event.subject {
                    Some(Kind::Source) => "SOURCE",
                    Some(Kind::Db) | None => "DATABASE",
                },
                trigger: event.trigger,
                status: if well { "COMPLETED" } else { "FAILED" },
                filename: backup.map(|backup| backup.file.as_str()),
                file_size: backup.map(|backup| backup.stored_bytes),
                duration_ms: event.duration_ms,
                error_message: problem.filter(|_| !well),
            },
            schedule: event.schedule.as_ref().map(|name| Schedule { id: 0, name }),
            kluis: Beside {
                version: env!("CARGO_PKG_VERSION"),
                command: &event.command,
                host: &event.host,
                storage: &event.storage,
                name: event.name.as_deref(),
                backup: backup.map(|backup| backup.id.as_str()),
                problem,
            },
        }
    }
}

impl Webhook {
    fn headers(&self, body: &[u8], occasion: Occasion) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(secret) = &self.secret {
            headers.push(("X-Kanbu-Signature", signature(secret, body)));
        }
        if occasion == Occasion::Test {
            headers.push(("X-Kanbu-Test", "true".to_owned()));
        }
        headers
    }
}

fn signature(secret: &SecretText, body: &[u8]) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl Notifier for Webhook {
    fn host(&self) -> &str {
        self.endpoint.host()
    }

    fn is_in_clear(&self) -> bool {
        self.endpoint.is_in_clear()
    }

    fn send(&self, notice: &Notice, patience: &Patience) -> Result<Sent, NotifyError> {
        let mut answer = String::new();
        let mut failed = None;
        for event in &notice.events {
            // A payload of text and numbers only always has a JSON.
            let body = serde_json::to_vec(&Payload::of(event)).unwrap_or_default();
            let headers = self.headers(&body, notice.occasion);
            let call = Call {
                endpoint: &self.endpoint,
                headers: &headers,
                body: Some((JSON, &body)),
            };
            // One that fails does not stop those behind it.
            match patience.tries(|limit| self.http.send(&call, limit)) {
                Ok(last) => answer = last,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let number = notice.events.len();
        match failed {
            Some(error) => Err(error),
            None => Ok(Sent {
                what: match number {
                    1 => "1 call".to_owned(),
                    _ => format!("{number} calls"),
                },
                answer,
            }),
        }
    }
}
