//! What is answered: JSON with the fields and words that the clients of the
//! replaced service know, and headers that keep browsers from doing more.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

pub type Answer = Response<Full<Bytes>>;

const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// A backup that was asked for, as the answer tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    /// Always 0: runs are known by the backup's id. Clients want the field.
    pub id: u64,
    /// The backup's id; of several the first one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// "DATABASE" or "SOURCE".
    pub r#type: &'static str,
    /// "COMPLETED" or "FAILED".
    pub status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Bytes as stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
    pub duration_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// Every backup that the run made, where it made several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done {
        message: String,
        execution: Execution,
    },
    Failed {
        message: String,
        execution: Execution,
    },
    /// Something else runs.
    Busy { message: String },
    /// The scheduler is about to end.
    Stopping,
}

/// A JSON document.
pub fn json_answer(status: StatusCode, body: &Value) -> Answer {
    with_type(status, "application/json", body.to_string().into())
}

/// What went wrong with a request.
pub fn refusal(status: StatusCode, message: &str) -> Answer {
    let error = status.canonical_reason().unwrap_or("Error");
    let body = json!({ "success": false, "error": error, "message": message });
    json_answer(status, &body)
}

pub fn too_often(wait: Duration, message: &str) -> Answer {
    let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, message);
    let seconds = wait.as_secs().saturating_add(1);
    answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    answer
}

pub fn wrong_method(allowed: &'static str) -> Answer {
    let message = format!("this address takes {allowed}");
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, &message);
    let allowed = HeaderValue::from_static(allowed);
    answer.headers_mut().insert(ALLOW, allowed);
    answer
}

/// Without the key, or with a wrong one. A browser asks its user.
pub fn unauthorized(for_browsers: bool) -> Answer {
    let message = "a valid key is needed: Authorization: Bearer KEY, or X-Backup-Key: KEY";
    let mut answer = refusal(StatusCode::UNAUTHORIZED, message);
    let challenge = match for_browsers {
        true => "Basic realm=\"kluis\", charset=\"UTF-8\"",
        false => "Bearer realm=\"kluis\"",
    };
    let challenge = HeaderValue::from_static(challenge);
    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done { message, execution } => json_answer(
                StatusCode::OK,
                &json!({ "success": true, "message": message, "execution": execution }),
            ),
            Outcome::Failed { message, execution } => json_answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                &json!({
                    "success": false,
                    "error": "Backup Failed",
                    "message": message,
                    "execution": execution,
                }),
            ),
            Outcome::Busy { message } => refusal(StatusCode::CONFLICT, &message),
            Outcome::Stopping => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "kluis serve is about to end; ask again when it runs",
            ),
        }
    }
}

pub fn text(status: StatusCode, text: &str) -> Answer {
    with_type(
        status,
        "text/plain; charset=utf-8",
        format!("{text}\n").into(),
    )
}

/// A page; `policy` says what of it may run.
pub fn page(html: Bytes, policy: HeaderValue) -> Answer {
    let mut answer = with_type(StatusCode::OK, "text/html; charset=utf-8", html);
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    answer
}

fn with_type(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let fixed: [(HeaderName, HeaderValue); 6] = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, NOTHING),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    answer.headers_mut().extend(fixed);
    answer
}
