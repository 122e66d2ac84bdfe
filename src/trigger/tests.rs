//! The trigger over real connections, with a desk that tells what came to it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::Value;

use super::{ApiKey, Desk, Execution, Order, Outcome, Server};
use crate::format::manifest::Kind;

const KEY: &str = "correct-horse-battery";
/// More than are let in at once.
const CROWD: usize = 200;

struct FakeDesk {
    orders: Sender<Order>,
    page: Result<Vec<u8>, String>,
}

impl Desk for FakeDesk {
    fn take(&self, order: Order) {
        self.orders.send(order).unwrap();
    }

    fn page(&self) -> Result<Vec<u8>, String> {
        self.page.clone()
    }
}

struct Stand {
    server: Server,
    orders: Receiver<Order>,
}

impl Stand {
    fn new() -> Self {
        Self::with_page(Ok(b"<h1>backups</h1><script>sort()</script>".to_vec()))
    }

    fn with_page(page: Result<Vec<u8>, String>) -> Self {
        let (send, orders) = channel();
        let desk = FakeDesk { orders: send, page };
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::start(anywhere, ApiKey::new(KEY).unwrap(), desk).unwrap();
        Self { server, orders }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).unwrap()
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// A request that is answered without an order.
    fn ask(&self, request: &str) -> Reply {
        Reply::read(self.send(request))
    }

    /// A trigger, which is answered by `outcome`.
    fn trigger(&self, headers: &str, body: &str, outcome: Outcome) -> (Kind, Reply) {
        let stream = self.send(&post(headers, body));
        let order = self.orders.recv().unwrap();
        let kind = order.kind;
        order.answer(outcome);
        (kind, Reply::read(stream))
    }
}

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = memchr::memmem::find(&bytes, b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec())
            .unwrap()
            .to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn post(headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /api/backup/trigger HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    )
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}\r\n")
}

fn done() -> Outcome {
    Outcome::Done {
        message: "made".to_owned(),
        execution: Execution {
            id: 0,
            backup: Some("838f989f5836d33d".to_owned()),
            r#type: "DATABASE",
            status: "COMPLETED",
            filename: Some("shop.sql.gz".to_owned()),
            file_size: Some(1024),
            duration_ms: 1500,
            error_message: None,
            files: Vec::new(),
        },
    }
}

const DATABASE: &str = "{\"type\":\"database\"}";

#[test]
fn a_right_key_in_each_place_orders_a_backup() {
    let stand = Stand::new();
    let with_key = format!("{{\"type\":\"source\",\"apiKey\":\"{KEY}\"}}");
    for (headers, body, kind) in [
        (bearer(KEY), DATABASE, Kind::Db),
        (
            format!("X-Backup-Key: {KEY}\r\n"),
            "{\"type\":\"source\"}",
            Kind::Source,
        ),
        (String::new(), with_key.as_str(), Kind::Source),
    ] {
        let (ordered, reply) = stand.trigger(&headers, body, done());
        assert_eq!((ordered, reply.status), (kind, 200), "{headers}");
        let expected = serde_json::json!({
            "success": true,
            "message": "made",
            "execution": {
                "id": 0,
                "backup": "838f989f5836d33d",
                "type": "DATABASE",
                "status": "COMPLETED",
                "filename": "shop.sql.gz",
                "fileSize": 1024,
                "durationMs": 1500,
            },
        });
        assert_eq!(reply.json(), expected);
    }
}

#[test]
fn what_became_of_the_order_has_its_status() {
    let stand = Stand::new();
    let Outcome::Done { execution, .. } = done() else {
        panic!("not done");
    };
    let failed = Outcome::Failed {
        message: "no room".to_owned(),
        execution: Execution {
            status: "FAILED",
            error_message: Some("no room".to_owned()),
            ..execution
        },
    };
    let (_, reply) = stand.trigger(&bearer(KEY), DATABASE, failed);
    assert_eq!(
        (reply.status, &reply.json()["error"]),
        (500, &"Backup Failed".into())
    );
    assert_eq!(reply.json()["execution"]["errorMessage"], "no room");
    let busy = Outcome::Busy {
        message: "nightly runs".to_owned(),
    };
    let (_, reply) = stand.trigger(&bearer(KEY), DATABASE, busy);
    assert_eq!(
        (reply.status, &reply.json()["error"]),
        (409, &"Conflict".into())
    );
    let (_, reply) = stand.trigger(&bearer(KEY), DATABASE, Outcome::Stopping);
    assert_eq!(reply.status, 503);
}

