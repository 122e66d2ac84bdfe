//! A pg_dump that goes wrong in every way we know is never published: exit 1, the
//! reason told, the record FAILED, older backups whole.
//!
//! Each case is a script in `client_bin_dir` that calls the real program, `$dump`,
//! and then spoils what it printed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::support;
use crate::support::house::House;

struct Bench {
    house: House,
    url: String,
    dump: String,
    _cluster: support::Cluster,
}

impl Bench {
    /// With one good backup, made by the real pg_dump.
    fn start() -> Option<Self> {
        let cluster = support::Cluster::start()?;
        cluster.create_db("shop");
        let fill = "CREATE TABLE item (id int PRIMARY KEY, name text); \
                    INSERT INTO item SELECT i, md5(i::text) FROM generate_series(1, 5000) AS i; \
                    CREATE TABLE sold AS SELECT id, now() AS at FROM item";
        cluster.psql("shop", fill);
        let house = House::new();
        let url = cluster.url("shop");
        house.run(&["backup", "db", "--url", &url]);
        let dump = cluster.client("pg_dump", "shop");
        Some(Self {
            house,
            url,
            dump: dump.get_program().to_str().unwrap().to_owned(),
            _cluster: cluster,
        })
    }

    /// `kluis backup db` with a pg_dump that is this script, but for its version.
    fn back_up_with(&self, script: &str) -> Output {
        let bin = self.house.path("bin");
        fs::create_dir_all(&bin).unwrap();
        let program = bin.join("pg_dump");
        let dump = &self.dump;
        let version = format!("case $1 in --version) exec {dump} --version;; esac");
        let text = format!("#!/bin/sh\ndump={dump}\n{version}\n{script}\n");
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let config = format!("[database]\nclient_bin_dir = \"{}\"\n", bin.display());
        fs::write(self.house.path("kluis.toml"), config).unwrap();
        let mut command = self.house.kluis();
        command.args(["backup", "db", "--url", &self.url]);
        command.output().unwrap()
    }
}

/// What the script does, and words that the error must say.
const CASES: &[(&str, &str, &str)] = &[
    ("killed at once", "kill -9 $$", "signal: 9"),
    (
        "killed half-way",
        "$dump \"$@\" | head -c 100000; kill -9 $$",
        "signal: 9",
    ),
    (
        "terminated by somebody else after the last byte",
        "$dump \"$@\"; kill -TERM $$",
        "signal: 15",
    ),
    (
        "failing before the first byte",
        "echo 'pg_dump: error: permission denied for table item' >&2; exit 1",
        "permission denied for table item",
    ),
    (
        "failing half-way",
        "$dump \"$@\" | head -c 100000; echo 'pg_dump: error: connection lost' >&2; exit 1",
        "connection lost",
    ),
    (
        "failing after a whole dump",
        "$dump \"$@\"; echo 'pg_dump: error: could not close' >&2; exit 1",
        "could not close",
    ),
    ("failing without a word", "exit 3", "exit status: 3"),
    ("printing nothing, exit 0", "exit 0", "pg_dump's header"),
    ("printing one newline, exit 0", "echo", "pg_dump's header"),
    (
        "truncated in the middle of a row, exit 0",
        "$dump \"$@\" | head -c 100001",
        "in the middle of the rows of table public.item",
    ),
    (
        "truncated after a whole line, exit 0",
        "$dump \"$@\" | head -n 1000",
        "in the middle of the rows of table public.item",
    ),
    (
        "truncated between two tables, exit 0",
        "$dump \"$@\" | sed '/COPY public.sold/,$d'",
        "trailer",
    ),
    (
        "truncated before the trailer, exit 0",
        "$dump \"$@\" | sed '/dump complete/,$d'",
        "trailer",
    ),
    (
        "truncated within the trailer, exit 0",
        "$dump \"$@\" | sed 's/dump complete/dump com/'",
        "trailer",
    ),
    (
        "with the trailer of another program, exit 0",
        "$dump \"$@\" | sed 's/database dump complete/database cluster dump complete/'",
        "trailer",
    ),
    (
        "truncated in a table, the trailer put behind it, exit 0",
        "$dump \"$@\" | head -n 1000; echo '-- PostgreSQL database dump complete'",
        "in the middle of the rows of table public.item",
    ),
    (
        "that prints an error page, exit 0",
        "echo '<html>502 Bad Gateway</html>'",
        "pg_dump's header",
    ),
    (
        "that prints zeros, exit 0",
        "head -c 200000 /dev/zero",
        "pg_dump's header",
    ),
    (
        "that starts again after its end, exit 0",
        "$dump \"$@\"; $dump \"$@\" | head -n 1000",
        "",
    ),
    (
        "whose program is gone",
        "exec /nonexistent/pg_dump",
        "exit status: 127",
    ),
];

#[test]
fn a_pg_dump_that_goes_wrong_is_never_published() {
    let Some(bench) = Bench::start() else {
        return;
    };
    let house = &bench.house;
    let older = house.listed();
    assert_eq!(older.len(), 1);
    let mut wrong = Vec::new();
    for (case, script, words) in CASES {
        let known = house.records().len();
        let output = bench.back_up_with(script);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let failed = house
            .records()
            .iter()
            .filter(|(_, r)| r["status"] == "FAILED")
            .count();
        let never_published = output.status.code() == Some(1)
            && said.contains(words)
            && house.listed() == older
            && house.leftovers().is_empty()
            && house.records().len() == known + 1
            && failed == known;
        if !never_published {
            wrong.push(format!("{case}: {:?} {said}", output.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    house.run(&["verify", "--all"]);
    eprintln!("{} ways to go wrong, 0 published", CASES.len());
}

/// So that the cases above fail by what they spoil, and by nothing else.
#[test]
fn a_pg_dump_that_only_warns_is_published() {
    let Some(bench) = Bench::start() else {
        return;
    };
    let output = bench.back_up_with("echo 'pg_dump: warning: there are circular foreign-key constraints on this table:' >&2; $dump \"$@\"");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(bench.house.listed().len(), 2);
    bench.house.run(&["verify", "--all"]);
}
