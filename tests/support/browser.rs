//! A headless Chromium, driven through chromedriver as the W3C's WebDriver has
//! it, on loopback. It ends when dropped.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Keys by their code points in WebDriver.
pub const ENTER: char = '\u{e007}';
pub const SPACE: char = '\u{e00d}';

pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// Its home and its profile, empty at first.
    _home: TempDir,
}

impl Browser {
    pub fn start() -> Self {
        let home = tempfile::Builder::new().prefix("kluis").tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = port_of(&mut driver);
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
            _home: home,
        };
        browser.begin();
        browser
    }

    fn begin(&mut self) {
        let profile = self._home.path().join("profile");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--window-size=1280,900",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }}});
        let made = self.send("POST", "/session", Some(&wanted));
        self.session = made["sessionId"].as_str().unwrap().to_owned();
        // A new window has a page of the browser's own, which asks for things.
        self.post("/url", &json!({"url": "about:blank"}));
        self.requested();
    }

    pub fn open(&self, page: &Path) {
        let url = format!("file://{}", page.display());
        self.post("/url", &json!({ "url": url }));
    }

    /// What a function's body returns, such as `return document.title`.
    pub fn eval(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    pub fn text(&self, script: &str) -> String {
        let value = self.eval(script);
        value
            .as_str()
            .unwrap_or_else(|| panic!("{script}: {value}"))
            .to_owned()
    }

    /// The texts of all elements that fit.
    pub fn texts(&self, selector: &str) -> Vec<String> {
        let script =
            format!("return [...document.querySelectorAll({selector:?})].map(e => e.textContent)");
        serde_json::from_value(self.eval(&script)).unwrap()
    }

    pub fn click(&self, selector: &str) {
        let id = self.element(selector);
        self.post(&format!("/element/{id}/click"), &json!({}));
    }

    /// Types into the element.
    pub fn type_into(&self, selector: &str, text: &str) {
        let id = self.element(selector);
        self.post(&format!("/element/{id}/value"), &json!({ "text": text }));
    }

    /// Presses a key wherever the focus is.
    pub fn press(&self, key: char) {
        let key = |kind: &str| json!({"type": kind, "value": key.to_string()});
        let actions = json!({"actions": [
            {"type": "key", "id": "keyboard", "actions": [key("keyDown"), key("keyUp")]},
        ]});
        self.post("/actions", &actions);
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post(
            "/element",
            &json!({"using": "css selector", "value": selector}),
        );
        let ids = found.as_object().and_then(|found| found.values().next());
        ids.and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{selector}: {found}"))
            .to_owned()
    }

    /// A command of the DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": parameters}),
        )
    }

    pub fn prefer(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features);
    }

    pub fn resize(&self, wide: u32, high: u32, is_phone: bool) {
        let size =
            json!({"width": wide, "height": high, "deviceScaleFactor": 1, "mobile": is_phone});
        self.devtools("Emulation.setDeviceMetricsOverride", size);
    }

    /// What the console said since the last look; CSP faults are among it.
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        entries
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect()
    }

    /// URLs that were asked for since the last look.
    pub fn requested(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "performance"}));
        let url = |entry: &Value| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            let is_request = message["method"] == "Network.requestWillBeSent";
            let url = message["params"]["request"]["url"].as_str()?;
            is_request.then(|| url.to_owned())
        };
        entries.as_array().unwrap().iter().filter_map(url).collect()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.send(
            "POST",
            &format!("/session/{}{path}", self.session),
            Some(body),
        )
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.exchange(method, path, body).unwrap();
        let value = &answer["value"];
        assert!(value.get("error").is_none(), "{method} {path}: {value}");
        value.clone()
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        answer(BufReader::new(stream))
    }
}

impl Drop for Browser {
    /// The session's end is that of the browser, and what the driver has started
    /// goes with it.
    fn drop(&mut self) {
        // A test that fails leaves no browser either.
        let session = format!("/session/{}", self.session);
        let _ = self.exchange("DELETE", &session, None);
        if let Some(pid) = rustix::process::Pid::from_raw(self.driver.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.driver.wait();
    }
}

/// The driver takes a free one and says which.
fn port_of(driver: &mut Child) -> u16 {
    let mut said = BufReader::new(driver.stdout.take().unwrap());
    let mut text = String::new();
    loop {
        text.clear();
        assert!(
            said.read_line(&mut text).unwrap() > 0,
            "chromedriver did not start"
        );
        if let Some((_, port)) = text.trim_end().rsplit_once(" on port ")
            && let Ok(port) = port.trim_end_matches('.').parse()
            && text.contains("successfully")
        {
            break port;
        }
    }
}

fn answer(mut stream: impl BufRead) -> io::Result<Value> {
    let mut bytes = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            bytes = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; bytes];
    stream.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}
