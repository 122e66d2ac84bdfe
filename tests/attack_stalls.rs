//! What keeps a backup waiting for ever: an owner's lock for which a dump waits, and a
//! server that accepts and stays silent. The backup fails, alone, and the storage is
//! free again.

use std::net::TcpListener;
use std::process::{Child, Output, Stdio};

use crate::support::Cluster;
use crate::support::house::House;
use serde_json::Value;

/// A dump reads the value of a sequence, and waits for its lock without a limit.
const HELD: &str = "BEGIN; ALTER SEQUENCE m.s RENAME TO elsewhere; SELECT pg_sleep(1000000)";
const GRANTED: &str =
    "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";

struct Bench {
    cluster: Cluster,
    house: House,
    holder: Child,
}

impl Bench {
    /// The owner of `shop` holds her lock, and nobody one in `other`.
    fn new() -> Option<Self> {
        let cluster = Cluster::start()?;
        cluster.create_db("shop");
        cluster.create_db("other");
        cluster.psql("shop", "CREATE SCHEMA m; CREATE SEQUENCE m.s");
        let mut holder = cluster.client("psql", "shop");
        let holder = holder.args(["-c", HELD]).stdout(Stdio::null());
        let mut holder = holder.spawn().unwrap();
        while cluster.psql("other", GRANTED) == "0" {
            assert!(holder.try_wait().unwrap().is_none(), "it holds no lock");
        }
        Some(Self {
            cluster,
            house: House::new(),
            holder,
        })
    }

    fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let mut command = self.house.kluis();
        command.env("DATABASE_URL", self.cluster.url("shop"));
        ended(code, &command.args(arguments).output().unwrap())
    }

    fn failed(&self) -> Vec<Value> {
        let records = self.house.records().into_iter().map(|(_, record)| record);
        records.filter(|it| it["status"] == "FAILED").collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn ended(code: i32, output: &Output) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{stdout}{stderr}")
}

#[test]
fn a_dump_that_waits_for_its_owners_lock_fails_and_the_storage_is_free() {
    let Some(bench) = Bench::new() else {
        return;
    };
    for format in ["plain", "custom", "directory"] {
        let format = format!("--format={format}");
        let said = bench.ends(142, &["backup", "db", "shop", &format, "--stall-limit=3s"]);
        assert!(said.contains("(stall_limit)"), "{said}");
        assert_eq!(bench.house.leftovers(), Vec::<String>::new());
    }
    let failed = bench.failed();
    assert_eq!(failed.len(), 3);
    let told = |it: &Value| it["error"].as_str().unwrap().contains("(stall_limit)");
    assert!(failed.iter().all(told), "{failed:?}");
    bench.ends(0, &["backup", "db", "other"]);
}

#[test]
fn a_database_that_stalls_costs_no_other_its_backup() {
    let Some(bench) = Bench::new() else {
        return;
    };
    let names = [
        "backup",
        "db",
        "shop",
        "other",
        "--json",
        "--stall-limit=3s",
    ];
    let said = bench.ends(3, &names);
    assert!(said.contains("no backup of shop was made"), "{said}");
    let listed = bench.house.listed();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].starts_with("other_backup_"), "{listed:?}");
    assert_eq!(bench.house.leftovers(), Vec::<String>::new());
    assert_eq!(bench.failed().len(), 1);
}

#[test]
fn a_server_that_accepts_and_stays_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // The kernel accepts; nobody answers.
    let house = House::new();
    let url = format!("postgres://x@127.0.0.1:{port}/shop?sslmode=disable&connect_timeout=2");
    let mut command = house.kluis();
    let command = command.env("DATABASE_URL", url).args(["backup", "db"]);
    let said = ended(1, &command.output().unwrap());
    assert!(said.contains("timeout expired"), "{said}");
    let records = house.records();
    assert!(
        records
            .iter()
            .all(|(_, record)| record["status"] == "FAILED")
    );
    assert_eq!(records.len(), 1);
}
