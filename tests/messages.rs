//! Webhooks and what carries them, against real servers on loopback: what is
//! sent, what is tried again, what is believed, and how long it takes at most.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kluis::event::EventKind;
use kluis::notify::{
    Endpoint, HttpClient, Job, Notifier, NotifyError, Occasion, Sent, Webhook, deliver,
};
use kluis::secrets::SecretText;
use serde_json::json;

use crate::support::programs;
use crate::support::receivers::{
    Answer, Certificates, PythonServer, Web, event, notice, patience, python_has,
};

/// What must not be told by anything.
const TOKEN: &str = "c4n4ry-t0ken";
const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(30);

fn webhook(url: &str, http: HttpClient) -> Webhook {
    Webhook {
        http,
        endpoint: Endpoint::parse(&SecretText::new(url)).unwrap(),
        secret: None,
    }
}

fn to(web: &Web) -> Webhook {
    webhook(&web.url(&format!("/hooks/{TOKEN}")), HttpClient::new())
}

fn send(webhook: &Webhook, call: Duration) -> Result<Sent, NotifyError> {
    let failed = notice(&[event(EventKind::BackupFailed, "shop")]);
    let result = webhook.send(&failed, &patience(call));
    let told = format!("{result:?}");
    assert!(!told.contains(TOKEN), "{told}");
    result
}