#[test]
fn without_the_key_nothing_is_ordered() {
    let stand = Stand::new();
    for (headers, body) in [
        (String::new(), DATABASE),
        (bearer("wrong"), DATABASE),
        (bearer(""), DATABASE),
        (bearer(&KEY[1..]), DATABASE),
        (format!("X-Backup-Key: {KEY}0\r\n"), DATABASE),
        (
            String::new(),
            "{\"type\":\"database\",\"apiKey\":\"wrong\"}",
        ),
        // A browser sends what it was told once with every request; a page of
        // somebody else's must not trigger by that.
        (format!("Authorization: Basic {}\r\n", basic(KEY)), DATABASE),
        // A wrong one is not made up for elsewhere.
        (
            bearer("wrong"),
            "{\"type\":\"database\",\"apiKey\":\"correct-horse-battery\"}",
        ),
    ] {
        let reply = stand.ask(&post(&headers, body));
        assert_eq!(reply.status, 401, "{headers}{body}");
        assert_eq!(reply.json()["error"], "Unauthorized");
        assert!(
            reply.head.contains("www-authenticate: bearer"),
            "{}",
            reply.head
        );
    }
    assert!(stand.orders.try_recv().is_err());
}

#[test]
fn who_guesses_is_put_off_and_keeps_nobody_with_the_right_key_out() {
    let stand = Stand::new();
    for _ in 0..10 {
        assert_eq!(stand.ask(&post(&bearer("guess"), DATABASE)).status, 401);
    }
    for request in [
        post(&bearer("guess"), DATABASE),
        get("/", &bearer("guess")),
        post("", "{\"type\":\"database\",\"apiKey\":\"guess\"}"),
    ] {
        let reply = stand.ask(&request);
        assert_eq!(reply.status, 429);
        assert!(reply.head.contains("retry-after: "), "{}", reply.head);
    }
    let told = stand.server.take_wrong_keys().unwrap();
    assert_eq!(
        (told.count, told.last_from),
        (13, Ipv4Addr::LOCALHOST.into())
    );
    assert_eq!(stand.server.take_wrong_keys(), None);
    assert_eq!(stand.ask(&get("/", &bearer(KEY))).status, 200);
    let (_, reply) = stand.trigger(&bearer(KEY), DATABASE, done());
    assert_eq!(reply.status, 200);
    assert_eq!(
        stand.ask(&get("/api/backup/trigger/health", "")).status,
        200
    );
}

#[test]
fn triggers_are_counted_too() {
    let stand = Stand::new();
    for _ in 0..20 {
        let (_, reply) = stand.trigger(&bearer(KEY), DATABASE, done());
        assert_eq!(reply.status, 200);
    }
    assert_eq!(stand.ask(&post(&bearer(KEY), DATABASE)).status, 429);
}

#[test]
fn what_is_no_order_is_refused_by_what_is_wrong_with_it() {
    let stand = Stand::new();
    let key = bearer(KEY);
    let chunked = format!(
        "POST /api/backup/trigger HTTP/1.1\r\nHost: x\r\n{key}Transfer-Encoding: chunked\r\n\
         Content-Type: application/json\r\n\r\n3000\r\n{}\r\n0\r\n\r\n",
        "x".repeat(0x3000)
    );
    for (request, status) in [
        (post(&key, ""), 400),
        (post(&key, "{"), 400),
        (post(&key, "[]"), 400),
        (post(&key, "{\"type\":\"all\"}"), 400),
        (post(&key, "{\"type\":1}"), 400),
        (
            post(&key, DATABASE).replace("application/json", "text/plain"),
            415,
        ),
        (post(&key, DATABASE).replace("Content-Type", "X-Type"), 415),
        (post(&key, &"x".repeat(8193)), 413),
        (chunked, 413),
        (post(&key, DATABASE).replace("/trigger ", "/triggers "), 404),
        (get("/favicon.ico", &key), 404),
        (get("/api/backup/trigger", &key), 405),
        (
            post(&key, DATABASE).replace("/trigger ", "/trigger/health "),
            405,
        ),
        ("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), 405),
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        (get("/", &format!("X: {}\r\n", "x".repeat(20_000))), 431),
        (get("/", &"X: y\r\n".repeat(100)), 431),
    ] {
        let reply = stand.ask(&request);
        let start = &request[..request.len().min(200)];
        assert_eq!(reply.status, status, "{start}");
    }
    assert!(stand.orders.try_recv().is_err());
}

#[test]
fn a_field_that_is_not_known_is_named_and_orders_nothing() {
    let stand = Stand::new();
    let body = "{\"type\":\"database\",\"name\":\"shop\"}";
    let reply = stand.ask(&post(&bearer(KEY), body));
    assert_eq!(reply.status, 400);
    let said = String::from_utf8(reply.body).unwrap();
    assert!(
        said.contains("unknown field") && said.contains("name"),
        "{said}"
    );
    assert!(stand.orders.try_recv().is_err());
}

#[test]
fn each_answer_is_closed_to_caches_frames_and_scripts() {
    let stand = Stand::new();
    let reply = stand.ask(&get("/api/backup/trigger", ""));
    for header in [
        "allow: post",
        "cache-control: no-store",
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "connection: close",
    ] {
        assert!(reply.head.contains(header), "{header}: {}", reply.head);
    }
}

#[test]
fn health_needs_no_key_and_tells_no_more_than_that() {
    let stand = Stand::new();
    let reply = stand.ask(&get("/api/backup/trigger/health", ""));
    assert_eq!(reply.status, 200);
    let expected = serde_json::json!({
        "status": "ok", "configured": true, "message": "the backup trigger is ready",
    });
    assert_eq!(reply.json(), expected);
    let head = get("/api/backup/trigger/health", "").replace("GET", "HEAD");
    let reply = stand.ask(&head);
    assert_eq!((reply.status, reply.body.len()), (200, 0));
}

fn basic(key: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("me:{key}"))
}

