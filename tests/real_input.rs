//! Real input, end to end with the real binary: what an operator has is backed
//! up, verified, restored and compared with what it was before.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Stdio;

use crate::support::Cluster;
use crate::support::home::{Home, text};
use crate::support::trees::{assert_same, seen};
use xxhash_rust::xxh3::Xxh3;

const EVERY_TYPE: &str = include_str!("data/every_type.sql");

/// A hash of what pg_dump says of a database, but for the random key of its
/// restriction.
fn dump_hash(cluster: &Cluster, database: &str) -> u128 {
    let mut pg_dump = cluster.client("pg_dump", database);
    let mut child = pg_dump.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let (mut hash, mut line) = (Xxh3::new(), Vec::new());
    while lines.read_until(b'\n', &mut line).unwrap() > 0 {
        if !line.starts_with(b"\\restrict ") && !line.starts_with(b"\\unrestrict ") {
            hash.update(&line);
        }
        line.clear();
    }
    assert!(child.wait().unwrap().success());
    hash.digest128()
}

fn pgbench(cluster: &Cluster, database: &str, scale: u32) {
    let mut pgbench = cluster.client("pgbench", database);
    pgbench.args(["-i", "-q", "-s"]).arg(scale.to_string());
    assert!(pgbench.stderr(Stdio::null()).status().unwrap().success());
}

/// Backs `database` up, verifies, restores into a new database, spoils the old
/// one and restores in its place: both must dump as the old one did.
fn there_and_back(cluster: &Cluster, database: &str, home: &Home, sealing: &[&str]) {
    let before = dump_hash(cluster, database);
    home.run(&[&["backup", "db", database], sealing].concat());
    home.run(&["verify", "latest:db"]);
    assert_eq!(home.json(&["list"])["backups"][0]["proof"], "verified");
    home.run(&["restore", "latest:db", "--into", "a \"copy\""]);
    assert_eq!(dump_hash(cluster, "a \"copy\""), before, "--into");
    cluster.psql(database, "CREATE TABLE not_in_the_backup AS SELECT 1 AS n");
    assert_ne!(dump_hash(cluster, database), before);
    home.run(&["restore", "latest:db", "--replace", "--yes"]);
    assert_eq!(dump_hash(cluster, database), before, "--replace");
}

#[test]
fn a_pgbench_database_of_scale_20_comes_back_the_same() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("bench");
    pgbench(&cluster, "bench", 20);
    let home = Home::new().set("DATABASE_URL", &cluster.url("postgres"));
    there_and_back(&cluster, "bench", &home, &[]);
    let shown = home.json(&["show", "latest"]);
    let tables = shown["manifest"]["database"]["tables"].as_array().unwrap();
    let rows = tables.iter().map(|table| table["rows"].as_u64().unwrap());
    assert_eq!(rows.sum::<u64>(), 2_000_220);
}

#[test]
fn every_type_name_and_kind_of_object_comes_back_with_a_passphrase_and_zstd() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let name = "every \"type\" 'ü'";
    cluster.create_db(name);
    cluster.psql(name, EVERY_TYPE);
    let home = Home::with_key("correct horse battery staple – ünïcode\n")
        .set("DATABASE_URL", &cluster.url("postgres"));
    there_and_back(&cluster, name, &home, &["--codec", "zstd"]);
}

#[test]
fn an_empty_database_comes_back() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("nothing");
    let home = Home::new().set("DATABASE_URL", &cluster.url("postgres"));
    there_and_back(&cluster, "nothing", &home, &["--codec", "none"]);
}

/// Backs a tree up, verifies it, restores it and compares. Gives the manifest.
fn tree_there_and_back(home: &Home, root: &Path) -> serde_json::Value {
    home.run(&["backup", "source", text(root), "--no-default-excludes"]);
    home.run(&["verify", "latest:source"]);
    let back = home.path("restored");
    let restore = ["restore", "latest:source", "--to"];
    home.run(&[&restore[..], &[text(&back)]].concat());
    assert_same(&seen(root), &seen(&back));
    home.json(&["show", "latest"])["manifest"].clone()
}

#[test]
fn a_tree_of_50000_files_comes_back_the_same() {
    const DIRECTORIES: usize = 250;
    const FILES: usize = 200;
    let home = Home::new();
    let root = home.path("tree");
    for directory in 0..DIRECTORIES {
        let directory = root.join(format!("{}/{directory}", directory % 10));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..FILES {
            let content = format!("{}\n", file % 50).repeat(file);
            fs::write(directory.join(format!("file {file}")), content).unwrap();
        }
    }
    let manifest = tree_there_and_back(&home, &root);
    assert_eq!(manifest["source"]["files"], DIRECTORIES * FILES);
}

#[test]
fn a_sparse_file_of_3_gib_is_read_without_its_holes_and_stays_sparse() {
    const LEN: u64 = 3 << 30;
    let home = Home::new();
    let root = home.path("tree");
    fs::create_dir(&root).unwrap();
    let file = File::create(root.join("image")).unwrap();
    file.set_len(LEN).unwrap();
    let island = vec![0xa5; 1 << 20];
    let islands = [1 << 30, (2 << 30) + 4096 * 3, LEN - (1 << 20)];
    for offset in islands {
        file.write_all_at(&island, offset).unwrap();
    }
    if file.metadata().unwrap().blocks() * 512 > 1 << 30 {
        let required = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!required, "the file system keeps no holes");
        eprintln!("skipped: the file system keeps no holes");
        return;
    }
    home.run(&["backup", "source", text(&root)]);
    let manifest = home.json(&["show", "latest"])["manifest"].clone();
    let raw_bytes = manifest["content"]["raw_bytes"].as_u64().unwrap();
    assert!(raw_bytes < 4 << 20, "the holes were read: {raw_bytes}");
    home.run(&["verify", "latest"]);
    home.run(&["restore", "latest", "--to", "restored"]);
    let back = File::open(home.path("restored/image")).unwrap();
    let status = back.metadata().unwrap();
    assert_eq!(status.len(), LEN);
    assert!(status.blocks() * 512 < 16 << 20, "the holes were written");
    let mut piece = vec![0; island.len()];
    for offset in islands {
        back.read_exact_at(&mut piece, offset).unwrap();
        assert!(piece == island, "at {offset}");
    }
    back.read_exact_at(&mut piece, (1 << 30) + island.len() as u64)
        .unwrap();
    assert!(piece.iter().all(|&byte| byte == 0));
}

#[test]
fn usr_share_comes_back_the_same() {
    let home = Home::new();
    let manifest = tree_there_and_back(&home, Path::new("/usr/share"));
    assert!(manifest["source"]["files"].as_u64().unwrap() > 100);
}

#[test]
fn a_database_with_content_is_never_restored_into_and_replace_can_keep_it() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", "CREATE TABLE kept AS SELECT 1 AS n");
    let home = Home::new().set("DATABASE_URL", &cluster.url("shop"));
    home.run(&["backup", "db"]);
    // Into what is there and not empty: refused, and nothing is touched.
    let refused = home.ends(1, &["restore", "latest:shop", "--into", "shop"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("not empty"), "{said}");
    assert_eq!(cluster.psql("shop", "SELECT n FROM kept"), "1");
    home.run(&["restore", "latest", "--replace", "--keep-old", "--yes"]);
    let old = "SELECT count(*) FROM pg_database WHERE datname LIKE 'shop%'";
    assert_eq!(cluster.psql("postgres", old), "2");
}
