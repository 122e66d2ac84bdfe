//! What pg_dump says although it ends with 0: it is told, kept in manifest and
//! record, and what is not in the dump makes the backup incomplete.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::Value;

use crate::support::house::House;
use crate::support::{Cluster, ClusterOptions};

/// A house whose database `shop` a role may read that is no superuser.
struct Bench {
    house: House,
    cluster: Cluster,
}

/// What a backup told, and what stays of it.
struct Told {
    code: Option<i32>,
    stderr: String,
    report: Value,
    manifest: Value,
    record: Value,
    shown: String,
}

impl Bench {
    fn start() -> Option<Self> {
        let cluster = Cluster::start_with(ClusterOptions {
            settings: vec!["max_logical_replication_workers=0".to_owned()],
            ..ClusterOptions::default()
        })?;
        cluster.create_db("shop");
        let sql = "CREATE TABLE item AS SELECT i AS id FROM generate_series(1, 9) AS i; \
                   CREATE ROLE backup LOGIN IN ROLE pg_read_all_data";
        cluster.psql("shop", sql);
        Some(Self {
            house: House::new(),
            cluster,
        })
    }

    /// `kluis backup db` as `role`.
    fn back_up_as(&self, role: &str, database: &str, flags: &[&str]) -> Told {
        let url = self
            .cluster
            .url(database)
            .replace("postgres@", &format!("{role}@"));
        let arguments = [&["backup", "db", "--json", "--url", &url], flags].concat();
        self.told(self.house.kluis().args(arguments).output().unwrap())
    }

    fn told(&self, output: Output) -> Told {
        let json = |arguments: &[&str]| -> Value {
            let output = self.house.run(arguments);
            serde_json::from_slice(&output.stdout).unwrap()
        };
        let stderr = String::from_utf8(output.stderr).unwrap();
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("no report: {stderr}"));
        let backups = report["backups"]
            .as_array()
            .unwrap_or_else(|| panic!("{report}"));
        let last = backups.last().unwrap_or_else(|| panic!("{report}"));
        let id = last["id"].as_str().unwrap();
        let history = json(&["history", "--json"]);
        let runs = history["runs"].as_array().unwrap();
        let record = runs.iter().find(|run| run["backup"] == last["file"]);
        let shown = self.house.run(&["show", id]).stdout;
        Told {
            code: output.status.code(),
            stderr,
            manifest: json(&["show", id, "--json"])["manifest"].clone(),
            record: record.unwrap().clone(),
            shown: String::from_utf8(shown).unwrap(),
            report,
        }
    }

    /// The same with a pg_dump that says this, too.
    fn back_up_saying(&self, words: &str) -> Told {
        let bin = self.house.path("bin");
        fs::create_dir_all(&bin).unwrap();
        let dump = self.cluster.client("pg_dump", "shop");
        let dump = dump.get_program().to_str().unwrap().to_owned();
        fs::write(bin.join("words"), words).unwrap();
        let program = bin.join("pg_dump");
        let text = format!(
            "#!/bin/sh\ncase $1 in --version) ;; *) cat {}/words >&2;; esac\nexec {dump} \"$@\"\n",
            bin.display()
        );
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!("[database]\nclient_bin_dir = \"{}\"\n", bin.display());
        fs::write(self.house.path("kluis.toml"), config).unwrap();
        self.back_up_as("postgres", "shop", &[])
    }
}

impl Told {
    /// Exit 3, and `what` is told, kept and shown as missing.
    fn lacks(&self, what: &str) {
        assert_eq!(self.code, Some(3), "{}", self.stderr);
        assert!(self.stderr.contains(what), "{}", self.stderr);
        assert_eq!(self.report["backups"][0]["complete"], false);
        assert_eq!(self.record["result"], "incomplete", "{}", self.record);
        let detail = self.record["detail"].as_str().unwrap();
        assert!(detail.contains(what), "{detail}");
        assert!(self.shown.contains("incomplete"), "{}", self.shown);
        assert!(self.shown.contains(what), "{}", self.shown);
    }

    /// Exit 0, and `what` is told, kept and shown as a warning.
    fn is_warned_of(&self, what: &str) {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        assert!(self.stderr.contains(what), "{}", self.stderr);
        assert_eq!(self.report["backups"][0]["complete"], true);
        assert_eq!(self.record["result"], "completed");
        let kept = self.record["warnings"][0].as_str().unwrap();
        assert!(kept.contains(what), "{}", self.record);
        assert!(self.shown.contains(what), "{}", self.shown);
        assert!(!self.shown.contains("incomplete"), "{}", self.shown);
    }
}

