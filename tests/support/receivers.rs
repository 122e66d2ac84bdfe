//! Who messages are sent to, on loopback: an HTTP receiver in the test itself,
//! and servers with TLS or SMTP that Python has.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use kluis::cancel::Cancel;
use kluis::event::{Event, EventBackup, EventKind};
use kluis::format::manifest::{Kind, Trigger};
use kluis::notify::{Notice, Occasion, Patience};
use kluis::render::run_wording;
use serde_json::Value;

/// How long a test waits for what must come.
pub const SOON: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// By their names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// What a receiver does with a request.
#[derive(Clone)]
pub enum Answer {
    Status(u16, &'static str),
    /// To this URL.
    Redirect(String),
    /// None, until the test is over.
    Never,
    /// A byte now and then, for ever.
    Drip,
    /// As the next word of the channel says: the status.
    Told(std::sync::Arc<std::sync::Mutex<Receiver<u16>>>),
}

pub struct Web {
    pub port: u16,
    requests: Receiver<Request>,
}

impl Web {
    /// Answers so, one after the other; the last one for all that follow.
    pub fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, requests) = channel();
        let answers = answers.to_vec();
        thread::spawn(move || {
            for (index, stream) in listener.incoming().enumerate() {
                let answer = answers[index.min(answers.len() - 1)].clone();
                let tell = tell.clone();
                thread::spawn(move || serve(&stream.unwrap(), &answer, &tell));
            }
        });
        Self { port, requests }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The next request; it must come.
    pub fn next(&self) -> Request {
        self.requests.recv_timeout(SOON).expect("a request")
    }

    /// Those that have come until now.
    pub fn so_far(&self) -> Vec<Request> {
        self.requests.try_iter().collect()
    }
}

fn serve(mut stream: &TcpStream, answer: &Answer, tell: &Sender<Request>) {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut text = String::new();
        reader.read_line(&mut text).unwrap_or_default();
        text.trim_end().to_owned()
    };
    let first = line();
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return;
    };
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = line().split_once(": ") {
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |it| it.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request = Request {
        method,
        path,
        headers,
        body,
    };
    if tell.send(request).is_err() {
        return;
    }
    let (status, more) = match answer {
        Answer::Status(status, body) => {
            let more = format!("Content-Length: {}\r\n\r\n{body}", body.len());
            (*status, more)
        }
        Answer::Redirect(to) => (302, format!("Location: {to}\r\nContent-Length: 0\r\n\r\n")),
        Answer::Told(status) => {
            let status = status.lock().unwrap().recv_timeout(SOON).unwrap();
            (status, "Content-Length: 0\r\n\r\n".to_owned())
        }
        Answer::Never => return thread::sleep(SOON),
        Answer::Drip => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ");
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
            return;
        }
    };
    let _ =
        stream.write_all(format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{more}").as_bytes());
}

/// A certificate's authority, and a certificate of it for localhost.
pub struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    pub fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Self { directory };
        made.openssl(
            "ca",
            "/CN=a test",
            &["-addext", "basicConstraints=critical,CA:TRUE"],
        );
        let (ca, key) = (made.path("ca.pem"), made.path("ca.key"));
        let signed = ["-CA", ca.to_str().unwrap(), "-CAkey", key.to_str().unwrap()];
        let names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
        let no_ca = ["-addext", "basicConstraints=critical,CA:FALSE"];
        made.openssl(
            "leaf",
            "/CN=localhost",
            &[&signed[..], &names, &no_ca].concat(),
        );
        made
    }

    /// A server's own certificate that is a CA's, as `openssl req -x509` makes it.
    pub fn self_signed() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Self { directory };
        let names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
        let ca = ["-addext", "basicConstraints=critical,CA:TRUE"];
        made.openssl("leaf", "/CN=localhost", &[names, ca].concat());
        std::fs::copy(made.path("leaf.pem"), made.path("ca.pem")).unwrap();
        made
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn openssl(&self, name: &str, subject: &str, more: &[&str]) {
        let output = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "2", "-subj", subject, "-keyout"])
            .arg(self.path(&format!("{name}.key")))
            .arg("-out")
            .arg(self.path(&format!("{name}.pem")))
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// A server that Python has; it ends with the test.
pub struct PythonServer {
    pub port: u16,
    told: Receiver<Value>,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl PythonServer {
    pub fn start(arguments: &[&str], certificates: &Certificates, login: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/receivers.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .args(arguments)
            .args([certificates.path("leaf.pem"), certificates.path("leaf.key")])
            .args(login)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, told) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines() {
                let line = serde_json::from_str(&line.unwrap()).unwrap();
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        let port: Value = told.recv_timeout(SOON).expect("its port");
        Self {
            port: u16::try_from(port.as_u64().unwrap()).unwrap(),
            told,
            stdin: child.stdin.take(),
            child,
        }
    }

    /// The next message that it took; it must come.
    pub fn next(&self) -> Value {
        self.told.recv_timeout(SOON).expect("a message")
    }

    /// Those that it has taken until now.
    pub fn so_far(&self) -> Vec<Value> {
        self.told.try_iter().collect()
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Whether Python is here with what the servers need.
pub fn python_has(module: &str) -> bool {
    let import = format!("import {module}");
    let tried = Command::new("/usr/bin/python3")
        .args(["-c", &import])
        .output();
    if tried.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let required = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!required, "python3 has no {module}");
    eprintln!("skipped: python3 has no {module}");
    false
}

/// Three tries with hardly a wait between them, each of at most `call`.
pub fn patience(call: Duration) -> Patience {
    Patience {
        call,
        pauses: vec![Duration::from_millis(5); 2],
        ..Patience::usual(Cancel::default())
    }
}

pub fn event(kind: EventKind, name: &str) -> Event {
    let well = kind.is_success();
    Event {
        kind,
        at: "2026-01-18T10:30:00.5Z".parse().unwrap(),
        command: "backup db".to_owned(),
        trigger: Trigger::Scheduled,
        schedule: Some("nightly".to_owned()),
        host: "db1".to_owned(),
        storage: "/var/backups/kluis".to_owned(),
        subject: Some(Kind::Db),
        name: Some(name.to_owned()),
        backup: well.then(|| EventBackup {
            id: "838f989f5836d33d".to_owned(),
            file: format!("{name}_backup_2026-01-18T10-30-00.sql.gz"),
            stored_bytes: 1024,
        }),
        duration_ms: well.then_some(3800),
        problem: (!well).then(|| "the disk is full".to_owned()),
    }
}

pub fn notice(events: &[Event]) -> Notice {
    Notice {
        occasion: Occasion::End,
        events: events.to_vec(),
        text: run_wording(events, "backup db", "db1", None),
    }
}
