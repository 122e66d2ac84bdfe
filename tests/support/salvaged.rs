//! Databases whose archives are damaged, and what the damage meets of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::support::Cluster;
use crate::support::dice::Dice;
use crate::support::house::{House, names};
use crate::support::soak::is_soak;

const HEADS: usize = 8192;
const CHUNK: usize = 1 << 16;
const BLOCK: usize = 1 << 20;
pub const TABLES: usize = 50;

pub fn rounds() -> usize {
    match is_soak() {
        true => 100,
        false => 3,
    }
}

/// Every seventh table is large.
pub fn fifty_tables() -> String {
    let table = |number: usize| {
        let rows = if number.is_multiple_of(7) { 4_000 } else { 600 };
        table(number, rows)
    };
    (1..=TABLES).map(table).collect()
}

pub fn table(number: usize, rows: usize) -> String {
    format!(
        "CREATE TABLE t{number:02} AS SELECT n, md5((n * {number})::text) || md5(n::text) AS \
         text FROM generate_series(1, {rows}) AS n; \
         ALTER TABLE t{number:02} ADD PRIMARY KEY (n);"
    )
}

pub struct Site {
    pub cluster: Cluster,
    pub house: House,
}

impl Site {
    pub fn new(sql: &str) -> Option<Self> {
        Some(Self::on(Cluster::start()?, sql))
    }

    pub fn on(cluster: Cluster, sql: &str) -> Self {
        let house = House::new();
        let site = Self { cluster, house };
        site.cluster.create_db("shop");
        site.cluster.psql("shop", sql);
        site
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.house.kluis();
        command
            .args(arguments)
            .env("DATABASE_URL", self.cluster.url("shop"));
        command.output().unwrap()
    }

    /// Each table's name, with a hash of its rows.
    pub fn tables(&self, database: &str) -> BTreeMap<String, String> {
        let named = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = \
                     'public'::regnamespace ORDER BY 1";
        let names = self.cluster.psql(database, named);
        let hash = |name: &str| {
            format!(
                "SELECT '{name} ' || coalesce(md5(string_agg(t::text, ',' ORDER BY n)), 'empty') FROM {name} t"
            )
        };
        let all: Vec<String> = names.lines().map(hash).collect();
        if all.is_empty() {
            return BTreeMap::new();
        }
        let hashes = self.cluster.psql(database, &all.join(" UNION ALL "));
        let split = |line: &str| {
            let (name, hash) = line.split_once(' ').unwrap();
            (name.to_owned(), hash.to_owned())
        };
        hashes.lines().map(split).collect()
    }

    pub fn drop_saved(&self) {
        self.cluster
            .psql("postgres", "DROP DATABASE IF EXISTS saved");
    }

    pub fn salvage(&self, archive: &Archive) -> Output {
        let file = archive.file.to_str().unwrap();
        self.run(&["--json", "restore", file, "--into", "saved", "--keep-going"])
    }

    /// The backup that this run makes.
    pub fn back_up(&self, arguments: &[&str]) -> Archive {
        let archives = || {
            let mut all = names(&self.house.storage());
            all.retain(|name| name.starts_with("shop_") && !name.ends_with(".json"));
            all
        };
        let before = archives();
        let done = self.run(&[&["backup", "db"], arguments].concat());
        assert!(done.status.success(), "{done:?}");
        let mut now = archives();
        now.retain(|file| !before.contains(file));
        let file = self.house.storage().join(now.remove(0));
        let whole = fs::read(&file).unwrap();
        let manifest = fs::read(format!("{}.json", file.display())).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let content = &manifest["manifest"]["content"];
        let offsets = match &content["gzip_index"]["offsets"] {
            Value::Null => &manifest["manifest"]["gzip_index"]["offsets"],
            offsets => offsets,
        };
        let members = offsets.as_array().into_iter().flatten();
        let packed = self
            .run(&["decrypt", file.to_str().unwrap(), "-o", "-"])
            .stdout;
        let mut raw = Vec::new();
        match content["codec"].as_str() {
            Some("gzip") => {
                let mut reader = flate2::read::MultiGzDecoder::new(&packed[..]);
                reader.read_to_end(&mut raw).unwrap();
            }
            _ => raw = packed,
        }
        Archive {
            members: members.map(|it| it.as_u64().unwrap()).collect(),
            file,
            whole,
            raw,
        }
    }
}

/// A sealed archive.
pub struct Archive {
    pub file: PathBuf,
    pub whole: Vec<u8>,
    /// What is in it.
    pub raw: Vec<u8>,
    /// Where each block of that begins, compressed; none where it is not.
    members: Vec<u64>,
}

impl Archive {
    /// What a change of the stored bytes takes with it of the raw stream.
    pub fn lost(&self, hit: &Range<usize>) -> Vec<Range<usize>> {
        let chunk = |at: usize| at.saturating_sub(HEADS) / (CHUNK + 16);
        let start = chunk(hit.start) * CHUNK;
        let end = (chunk(hit.end - 1) + 1) * CHUNK;
        if self.members.is_empty() {
            return std::iter::once(start..end).collect();
        }
        let ends = self.members.iter().skip(1).copied().chain([u64::MAX]);
        let members = self.members.iter().copied().zip(ends).enumerate();
        let met = members.filter(|(_, (from, to))| *from < end as u64 && (start as u64) < *to);
        met.map(|(at, _)| at * BLOCK..(at + 1) * BLOCK).collect()
    }

    /// Damages it somewhere.
    pub fn hurt(&self, dice: &mut Dice) -> Range<usize> {
        let mut bytes = self.whole.clone();
        let at = HEADS + dice.below(bytes.len() - HEADS);
        let len = [1, 300, 100_000][dice.below(3)].min(bytes.len() - at);
        let hit = match dice.below(5) {
            0 => {
                bytes.truncate(at);
                at..self.whole.len()
            }
            _ => {
                let hurt = &mut bytes[at..at + len];
                hurt.iter_mut().for_each(|byte| *byte ^= 0x33);
                at..at + len
            }
        };
        fs::write(&self.file, &bytes).unwrap();
        hit
    }

    /// Damages what of it holds these places of the raw stream; not compressed.
    pub fn hurt_at(&self, places: &[usize]) -> Vec<Range<usize>> {
        assert!(self.members.is_empty());
        let mut bytes = self.whole.clone();
        let mut hurt = |raw_at: &usize| {
            let at = HEADS + raw_at / CHUNK * (CHUNK + 16);
            bytes[at] ^= 1;
            at..at + 1
        };
        let hit = places.iter().map(&mut hurt).collect();
        fs::write(&self.file, &bytes).unwrap();
        hit
    }

    pub fn heal(&self) {
        fs::write(&self.file, &self.whole).unwrap();
    }
}

pub fn meets(lost: &[Range<usize>], place: &Range<usize>) -> bool {
    let mut lost = lost.iter();
    lost.any(|lost| lost.start < place.end && place.start < lost.end)
}

/// The tables that a report names, without their schema.
pub fn named_tables(report: &Value) -> BTreeSet<String> {
    let not_whole = report["not_whole"].as_array().into_iter().flatten();
    let tables = not_whole.filter(|it| it["kind"] == "table");
    let name = |it: &Value| it["name"].as_str().unwrap().replacen("public.", "", 1);
    tables.map(name).collect()
}
