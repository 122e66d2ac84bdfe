//! Hostile values for manifests: what they are, where they go, and what must not
//! come of them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::house::names;

/// What must not come to be: files by commands, connections to a listener.
pub struct Canaries {
    /// Anybody may write here: the servers' user, too.
    directory: TempDir,
    listener: TcpListener,
}

impl Canaries {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("canary")
            .tempdir_in("/tmp")
            .unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self {
            directory,
            listener,
        }
    }

    /// The values, each by its content as JSON has it, quotes included.
    pub fn values(&self) -> Vec<Vec<u8>> {
        let file = self.file();
        let port = self.port();
        let texts = [
            String::new(),
            "\0".to_owned(),
            format!("a\0\n\\! touch {file}\n"),
            format!("a\"\0\n\\! touch {file}\n"),
            format!("a\n\\! touch {file}\n"),
            format!("a\r\\! touch {file}\r\n"),
            format!("'; \\! touch {file}\n"),
            format!("\"; \\! touch {file}\n"),
            format!("\\'; \\! touch {file}\n"),
            format!("\\! touch {file}"),
            "x\\".to_owned(),
            "x'".to_owned(),
            "x''\"\"".to_owned(),
            format!("$$;\n\\! touch {file}\n$$"),
            format!("$a$\n\\! touch {file}\n"),
            format!("U&\"\\0041\"\n\\! touch {file}\n"),
            format!("/* \n\\! touch {file}\n"),
            format!("x\"; COPY (SELECT 1) TO PROGRAM 'touch {file}'; --"),
            format!("x'; COPY (SELECT 1) TO PROGRAM 'touch {file}'; --"),
            format!("`touch {file}`"),
            format!("$(touch {file})"),
            format!("|touch {file}"),
            format!("${{IFS}}; touch {file};"),
            format!("-f{file}"),
            format!("--file={file}"),
            format!("--fil={file}"),
            format!("--dbname=host=127.0.0.1 port={port}"),
            format!("host=127.0.0.1 port={port} dbname=x"),
            format!("postgres://127.0.0.1:{port}/x"),
            "../../planted".to_owned(),
            "..".to_owned(),
            file.clone(),
            "x".repeat(65_536),
            "\x1b]0;x\x07\x1b[2Jx".to_owned(),
            "\u{202e}txt.exe".to_owned(),
            "%s%n%x".to_owned(),
            ":DBNAME :'USER' :{?x}".to_owned(),
        ];
        let mut values: Vec<Vec<u8>> = texts
            .iter()
            .map(|text| serde_json::to_vec(text).unwrap())
            .collect();
        values.push(b"\"\xff\xfe\"".to_vec());
        values
    }

    #[track_caller]
    pub fn are_untouched(&self, by: &[&str]) {
        let touched = names(self.directory.path());
        assert_eq!(touched, [""; 0], "files touched by {by:?}");
        assert!(self.listener.accept().is_err(), "{by:?}: a connection came");
    }

    /// A file that commands would make.
    pub fn file(&self) -> String {
        self.directory.path().join("file").display().to_string()
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }
}

/// Stands where the hostile value goes.
const MARK: &str = "here it goes";

/// A manifest's file with [`MARK`] in one place.
pub struct Planted {
    pub place: String,
    file: Value,
}

/// One for each string in a manifest's file, keys of maps of names included, and for
/// each field that it could have.
pub fn planted(file: &Value) -> Vec<Planted> {
    let mut found = Vec::new();
    walk(file, "", &mut |place, is_key| {
        let mut edited = file.clone();
        match is_key {
            false => *edited.pointer_mut(place).unwrap() = json!(MARK),
            true => {
                let (map, key) = place.rsplit_once('/').unwrap();
                let map = edited.pointer_mut(map).unwrap().as_object_mut().unwrap();
                let value = map.remove(key).unwrap();
                map.insert(MARK.to_owned(), value);
            }
        }
        found.push(Planted {
            place: format!("{place}{}", if is_key { " (key)" } else { "" }),
            file: edited,
        });
    });
    for (place, value) in further(file) {
        let mut edited = file.clone();
        let (parent, key) = place.rsplit_once('/').unwrap();
        if let Some(parent) = edited.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.insert(key.to_owned(), value);
            found.push(Planted {
                place,
                file: edited,
            });
        }
    }
    found
}