#[test]
fn the_report_is_for_who_has_the_key() {
    let stand = Stand::new();
    let stranger = stand.ask(&get("/", ""));
    assert_eq!(stranger.status, 401);
    assert!(
        stranger.head.contains("www-authenticate: basic"),
        "{}",
        stranger.head
    );
    for headers in [
        bearer(KEY),
        format!("X-Backup-Key: {KEY}\r\n"),
        format!("Authorization: Basic {}\r\n", basic(KEY)),
    ] {
        let reply = stand.ask(&get("/", &headers));
        assert_eq!(reply.status, 200, "{headers}");
        assert!(reply.body.starts_with(b"<h1>backups"));
        assert!(reply.head.contains("script-src 'sha256-"), "{}", reply.head);
    }
    let wrong = format!("Authorization: Basic {}\r\n", basic("guess"));
    assert_eq!(stand.ask(&get("/", &wrong)).status, 401);
}

#[test]
fn a_report_that_cannot_be_made_says_so() {
    let stand = Stand::with_page(Err("no storage".to_owned()));
    let reply = stand.ask(&get("/", &bearer(KEY)));
    assert_eq!(reply.status, 503);
    let said = String::from_utf8(reply.body).unwrap();
    assert_eq!(said, "the report cannot be made now: no storage\n");
}

#[test]
fn a_new_key_counts_at_once() {
    let stand = Stand::new();
    let new = "another-long-enough-key";
    stand.server.change_key(ApiKey::new(new).unwrap());
    assert_eq!(stand.ask(&post(&bearer(KEY), DATABASE)).status, 401);
    let (_, reply) = stand.trigger(&bearer(new), DATABASE, done());
    assert_eq!(reply.status, 200);
}

#[test]
fn a_client_that_goes_away_stops_nobody() {
    let stand = Stand::new();
    let stream = stand.send(&post(&bearer(KEY), DATABASE));
    let order = stand.orders.recv().unwrap();
    drop(stream);
    let (_, reply) = stand.trigger(&bearer(KEY), DATABASE, done());
    assert_eq!(reply.status, 200);
    order.answer(done());
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let stand = Stand::new();
    let waits = stand.send(&post(&bearer(KEY), DATABASE));
    let order = stand.orders.recv().unwrap();
    let silent: Vec<TcpStream> = (0..CROWD).map(|_| stand.connect()).collect();
    let dawdling =
        |start: &str| -> Vec<TcpStream> { (0..CROWD).map(|_| stand.send(start)).collect() };
    let slow = dawdling("POST /api/backup/trigger HTTP/1.1\r\nHost:");
    let body = post("", "");
    let slower = dawdling(&body.replace("Content-Length: 0", "Content-Length: 100"));
    let (_, reply) = stand.trigger(&bearer(KEY), DATABASE, done());
    assert_eq!(reply.status, 200);
    // Who waits for a backup has not given way.
    order.answer(done());
    assert_eq!(Reply::read(waits).status, 200);
    drop((silent, slow, slower));
    assert_eq!(
        stand.ask(&get("/api/backup/trigger/health", "")).status,
        200
    );
}

#[test]
fn noise_is_survived() {
    let stand = Stand::new();
    let mut state = 1_u64;
    for length in 0..200 {
        let noise = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        });
        let noise: Vec<u8> = noise.take(length * 7).collect();
        // The server may have closed it already.
        let _ = stand.connect().write_all(&noise);
    }
    assert_eq!(
        stand.ask(&get("/api/backup/trigger/health", "")).status,
        200
    );
}

#[test]
fn the_port_is_free_again_when_the_server_is_gone() {
    let stand = Stand::new();
    let address = stand.server.address();
    drop(stand);
    assert!(TcpStream::connect(address).is_err());
}
