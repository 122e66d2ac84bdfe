//! A storage with a past: manifests, archives of holes and run records, as months
//! of nightly runs would have left them.

use std::fs;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// What a name looks like in the storage.
pub struct Past<'a> {
    pub storage: &'a Path,
    pub now: Timestamp,
    /// Tables in each database's ledger.
    pub tables: u64,
}

impl Past<'_> {
    /// One backup that was made `hours` ago, with its run; archives are holes.
    pub fn backup(&self, name: &str, hours: i64, change: impl FnOnce(&mut Value)) {
        let at = self.now - SignedDuration::from_hours(hours);
        let number = hours.unsigned_abs();
        let file = format!("{}_backup_{}.sql.gz.enc", plain(name), utc(at));
        let bytes = 40_000_000 - (number % 5_000) * 5_000 + (number * 7_919) % 200_000;
        let level = ["restored", "verified", "stored"][(number as usize / 24).min(2)];
        let proven = at + SignedDuration::from_mins(30);
        let mut document = json!({
            "manifest": self.manifest(name, &file, at, bytes, number),
            "seal": "00",
            "state": {"pinned": number.is_multiple_of(97)},
        });
        if level != "stored" {
            document["state"]["verification"] = json!({"level": level, "at": proven, "ok": true});
        }
        change(&mut document);
        let text = serde_json::to_vec(&document).unwrap();
        fs::create_dir_all(self.storage).unwrap();
        let archive = fs::File::create(self.storage.join(&file)).unwrap();
        archive.set_len(bytes).unwrap();
        fs::write(self.storage.join(format!("{file}.json")), text).unwrap();
        let took = 30_000 + (number * 131) % 9_000;
        self.run("backup db", at, Some(&file), took, None);
    }

    fn manifest(&self, name: &str, file: &str, at: Timestamp, bytes: u64, number: u64) -> Value {
        let table = |index: u64| {
            json!({
                "schema": "public", "name": format!("table_{index:02}"),
                "rows": 2_000_000_u64.saturating_sub(number * 70).saturating_sub(index * 31_000 * (1 + number % 2)),
                "bytes": 1_000_000, "hash": "0".repeat(32),
            })
        };
        let tables: Vec<Value> = (0..self.tables).map(table).collect();
        let sha256 = "00".repeat(32);
        json!({
            "version": 1, "id": id_of(name, at), "kind": "db", "name": name, "created_at": at,
            "host": "db1", "trigger": "SCHEDULED", "tool_version": "0.1.0",
            "stored": {"file": file, "bytes": bytes, "sha256": sha256, "payload_sha256": sha256},
            "content": {"codec": "gzip", "bytes": bytes, "sha256": sha256, "raw_bytes": bytes * 3},
            "encryption": {"format": "KLUIS1", "key_id": "0011223344556677"},
            "database": {
                "server_version": "15.18", "client_version": "15.18", "mode": "direct",
                "format": "plain", "encoding": "UTF8", "locale": "C.UTF-8", "extensions": {},
                "roles": ["postgres"], "tables": tables, "objects": {"TABLE": self.tables},
            },
        })
    }

    /// A run that ended `took` milliseconds after `at`.
    pub fn run(
        &self,
        command: &str,
        at: Timestamp,
        file: Option<&str>,
        took: u64,
        error: Option<&str>,
    ) {
        let id = id_of(&format!("{command}{}", file.unwrap_or_default()), at);
        let status = if error.is_some() {
            "FAILED"
        } else {
            "COMPLETED"
        };
        let record = json!({
            "version": 1, "id": id, "command": command, "trigger": "SCHEDULED", "status": status,
            "backup": file, "bytes": 40_000_000, "error": error, "started": at,
            "completed": at, "duration_ms": took, "user": "root", "host": "db1",
            "process": {"pid": 1, "start_ticks": 1, "boot_id": "0"},
        });
        let runs = self.storage.join("runs");
        fs::create_dir_all(&runs).unwrap();
        let key = format!("{}_{}_{id}.json", utc(at), command.replace(' ', "-"));
        fs::write(runs.join(key), record.to_string()).unwrap();
    }
}

fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H-%M-%S").to_string()
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn id_of(text: &str, at: Timestamp) -> String {
    let hash = xxhash_rust::xxh3::xxh3_64(format!("{text}{at}").as_bytes());
    format!("{hash:016x}")
}
