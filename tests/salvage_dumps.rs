//! Damaged dumps with `restore --keep-going`: every table that the damage did not meet
//! comes back as it was, and none comes back otherwise without being named.
//! `KLUIS_ROUNDS=100` damages so many more.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::process::Output;

use serde_json::Value;

use crate::support::Cluster;
use crate::support::dice::Dice;
use crate::support::house::House;

const HEADS: usize = 8192;
const CHUNK: usize = 1 << 16;
const BLOCK: usize = 1 << 20;
const TABLES: usize = 50;

struct Site {
    cluster: Cluster,
    house: House,
}

/// Every seventh table is large.
fn content() -> String {
    let table = |number: usize| {
        let rows = if number.is_multiple_of(7) { 4_000 } else { 600 };
        format!(
            "CREATE TABLE t{number:02} AS SELECT n, md5((n * {number})::text) || md5(n::text) AS \
             text FROM generate_series(1, {rows}) AS n; \
             ALTER TABLE t{number:02} ADD PRIMARY KEY (n);"
        )
    };
    (1..=TABLES).map(table).collect()
}

impl Site {
    fn new(sql: &str) -> Option<Self> {
        let site = Self {
            cluster: Cluster::start()?,
            house: House::new(),
        };
        site.cluster.create_db("shop");
        site.cluster.psql("shop", sql);
        Some(site)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.house.kluis();
        command
            .args(arguments)
            .env("DATABASE_URL", self.cluster.url("shop"));
        command.output().unwrap()
    }

