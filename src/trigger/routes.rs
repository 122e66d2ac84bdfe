//! Which request gets which answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::answer::{self, Answer, json_answer, wrong_method};
use super::gate::TooOften;
use super::listen::{Guest, Shared};
use super::{BODY_BYTES_MAX, EXCHANGE_TIME, Order, key};
use crate::format::manifest::Kind;

const TRIGGER: &str = "/api/backup/trigger";
const HEALTH: &str = "/api/backup/trigger/health";
/// What the body of a trigger may say.
const FIELDS: [&str; 2] = ["type", "apiKey"];
/// Of a field that is not known.
const FIELD_CHARS_MAX: usize = 64;
/// What is read of a request that was answered already, so that its sender sees
/// the answer and not a broken connection.
const LEFTOVER_BYTES_MAX: usize = 1 << 20;
const LEFTOVER_TIME: Duration = Duration::from_secs(2);

/// An answer that ends the handling of its request.
type Refused = Box<Answer>;

fn refusal(status: StatusCode, message: &str) -> Refused {
    Box::new(answer::refusal(status, message))
}

fn too_often(TooOften(wait): TooOften, message: &str) -> Refused {
    Box::new(answer::too_often(wait, message))
}

fn unauthorized(for_browsers: bool) -> Refused {
    Box::new(answer::unauthorized(for_browsers))
}

pub async fn answer(request: Request<Incoming>, shared: &Shared, guest: &Guest) -> Answer {
    let (head, mut body) = request.into_parts();
    let reads = head.method == Method::GET || head.method == Method::HEAD;
    let answer = match head.uri.path() {
        TRIGGER if head.method == Method::POST => {
            trigger(&head.headers, &mut body, shared, guest).await
        }
        TRIGGER => Err(Box::new(wrong_method("POST"))),
        HEALTH if reads => Ok(health()),
        "/" if reads => report(&head.headers, shared, guest).await,
        HEALTH | "/" => Err(Box::new(wrong_method("GET, HEAD"))),
        _ => Err(refusal(
            StatusCode::NOT_FOUND,
            "there is nothing at this address",
        )),
    };
    // A refusal is an answer like any other from here on.
    let answer = answer.unwrap_or_else(|refused| *refused);
    let _ = timeout(LEFTOVER_TIME, discard(&mut body)).await;
    answer
}

/// Tells nothing that a stranger may not know.
fn health() -> Answer {
    let body = json!({
        "status": "ok",
        "configured": true,
        "message": "the backup trigger is ready",
    });
    json_answer(StatusCode::OK, &body)
}

async fn report(headers: &HeaderMap, shared: &Shared, guest: &Guest) -> Result<Answer, Refused> {
    let given = key::of_person(headers).ok_or_else(|| unauthorized(true))?;
    check_key(&given, shared, guest, true)?;
    let _welcome = guest.welcome();
    Ok(shared.pages.answer(Arc::clone(&shared.desk)).await)
}

async fn trigger(
    headers: &HeaderMap,
    body: &mut Incoming,
    shared: &Shared,
    guest: &Guest,
) -> Result<Answer, Refused> {
    let in_headers = key::of_program(headers);
    if let Some(given) = &in_headers {
        check_key(given, shared, guest, false)?;
    }
    let read = timeout(EXCHANGE_TIME, read_body(headers, body)).await;
    let late = |_| refusal(StatusCode::REQUEST_TIMEOUT, "the request took too long");
    let bytes = read.map_err(late)??;
    let document = is_json(headers).then(|| serde_json::from_slice::<Value>(&bytes).ok());
    if in_headers.is_none() {
        let key = document
            .as_ref()
            .and_then(|it| it.as_ref()?.get("apiKey")?.as_str());
        let key = key.ok_or_else(|| unauthorized(false))?;
        check_key(key.as_bytes(), shared, guest, false)?;
    }
    let kind = wanted(document)?;
    let passed = shared.gate().trigger(Instant::now());
    passed.map_err(|wait| too_often(wait, "too many triggers; wait a little"))?;
    // Who has the key may wait for as long as a backup takes.
    let _welcome = guest.welcome();
    let (reply, outcome) = oneshot::channel();
    shared.desk.take(Order { kind, reply });
    let gone = |_| {
        refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "kluis serve is about to end",
        )
    };
    Ok(outcome.await.map_err(gone)?.into())
}

/// The right key always passes; only wrong ones meet the gate.
fn check_key(
    given: &[u8],
    shared: &Shared,
    guest: &Guest,
    for_browsers: bool,
) -> Result<(), Refused> {
    if shared.is_key(given) {
        return Ok(());
    }
    let counted = shared.gate().wrong_key(guest.from, Instant::now());
    counted.map_err(|wait| too_often(wait, "too many wrong keys; wait a little"))?;
    Err(unauthorized(for_browsers))
}

/// `None`: it says to be something else than JSON. `Some(None)`: it is none.
fn wanted(document: Option<Option<Value>>) -> Result<Kind, Refused> {
    let Some(document) = document else {
        let message = "the body must be JSON: Content-Type: application/json";
        return Err(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    };
    let fields = document.as_ref().and_then(Value::as_object);
    // Whoever says more than is understood here means something that would not be
    // done, such as one database of several.
    let unknown = fields.and_then(|it| it.keys().find(|key| !FIELDS.contains(&key.as_str())));
    if let Some(unknown) = unknown {
        let shown: String = unknown.chars().take(FIELD_CHARS_MAX).collect();
        let message = format!("the body has an unknown field {shown:?}; known are type, apiKey");
        return Err(refusal(StatusCode::BAD_REQUEST, &message));
    }
    let wanted = document.as_ref().and_then(|it| it.get("type")?.as_str());
    match wanted {
        Some("database") => Ok(Kind::Db),
        Some("source") => Ok(Kind::Source),
        _ => {
            let message = "the body must be {\"type\":\"database\"} or {\"type\":\"source\"}";
            Err(refusal(StatusCode::BAD_REQUEST, message))
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

async fn read_body(headers: &HeaderMap, body: &mut Incoming) -> Result<Vec<u8>, Refused> {
    let too_large = || {
        let message = format!("the body is larger than {BODY_BYTES_MAX} bytes");
        refusal(StatusCode::PAYLOAD_TOO_LARGE, &message)
    };
    let told = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let told = told.and_then(|told| told.parse::<u64>().ok());
    if told.is_some_and(|told| told > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let broken = |_| refusal(StatusCode::BAD_REQUEST, "the body broke off");
        let frame = frame.map_err(broken)?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
        if bytes.len() > BODY_BYTES_MAX {
            return Err(too_large());
        }
    }
    Ok(bytes)
}

async fn discard(body: &mut Incoming) {
    let mut left = LEFTOVER_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, |data| data.len());
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