#[test]
fn subscriptions_that_the_role_may_not_dump_make_the_backup_incomplete() {
    let Some(bench) = Bench::start() else {
        return;
    };
    let sql = "CREATE SUBSCRIPTION \"from\nelse\" CONNECTION 'dbname=x password=secret' \
               PUBLICATION p WITH (connect = false, slot_name = NONE)";
    bench.cluster.psql("shop", sql);
    for format in ["plain", "custom", "directory"] {
        let told = bench.back_up_as("backup", "shop", &["--format", format]);
        told.lacks("subscription");
        told.lacks("from\\nelse");
        let left_out = &told.manifest["database"]["left_out"];
        assert_eq!(left_out["count"], 1, "{left_out}");
        assert_eq!(left_out["subscriptions"][0], "from\nelse");
        assert!(!told.manifest.to_string().contains("secret"));
    }
    // Nothing is missing of it: by who may, of a part, or where it is not wanted.
    let told = bench.back_up_as("postgres", "shop", &[]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert_eq!(told.manifest["database"]["objects"]["SUBSCRIPTION"], 1);
    let told = bench.back_up_as("backup", "shop", &["-t", "item"]);
    told.is_warned_of("subscriptions not dumped");
    let config = "[database]\ndump_options = [\"--no-subscriptions\"]\n";
    fs::write(bench.house.path("kluis.toml"), config).unwrap();
    let told = bench.back_up_as("backup", "shop", &[]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(!told.stderr.contains("subscription"), "{}", told.stderr);
}

/// The title of a table in such a schema can be read as that of a subscription.
#[test]
fn no_name_stands_for_a_subscription_that_is_left_out() {
    let Some(bench) = Bench::start() else {
        return;
    };
    let sql = "CREATE SUBSCRIPTION news CONNECTION 'dbname=x' \
               PUBLICATION p WITH (connect = false, slot_name = NONE);
               CREATE SCHEMA \"x; Type: SUBSCRIPTION; Schema: -\";
               CREATE TABLE \"x; Type: SUBSCRIPTION; Schema: -\".t AS SELECT 1 AS i;
               GRANT USAGE ON SCHEMA \"x; Type: SUBSCRIPTION; Schema: -\" TO backup;
               GRANT SELECT ON \"x; Type: SUBSCRIPTION; Schema: -\".t TO backup";
    bench.cluster.psql("shop", sql);
    for format in ["plain", "custom"] {
        let told = bench.back_up_as("backup", "shop", &["--format", format]);
        told.lacks("news");
        let objects = &told.manifest["database"]["objects"];
        assert!(objects["SUBSCRIPTION"].is_null(), "{objects}");
    }
}

#[test]
fn what_pg_dump_says_is_not_in_the_dump_makes_the_backup_incomplete() {
    let Some(bench) = Bench::start() else {
        return;
    };
    let sql = "CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq); \
               UPDATE pg_operator SET oprcom = 4000000000 WHERE oprname = '==='";
    bench.cluster.psql("shop", sql);
    for format in ["plain", "custom", "directory"] {
        let told = bench.back_up_as("postgres", "shop", &["--format", format]);
        told.lacks("could not find operator with OID 4000000000");
        let warned = &told.manifest["database"]["warned"];
        assert_eq!(
            (&warned["count"], &warned["lacking"]),
            (&1.into(), &1.into())
        );
    }
}

#[test]
fn what_the_server_says_to_pg_dump_is_told_and_kept() {
    let Some(bench) = Bench::start() else {
        return;
    };
    let sql = "CREATE DATABASE icu TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en';";
    bench.cluster.psql("postgres", sql);
    let sql = "UPDATE pg_database SET datcollversion = '0.0' WHERE datname = 'icu'";
    bench.cluster.psql("postgres", sql);
    for format in ["plain", "directory"] {
        let told = bench.back_up_as("postgres", "icu", &["--format", format]);
        told.is_warned_of("collation version mismatch");
    }
}

#[test]
fn harmless_warnings_leave_a_backup_complete_and_a_flood_of_them_is_cut() {
    let Some(bench) = Bench::start() else {
        return;
    };
    let circular = "pg_dump: warning: there are circular foreign-key constraints on this table:\n\
                    pg_dump: detail: t\x1b[2J\npg_dump: hint: You might not be able to restore.\n";
    let told = bench.back_up_saying(circular);
    told.is_warned_of("circular foreign-key constraints on this table: detail: t");
    for text in [&told.shown, &told.stderr] {
        assert!(text.contains("t\\u{1b}[2J hint: You"), "{text}");
        assert!(!text.contains("\x1b[2J"), "{text}");
    }
    // Where they fit, none of them is a lack; where not, nobody knows what was said.
    let told = bench.back_up_saying(&circular.repeat(300));
    told.is_warned_of("circular foreign-key");
    let warned = &told.manifest["database"]["warned"];
    assert_eq!(warned["count"], 300);
    assert_eq!(warned["warnings"].as_array().unwrap().len(), 50);
    let told = bench.back_up_saying(&circular.repeat(10_000));
    told.lacks("pg_dump said more than is kept of it");
    assert!(told.manifest["database"]["warned"].to_string().len() < 60_000);
}

#[test]
fn what_a_restore_of_globals_would_leave_out_is_told_at_the_backup() {
    let Some(bench) = Bench::start() else {
        return;
    };
    let sql = "CREATE ROLE clerk LOGIN PASSWORD 'SECRET'; GRANT SET ON PARAMETER work_mem TO clerk";
    bench.cluster.psql("postgres", sql);
    let told = bench.back_up_as("postgres", "shop", &["--globals"]);
    assert_eq!(told.manifest["name"], "pg_globals");
    assert_eq!(told.code, Some(3), "{}", told.stderr);
    let kind = "GRANT SET ON PARAMETER";
    assert!(told.stderr.contains(kind), "{}", told.stderr);
    assert!(told.shown.contains(kind), "{}", told.shown);
    assert_eq!(told.manifest["database"]["left_out"]["statements"][kind], 1);
    assert!(told.record["detail"].as_str().unwrap().contains(kind));
    assert!(!told.shown.contains("clerk") && !told.stderr.contains("SECRET"));
    bench
        .cluster
        .psql("postgres", "REVOKE SET ON PARAMETER work_mem FROM clerk");
    let told = bench.back_up_as("postgres", "shop", &["--globals"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
}