    /// Each table with a hash of its rows.
    fn tables(&self, database: &str) -> Vec<String> {
        let named = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = \
                     'public'::regnamespace ORDER BY 1";
        let names = self.cluster.psql(database, named);
        let hash = |name: &str| {
            format!(
                "SELECT '{name} ' || coalesce(md5(string_agg(t::text, ',' ORDER BY n)), '') FROM {name} t"
            )
        };
        let all: Vec<String> = names.lines().map(hash).collect();
        match all.is_empty() {
            true => Vec::new(),
            false => self
                .cluster
                .psql(database, &all.join(" UNION ALL "))
                .lines()
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// What a change of the stored bytes takes with it of the raw stream.
fn lost(members: &[u64], hit: Range<usize>) -> Vec<Range<usize>> {
    let chunk = |at: usize| at.saturating_sub(HEADS) / (CHUNK + 16);
    let start = (chunk(hit.start) * CHUNK) as u64;
    let end = ((chunk(hit.end - 1) + 1) * CHUNK) as u64;
    let ends = members.iter().skip(1).copied().chain([u64::MAX]);
    let members = members.iter().copied().zip(ends).enumerate();
    let met = members.filter(|(_, (from, to))| *from < end && start < *to);
    met.map(|(at, _)| at * BLOCK..(at + 1) * BLOCK).collect()
}

#[test]
fn of_a_damaged_dump_every_whole_table_comes_back() {
    let Some(site) = Site::new(&content()) else {
        return;
    };
    assert!(site.run(&["backup", "db"]).status.success());
    let file = site.house.storage().join(site.house.listed().remove(0));
    let whole = fs::read(&file).unwrap();
    let manifest = fs::read(format!("{}.json", file.display())).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let index = &manifest["manifest"]["content"]["gzip_index"]["offsets"];
    let index = if index.is_null() {
        &manifest["manifest"]["gzip_index"]["offsets"]
    } else {
        index
    };
    let members: Vec<u64> = index
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_u64().unwrap())
        .collect();
    let packed = site
        .run(&["decrypt", file.to_str().unwrap(), "-o", "-"])
        .stdout;
    let mut text = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::MultiGzDecoder::new(&packed[..]),
        &mut text,
    )
    .unwrap();
    let before = site.tables("shop");
    assert_eq!(before.len(), TABLES);
    let rounds = std::env::var("KLUIS_ROUNDS").ok();
    let rounds = rounds.and_then(|number| number.parse().ok()).unwrap_or(4);
    let mut dice = Dice(5);
    for _ in 0..rounds {
        let mut bytes = whole.clone();
        let at = HEADS + dice.below(bytes.len() - HEADS);
        let len = [1, 300, 100_000][dice.below(3)].min(bytes.len() - at);
        let hit = match dice.below(5) {
            0 => {
                bytes.truncate(at);
                at..whole.len()
            }
            _ => {
                bytes[at..at + len]
                    .iter_mut()
                    .for_each(|byte| *byte ^= 0x33);
                at..at + len
            }
        };
        fs::write(&file, &bytes).unwrap();
        let arguments = [
            "--json",
            "restore",
            file.to_str().unwrap(),
            "--into",
            "saved",
            "--keep-going",
        ];
        let done = site.run(&arguments);
        let said = format!("{hit:?}: {}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(3), "{said}");
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        let not_whole = report["not_whole"].as_array().unwrap();
        let named: BTreeSet<&str> = not_whole
            .iter()
            .filter(|it| it["kind"] == "table")
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        let lost = lost(&members, hit.clone());
        let is_hit = |from: usize, end: &str| {
            let to = from + text[from..].find(end).unwrap();
            lost.iter()
                .any(|lost| lost.start < to + 8 && from < lost.end)
        };
        let after = site.tables("saved");
        for table in &before {
            let (name, _) = table.split_once(' ').unwrap();
            let made = text
                .find(&format!("-- Name: {name}; Type: TABLE;"))
                .unwrap()
                - 8;
            let data = text.find(&format!("-- Data for Name: {name}; ")).unwrap() - 8;
            let is_hit = is_hit(made, ");\n") || is_hit(data, "\n\\.\n");
            let is_same = after.contains(table);
            assert!(
                is_same || is_hit,
                "{said}: {name} was not hit\n{not_whole:#?}"
            );
            let is_named = named.contains(&*format!("public.{name}"));
            assert!(
                is_same || is_named,
                "{said}: {name} is not named\n{not_whole:#?}"
            );
        }
        assert!(after.len() <= TABLES, "{said}: {after:?}");
        site.cluster.psql("postgres", "DROP DATABASE saved");
        fs::write(&file, &whole).unwrap();
    }
}

#[test]
fn of_a_whole_dump_all_comes_but_the_statements_that_fail() {
    let sql =
        "CREATE ROLE clerk; CREATE TABLE a (n integer PRIMARY KEY); INSERT INTO a VALUES (1), (2);
        CREATE TABLE b (n integer REFERENCES a); INSERT INTO b VALUES (2);
        GRANT SELECT ON a TO clerk; ALTER TABLE b OWNER TO clerk";
    let Some(site) = Site::new(sql) else { return };
    for format in ["plain", "custom", "directory"] {
        let backup = ["backup", "db", "--format", format];
        assert!(site.run(&backup).status.success());
    }
    site.cluster.psql(
        "shop",
        "REASSIGN OWNED BY clerk TO postgres; DROP OWNED BY clerk; DROP ROLE clerk",
    );
    for file in site.house.listed() {
        let restore = [
            "--json",
            "restore",
            &file,
            "--into",
            "saved",
            "--keep-going",
        ];
        let done = site.run(&restore);
        assert_eq!(done.status.code(), Some(3), "{file}: {done:?}");
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        let not_whole = report["not_whole"].as_array().unwrap().iter();
        let failed: Vec<&Value> = not_whole.filter(|it| it["kind"] == "statement").collect();
        assert_eq!(failed.len(), 2, "{file}: {failed:#?}");
        for statement in failed {
            assert_eq!(statement["kind"], "statement");
            assert_eq!(statement["name"], "42704");
            assert!(statement["line"].as_u64().unwrap() > 10, "{statement}");
            assert!(
                statement["why"].as_str().unwrap().contains("clerk"),
                "{statement}"
            );
        }
        let rows = "SELECT (SELECT count(*) FROM a), (SELECT sum(n) FROM b)";
        assert_eq!(site.cluster.psql("saved", rows), "2|2", "{file}");
        site.cluster.psql("postgres", "DROP DATABASE saved");
    }
}

/// pg_restore reads those whole or not at all; that is said, and nothing is made.
#[test]
fn a_damaged_archive_of_pg_restores_is_refused_in_plain_words() {
    let Some(site) = Site::new("CREATE TABLE a (n integer)") else {
        return;
    };
    for format in ["custom", "directory"] {
        assert!(
            site.run(&["backup", "db", "--format", format])
                .status
                .success()
        );
    }
    for name in site.house.listed() {
        let file = site.house.storage().join(&name);
        let mut bytes = fs::read(&file).unwrap();
        let last = bytes.len() - 20;
        bytes[last] ^= 1;
        fs::write(&file, bytes).unwrap();
        let done = site.run(&[
            "restore",
            file.to_str().unwrap(),
            "--into",
            "saved",
            "--keep-going",
        ]);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(4), "{said}");
        assert!(said.contains("whole or not at all"), "{said}");
        assert!(said.contains("nothing was restored"), "{said}");
    }
}