fn refused(result: Result<Sent, NotifyError>) -> String {
    match result {
        Err(NotifyError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn unreachable(result: Result<Sent, NotifyError>) -> String {
    match result {
        Err(NotifyError::Unreachable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_payload_is_the_one_that_kanbus_receivers_know() {
    let web = Web::start(&[Answer::Status(200, "ok")]);
    let events = [
        event(EventKind::BackupCompleted, "shop"),
        event(EventKind::BackupFailed, "wiki"),
    ];
    let sent = to(&web).send(&notice(&events), &patience(LONG)).unwrap();
    assert_eq!(
        (sent.what.as_str(), sent.answer.as_str()),
        ("2 calls", "200 ok")
    );
    let completed = web.next();
    assert_eq!(completed.method, "POST");
    assert_eq!(completed.path, format!("/hooks/{TOKEN}"));
    assert_eq!(completed.headers["content-type"], "application/json");
    let agent = format!("kluis/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(completed.headers["user-agent"], agent);
    assert!(!completed.headers.contains_key("x-kanbu-signature"));
    assert!(!completed.headers.contains_key("x-kanbu-test"));
    let beside = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "command": "backup db",
        "host": "db1",
        "storage": "/var/backups/kluis",
        "name": "shop",
        "backup": "838f989f5836d33d",
        "problem": null,
    });
    assert_eq!(
        completed.json(),
        json!({
            "event": "backup.completed",
            "timestamp": "2026-01-18T10:30:00.500Z",
            "execution": {
                "id": 1_768_732_200_500_000_u64,
                "type": "DATABASE",
                "trigger": "SCHEDULED",
                "status": "COMPLETED",
                "filename": "shop_backup_2026-01-18T10-30-00.sql.gz",
                "fileSize": 1024,
                "durationMs": 3800,
                "errorMessage": null,
            },
            "schedule": { "id": 0, "name": "nightly" },
            "kluis": beside,
        })
    );
    let failed = web.next().json();
    assert_eq!(failed["event"], "backup.failed");
    assert_eq!(
        failed["execution"],
        json!({
            "id": 1_768_732_200_500_000_u64,
            "type": "DATABASE",
            "trigger": "SCHEDULED",
            "status": "FAILED",
            "filename": null,
            "fileSize": null,
            "durationMs": null,
            "errorMessage": "the disk is full",
        })
    );
}

#[test]
fn the_signature_is_the_one_that_node_makes_of_the_bodys_bytes() {
    if !programs::are_here(&["node"]) {
        return;
    }
    let web = Web::start(&[Answer::Status(204, "")]);
    // Longer than a block of SHA-256, which HMAC treats apart, and not ASCII.
    for secret in ["s", "grün und geheim", &"k".repeat(100)] {
        let signed = Webhook {
            secret: Some(SecretText::new(secret)),
            ..to(&web)
        };
        let mut told = notice(&[event(EventKind::VerifyFailed, "größe \u{1f4a5} \"x\"")]);
        told.occasion = Occasion::Test;
        signed.send(&told, &patience(LONG)).unwrap();
        let request = web.next();
        assert_eq!(request.headers["x-kanbu-test"], "true");
        let script = "const c = require('crypto').createHmac('sha256', process.argv[1]);\
                      process.stdin.on('data', d => c.update(d));\
                      process.stdin.on('end', () => console.log('sha256=' + c.digest('hex')))";
        let mut node = Command::new("node");
        node.args(["-e", script, secret]).stdin(Stdio::piped());
        let mut node = node.stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut node.stdin.take().unwrap(), &request.body).unwrap();
        let said = node.wait_with_output().unwrap().stdout;
        let expected = String::from_utf8(said).unwrap();
        assert_eq!(request.headers["x-kanbu-signature"], expected.trim());
    }
}

#[test]
fn a_redirect_is_not_followed_and_not_tried_again() {
    let elsewhere = Web::start(&[Answer::Status(200, "")]);
    let web = Web::start(&[Answer::Redirect(elsewhere.url("/login"))]);
    let why = refused(send(&to(&web), LONG));
    assert!(why.contains("302") && why.contains("redirect"), "{why}");
    assert_eq!(web.so_far().len(), 1);
    assert_eq!(elsewhere.so_far().len(), 0);
}

#[test]
fn a_server_that_is_not_well_is_tried_three_times() {
    let web = Web::start(&[
        Answer::Status(500, ""),
        Answer::Status(429, ""),
        Answer::Status(200, ""),
    ]);
    assert_eq!(send(&to(&web), LONG).unwrap().answer, "200");
    assert_eq!(web.so_far().len(), 3);
    let web = Web::start(&[Answer::Status(503, "no_worker")]);
    let why = unreachable(send(&to(&web), LONG));
    assert_eq!(why, "it answered 503 no_worker");
    assert_eq!(web.so_far().len(), 3);
}

#[test]
fn a_no_is_taken_for_a_no_and_the_token_in_it_is_not_told() {
    let page = "<p>Cannot POST /hooks/c4n4ry-t0ken</p>";
    for (answer, told) in [
        (page, "404"),
        ("c4n4ry-t0ken gone", "404"),
        ("no_service", "404 no_service"),
    ] {
        let web = Web::start(&[Answer::Status(404, answer)]);
        assert_eq!(
            refused(send(&to(&web), LONG)),
            format!("it answered {told}")
        );
        assert_eq!(web.so_far().len(), 1);
    }
}

#[test]
fn the_limit_is_for_the_whole_call_also_where_bytes_still_drip() {
    for answer in [Answer::Never, Answer::Drip] {
        let web = Web::start(&[answer]);
        let began = Instant::now();
        let why = unreachable(send(&to(&web), SHORT));
        assert_eq!(why, "no answer within 0.4 s");
        assert!(began.elapsed() < 3 * SHORT + Duration::from_secs(5));
        assert_eq!(web.so_far().len(), 3);
    }
}

#[test]
fn a_port_that_nobody_listens_on_is_told_as_such() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/{TOKEN}", free.local_addr().unwrap());
    drop(free);
    let why = unreachable(send(&webhook(&url, HttpClient::new()), LONG));
    assert!(why.contains("refused"), "{why}");
    let nowhere = webhook(
        &format!("http://nowhere.invalid/{TOKEN}"),
        HttpClient::new(),
    );
    let why = unreachable(send(&nowhere, LONG));
    assert!(why.contains("nowhere.invalid"), "{why}");
}

#[test]
fn a_certificate_is_believed_only_by_the_ca_that_is_named() {
    if !programs::are_here(&["openssl"]) || !python_has("ssl") {
        return;
    }
    let certificates = Certificates::make();
    let server = PythonServer::start(&["https"], &certificates, &[]);
    let url = |host: &str| format!("https://{host}:{}/{TOKEN}", server.port);
    let ours = || HttpClient::with_ca_file(&certificates.path("ca.pem")).unwrap();
    send(&webhook(&url("localhost"), ours()), LONG).unwrap();
    assert_eq!(server.next()["path"], format!("/{TOKEN}"));
    let why = unreachable(send(&webhook(&url("localhost"), HttpClient::new()), LONG));
    assert!(why.contains("ca_file"), "{why}");
    let other = Certificates::make();
    let wrong = HttpClient::with_ca_file(&other.path("ca.pem")).unwrap();
    unreachable(send(&webhook(&url("localhost"), wrong), LONG));
    // Signed by the right one, but for another name.
    unreachable(send(&webhook(&url("127.0.0.2"), ours()), LONG));
    assert_eq!(server.so_far().len(), 0);
    let key = HttpClient::with_ca_file(&certificates.path("ca.key"));
    assert!(matches!(key, Err(NotifyError::Setup(_))));
}

#[test]
fn a_ca_that_is_shown_as_a_servers_certificate_is_told_with_how_to_make_one() {
    if !programs::are_here(&["openssl"]) || !python_has("ssl") {
        return;
    }
    let certificates = Certificates::self_signed();
    let server = PythonServer::start(&["https"], &certificates, &[]);
    let url = format!("https://localhost:{}/{TOKEN}", server.port);
    let client = HttpClient::with_ca_file(&certificates.path("ca.pem")).unwrap();
    let why = unreachable(send(&webhook(&url, client), LONG));
    assert!(why.contains("basicConstraints=critical,CA:FALSE"), "{why}");
}

#[test]
fn a_receiver_that_is_dead_delays_no_other() {
    let (dead, well) = (
        Web::start(&[Answer::Never]),
        Web::start(&[Answer::Status(200, "")]),
    );
    let job = |name: &str, web: &Web| Job {
        name: name.to_owned(),
        notifier: Arc::new(to(web)),
        notice: notice(&[event(EventKind::BackupFailed, "shop")]),
    };
    let jobs = vec![job("dead", &dead), job("well", &well)];
    let mut patience = patience(LONG);
    patience.until = Instant::now() + Duration::from_secs(1);
    let deliveries = deliver(jobs, &patience);
    assert!(deliveries[0].result.is_err(), "{deliveries:?}");
    assert!(deliveries[1].result.is_ok(), "{deliveries:?}");
    assert!(deliveries[1].took < deliveries[0].took, "{deliveries:?}");
}