/// Fields that it does not have, or has without a string.
fn further(file: &Value) -> Vec<(String, Value)> {
    let sha256 = &file["manifest"]["stored"]["sha256"];
    let mut fields: Vec<(String, Value)> = Vec::new();
    let mut add = |place: &str, value: Value| fields.push((place.to_owned(), value));
    for field in ["note", "before_restore_of"] {
        add(&format!("/manifest/{field}"), json!(MARK));
    }
    let of = "/manifest/reencrypted_from";
    add(of, json!({"file": MARK, "sha256": sha256}));
    add(of, json!({"file": "x", "sha256": MARK}));
    let of = "/manifest/encryption";
    add(of, json!({"format": MARK, "key_id": "00"}));
    add(of, json!({"format": "KLUIS1", "key_id": MARK}));
    for field in [
        "mode_reason",
        "container",
        "ctype",
        "locale_provider",
        "provider_locale",
    ] {
        add(&format!("/manifest/database/{field}"), json!(MARK));
    }
    for field in ["options", "tablespaces", "superusers", "roles", "owners"] {
        add(&format!("/manifest/database/{field}"), json!([MARK]));
    }
    add("/manifest/database/extensions", json!({ MARK: "1.0" }));
    add("/manifest/database/extensions", json!({ "hstore": MARK }));
    let at = json!({"last_value": 1, "is_called": true});
    add("/manifest/database/sequences", json!({ MARK: at }));
    add("/manifest/database/objects", json!({ MARK: 1 }));
    for field in ["schemas", "exclude_schemas", "tables", "exclude_tables"] {
        let selection = json!({ field: [MARK] });
        add("/manifest/database/selection", selection);
    }
    let settings = json!({ MARK: "C" });
    add("/manifest/database/output_settings", settings);
    add("/manifest/source/excludes", json!([MARK]));
    for field in ["path", "problem", "detail"] {
        let mut problem = json!({"path": "a", "problem": "changed", "detail": "b"});
        problem[field] = json!(MARK);
        add("/manifest/source/problems", json!([problem]));
    }
    add("/seal", json!(MARK));
    add("/signature", json!({"key": MARK, "value": "00"}));
    add("/signature", json!({"key": "00", "value": MARK}));
    let verification = json!({"level": "restored", "at": "2026-11-29T00:00:00Z", "ok": true});
    for field in ["level", "at", "detail"] {
        let mut verification = verification.clone();
        verification[field] = json!(MARK);
        add("/state/verification", verification);
    }
    add("/state/replicas", json!([{ "at": MARK }]));
    fields
}

fn walk(value: &Value, place: &str, found: &mut impl FnMut(&str, bool)) {
    match value {
        Value::String(_) => found(place, false),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                walk(value, &format!("{place}/{index}"), found);
            }
        }
        Value::Object(map) => {
            let is_of_names = ["/extensions", "/sequences", "/objects"]
                .iter()
                .any(|names| place.ends_with(names));
            for (key, value) in map {
                let place = format!("{place}/{key}");
                if is_of_names && !key.contains('/') {
                    found(&place, true);
                }
                walk(value, &place, found);
            }
        }
        _ => {}
    }
}

impl Planted {
    /// What the manifest says of itself fits the archive's name and time, but for the
    /// value; its id is its own.
    pub fn bytes(&self, value: &[u8], name: &str, id: usize) -> Vec<u8> {
        let mut file = self.file.clone();
        let at = name.find("_20").unwrap() + 1;
        let time = &name[at..at + 19];
        let clock = time[10..].replace('-', ":").replace('T', "");
        let fitting = [
            ("/id", format!("{id:016x}")),
            ("/created_at", format!("{}T{clock}Z", &time[..10])),
            ("/stored/file", name.to_owned()),
        ];
        for (field, fits) in fitting {
            let field = file["manifest"].pointer_mut(field).unwrap();
            if field != MARK {
                *field = json!(fits);
            }
        }
        with_value(&file, value)
    }

    /// Nothing else of it is changed.
    pub fn edited(&self, value: &[u8]) -> Vec<u8> {
        with_value(&self.file, value)
    }

    /// Whether the pair is always restored: what was an attack once.
    pub fn is_sharp(&self, value: &[u8]) -> bool {
        let sharp: &[&[u8]] = match self.place.as_str() {
            "/manifest/database/roles" => &[b"\\u0000\\n\\\\!", b"PROGRAM"],
            "/manifest/database/options" => &[b"--file=", b"--fil=", b"--dbname="],
            "/manifest/database/extensions" => &[b"\\u0000\\n\\\\!"],
            _ => &[],
        };
        let holds = |part: &&[u8]| value.windows(part.len()).any(|it| it == *part);
        sharp.iter().any(holds)
    }
}

fn with_value(file: &Value, value: &[u8]) -> Vec<u8> {
    let mark = serde_json::to_vec(MARK).unwrap();
    let text = serde_json::to_vec(file).unwrap();
    let at = text.windows(mark.len()).position(|it| it == mark).unwrap();
    [&text[..at], value, &text[at + mark.len()..]].concat()
}
