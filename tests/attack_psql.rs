//! Manifests that would have psql, or the server, run what stands in them. Each of
//! these succeeds on 861f450: `KLUIS_UNDER_TEST` names a binary of it.
//!
//! psql ends a line at a NUL. A name with one loses its closing quote, and the next
//! name stands outside of quotes: `\!` there is a shell on the host that restores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::support;
use crate::support::Cluster;
use crate::support::house::{House, names};

/// A database's unencrypted backup in a house without a key.
struct Planted {
    cluster: Cluster,
    house: House,
    _work: tempfile::TempDir,
}

impl Planted {
    fn new() -> Option<Self> {
        let cluster = Cluster::start()?;
        cluster.create_db("shop");
        cluster.psql("shop", "CREATE TABLE t (i int); INSERT INTO t VALUES (1)");
        let work = support::open_directory(0o755);
        let house = House::new();
        let config = format!("work_dir = \"{}\"\n", work.path().display());
        fs::write(house.path("kluis.toml"), config).unwrap();
        let planted = Self {
            cluster,
            house,
            _work: work,
        };
        let output = planted.run(&["backup", "db", "shop"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        Some(planted)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.house.kluis();
        command
            .args(arguments)
            .env("DATABASE_URL", self.cluster.url("shop"))
            .env_remove("BACKUP_ENCRYPTION_KEY");
        command.output().unwrap()
    }

    fn edit(&self, change: impl FnOnce(&mut Value)) {
        let storage = self.house.storage();
        let all = names(&storage);
        let manifest = all.iter().find(|name| name.contains(".sql.")).unwrap();
        let manifest = manifest.strip_suffix(".json").unwrap_or(manifest);
        edit(&storage.join(format!("{manifest}.json")), change);
    }

    /// Two names that together are a command, and the file that it would make.
    fn command(&self) -> ([String; 2], PathBuf) {
        let proof = self.house.path("ran");
        let command = format!("\\! touch {} #", proof.display());
        (["A\0".to_owned(), command], proof)
    }
}

/// Who can write to the storage can do this.
fn edit(manifest: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    change(&mut value["manifest"]["database"]);
    fs::write(manifest, serde_json::to_vec(&value).unwrap()).unwrap();
}

#[test]
fn a_role_with_a_nul_runs_no_command_where_a_dump_is_proven() {
    let Some(planted) = Planted::new() else {
        return;
    };
    let (roles, ran) = planted.command();
    planted.edit(|database| database["roles"] = json!(roles));
    let output = planted.run(&["verify", "--restore", "latest"]);
    assert!(!ran.exists(), "a command ran on the host: {output:?}");
    assert_ne!(output.status.code(), Some(0), "{output:?}");
}

/// The dump itself has such tables: what it holds is compared with its manifest
/// before anything is made for it.
#[test]
fn a_schema_with_a_nul_runs_no_command_where_a_dump_is_restored() {
    let Some(planted) = Planted::new() else {
        return;
    };
    let (schemas, ran) = planted.command();
    let dumped = planted.cluster.client("pg_dump", "shop").output().unwrap();
    let dump = String::from_utf8(dumped.stdout).unwrap();
    let end = "--\n-- PostgreSQL database dump complete";
    let (front, back) = dump.split_at(dump.find(end).unwrap());
    let table = |schema| format!("COPY \"{schema}\".t (i) FROM stdin;\n\\.\n\n\n");
    let dump = format!("{front}{}{}{back}", table(&schemas[0]), table(&schemas[1]));
    let file = "evil_backup_2026-01-18T10-30-00.sql";
    fs::write(planted.house.storage().join(file), dump).unwrap();
    let adopted = planted.run(&["adopt", file]);
    if adopted.status.success() {
        let manifest = planted.house.storage().join(format!("{file}.json"));
        let selection = json!({ "tables": ["public.t"] });
        edit(&manifest, |database| database["selection"] = selection);
    }
    let output = planted.run(&["restore", file, "--into", "copy", "--yes", "--as-superuser"]);
    assert!(!ran.exists(), "a command ran on the host: {output:?}");
    assert_ne!(output.status.code(), Some(0), "{output:?}");
    let databases = "SELECT datname FROM pg_database WHERE datname ~ 'copy|kluis'";
    assert_eq!(planted.cluster.psql("postgres", databases), "");
}

/// A database's settings can have the server load a program at each login.
#[test]
fn a_setting_of_a_manifest_loads_nothing_into_the_server() {
    let Some(planted) = Planted::new() else {
        return;
    };
    let program = planted.house.path("program.so");
    planted.edit(|database| {
        database["output_settings"] =
            json!({ "lc_monetary": "C", "session_preload_libraries": program });
    });
    let output = planted.run(&["restore", "latest", "--into", "copy", "--yes"]);
    let said = format!("{output:?}");
    assert!(!said.contains("could not access file"), "loaded: {said}");
    let set = "SELECT count(*) FROM pg_db_role_setting WHERE setconfig::text ~ 'preload'";
    assert_eq!(planted.cluster.psql("postgres", set), "0");
}
