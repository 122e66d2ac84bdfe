//! `kluis adopt` with the real binary: files of other programs, and archives
//! that lost their manifest, become backups like any other; what is damaged or
//! cut does not, and nothing is written of it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Cluster;
use crate::support::home::{Home, text};
use crate::support::programs;
use crate::support::trees::{assert_same, seen};
use serde_json::Value;

const PASSPHRASE: &str = "correct horse battery staple – ünïcode";
const LEGACY_DUMP: &str = "kanbu_backup_2026-01-18T10-30-00.sql.gz.enc";

/// A whole dump in pg_dump's form, of one table with two rows.
const DUMP: &str = "--\n-- PostgreSQL database dump\n--\n\n\
    -- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)\n\
    -- Dumped by pg_dump version 15.18\n\nSET client_encoding = 'UTF8';\n\n\
    CREATE TABLE public.t (a integer);\n\n\
    COPY public.t (a) FROM stdin;\n1\n2\n\\.\n\n\
    --\n-- PostgreSQL database dump complete\n--\n\n";

/// A home whose storage holds these files and nothing else.
fn home_with(files: &[(&str, &[u8])]) -> Home {
    let home = Home::with_key(PASSPHRASE);
    fs::create_dir(home.storage()).unwrap();
    for (name, bytes) in files {
        fs::write(home.storage().join(name), bytes).unwrap();
    }
    home
}

fn legacy(name: &str) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/legacy");
    fs::read(data.join(name)).unwrap()
}

/// The manifest that lies beside a file of the storage.
fn manifest(home: &Home, file: &str) -> Value {
    let path = home.storage().join(format!("{file}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Everything in the storage that a backup would be made of.
fn files(home: &Home) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(home.storage())
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("kluis.") && name != "runs")
        .collect();
    names.sort();
    names
}

/// Everything that is done with backups is done with this one, which was just
/// adopted.
fn is_a_backup_like_any_other(home: &Home, file: &str) {
    let rows = home.json(&["list"]);
    let rows = rows["backups"].as_array().unwrap();
    let row = rows.iter().find(|row| row["file"] == file).unwrap();
    assert_eq!(row["proof"], "verified", "{row}");
    assert_eq!(row["note"], "adopted");
    let shown = home.run(&["show", file]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains(", \n") && !shown.contains(",  "), "{shown}");
    home.run(&["verify", file, "--quick"]);
    home.run(&["verify", file]);
    home.run(&["verify", "--all"]);
    home.run(&["keep", file]);
    home.run(&["keep", file, "--release"]);
    home.run(&["prune", "--dry-run"]);
}

fn run(program: &str, arguments: &[&str], directory: &Path) {
    let mut command = Command::new(program);
    let done = command.args(arguments).current_dir(directory).output();
    let done = done.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program}: {said}");
}

#[test]
fn a_legacy_archive_of_a_dump_restores_into_a_real_server() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let home = home_with(&[(LEGACY_DUMP, &legacy("whole-dump.enc"))])
        .set("DATABASE_URL", &cluster.url("postgres"));
    let done = home.json(&["adopt", LEGACY_DUMP]);
    assert_eq!(done["adopted"][0]["name"], "kanbu");
    assert_eq!(done["adopted"][0]["created_at"], "2026-01-18T10:30:00Z");
    is_a_backup_like_any_other(&home, LEGACY_DUMP);
    let manifest = manifest(&home, LEGACY_DUMP);
    assert_eq!(manifest["manifest"]["encryption"]["format"], "kanbu");
    // By the configured key: the format has no place for one of its own.
    assert!(manifest["seal"].is_string());
    let tables = &manifest["manifest"]["database"]["tables"];
    let (table, rows) = (&tables[0]["name"], tables[0]["rows"].as_u64().unwrap());
    home.run(&[
        "restore",
        "latest:kanbu",
        "--into",
        "copy",
        "--as-superuser",
    ]);
    let sql = format!("SELECT count(*) FROM public.{}", table.as_str().unwrap());
    assert_eq!(cluster.psql("copy", &sql), rows.to_string());
    home.run(&["verify", "latest:kanbu", "--restore"]);
}

const SHOP: &str = "
    CREATE ROLE keeper; CREATE ROLE reader;
    CREATE TABLE item (id serial PRIMARY KEY, name text);
    INSERT INTO item (name) SELECT 'item; ' || n FROM generate_series(1, 1000) AS n;
    CREATE TABLE empty (id integer);
    CREATE VIEW named AS SELECT name FROM item;
    ALTER TABLE item OWNER TO keeper;
    GRANT SELECT ON item TO reader;";

/// What pg_dump says of a database, but for the random key of its restriction.
fn dumped(cluster: &Cluster, database: &str) -> String {
    let output = cluster.client("pg_dump", database).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter(|line| !line.contains("restrict "));
    lines.collect::<Vec<_>>().join("\n")
}

/// `pg_dump` of the shop into a file of the home.
fn dump_to(cluster: &Cluster, home: &Home, name: &str, flags: &[&str]) -> PathBuf {
    let path = home.path(name);
    let mut pg_dump = cluster.client("pg_dump", "shop");
    let done = pg_dump.args(flags).arg("-f").arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    path
}

#[test]
fn loose_dumps_of_every_format_restore_and_are_compared() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", SHOP);
    let before = dumped(&cluster, "shop");
    let home = Home::new().set("DATABASE_URL", &cluster.url("postgres"));
    dump_to(&cluster, &home, "plain.sql", &[]);
    dump_to(&cluster, &home, "zipped.sql", &[]);
    run("gzip", &["zipped.sql"], &home.path(""));
    dump_to(&cluster, &home, "inserts.sql", &["--inserts"]);
    dump_to(&cluster, &home, "clean.sql", &["--clean"]);
    dump_to(&cluster, &home, "custom.dump", &["-Fc"]);
    dump_to(&cluster, &home, "tarred.tar", &["-Ft"]);
    dump_to(&cluster, &home, "folder", &["-Fd"]);
    run(
        "tar",
        &["-cf", "folder.dir.tar", "-C", "folder", "toc.dat"],
        &home.path(""),
    );
    run(
        "sh",
        &["-c", "cd folder && tar -rf ../folder.dir.tar *.dat.gz"],
        &home.path(""),
    );
    let files = [
        "plain.sql",
        "zipped.sql.gz",
        "inserts.sql",
        "custom.dump",
        "folder.dir.tar",
        "tarred.tar",
        "clean.sql",
    ];
    for (at, file) in files.iter().enumerate() {
        let name = format!("shop{at}");
        let original = home.path(file);
        let (bytes, stat) = (
            fs::read(&original).unwrap(),
            fs::metadata(&original).unwrap(),
        );
        let done = home.json(&["adopt", file, "--name", &name]);
        let row = &done["adopted"][0];
        assert_eq!(row["copied"], true);
        assert_eq!(row["rows"], 1000, "{row}");
        assert_eq!(
            fs::read(home.storage().join(file)).unwrap(),
            bytes,
            "copied"
        );
        assert_eq!(fs::read(&original).unwrap(), bytes, "the file was changed");
        let now = fs::metadata(&original).unwrap();
        assert_eq!((now.mtime(), now.ino()), (stat.mtime(), stat.ino()));
        is_a_backup_like_any_other(&home, file);
        let database = &manifest(&home, file)["manifest"]["database"];
        let roles = database["roles"].as_array().unwrap();
        for role in ["keeper", "reader"] {
            assert!(roles.iter().any(|it| it == role), "{file}: {roles:?}");
        }
        assert_ne!(database["server_version"], "", "{file}");
        let into = format!("copy{at}");
        let latest = format!("latest:{name}");
        let restore = ["restore", &latest, "--into", &into, "--as-superuser"];
        let report = home.json(&restore);
        assert_eq!(report["content_ok"], true, "{report}");
        // Of an empty table a dump of INSERTs says nothing.
        let tables = 2 - usize::from(*file == "inserts.sql");
        assert_eq!(
            report["compared"]["tables"].as_array().unwrap().len(),
            tables
        );
        assert_eq!(dumped(&cluster, &into), before, "{file}");
        // A server of its own each: two of them tell enough.
        if at < 2 {
            home.run(&["verify", file, "--restore"]);
        }
    }
    // The roles that the dump names must be there before anything changes.
    cluster.psql("postgres", "DROP DATABASE shop");
    for at in 0..files.len() {
        cluster.psql("postgres", &format!("DROP DATABASE copy{at}"));
    }
    cluster.psql("postgres", "DROP ROLE reader");
    let said = home.ends(1, &["restore", "latest:shop0", "--into", "again"]);
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("reader"), "{said}");
}

#[test]
fn trees_of_tar_come_back_the_same() {
    if !programs::are_here(&["tar", "zstd", "gzip"]) {
        return;
    }
    let home = Home::new();
    let root = home.path("tree");
    fs::create_dir_all(root.join("deep/er")).unwrap();
    fs::write(root.join("deep/er/file"), "x".repeat(100_000)).unwrap();
    fs::write(root.join("größe"), "").unwrap();
    std::os::unix::fs::symlink("größe", root.join("link")).unwrap();
    run(
        "tar",
        &["-C", "tree", "--format=pax", "-cf", "a.tar", "."],
        &home.path(""),
    );
    run(
        "tar",
        &["-C", "tree", "--format=pax", "-czf", "b.tar.gz", "."],
        &home.path(""),
    );
    run(
        "zstd",
        &["-q", "a.tar", "-o", "c_source_2026-01-18T10-30-00.tar.zst"],
        &home.path(""),
    );
    for (file, name) in [
        ("a.tar", "a"),
        ("b.tar.gz", "b"),
        ("c_source_2026-01-18T10-30-00.tar.zst", "c"),
    ] {
        let done = home.json(&["adopt", file]);
        assert_eq!(done["adopted"][0]["name"], name);
        assert_eq!(done["adopted"][0]["files"], 2, "{done}");
        is_a_backup_like_any_other(&home, file);
        home.run(&["verify", file, "--restore"]);
        let back = home.path(&format!("back-{name}"));
        home.run(&["restore", file, "--to", text(&back)]);
        assert_same(&seen(&root), &seen(&back));
    }
}

#[test]
fn an_archive_that_lost_its_manifest_gets_a_new_sealed_one() {
    let home = Home::new();
    let root = home.path("tree");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), "content").unwrap();
    let made = home.json(&["backup", "source", text(&root), "--name", "söürce"]);
    let file = made["backups"][0]["file"].as_str().unwrap();
    let before = manifest(&home, file);
    let key_id = &before["manifest"]["encryption"]["key_id"];
    fs::remove_file(home.storage().join(format!("{file}.json"))).unwrap();
    home.run(&["adopt", file]);
    let after = manifest(&home, file);
    assert_ne!(after["manifest"]["id"], before["manifest"]["id"]);
    for field in [
        "kind",
        "name",
        "created_at",
        "stored",
        "content",
        "encryption",
    ] {
        assert_eq!(
            after["manifest"][field], before["manifest"][field],
            "{field}"
        );
    }
    assert_eq!(after["manifest"]["encryption"]["key_id"], *key_id);
    assert_eq!(home.json(&["show", file])["seal_ok"], true);
    is_a_backup_like_any_other(&home, file);
    let path = home.storage().join(format!("{file}.json"));
    let edited = fs::read_to_string(&path)
        .unwrap()
        .replace("adopted", "ADOPTED");
    fs::write(&path, edited).unwrap();
    home.ends(4, &["verify", file]);
}

#[test]
fn a_name_or_kind_that_the_file_itself_contradicts_is_refused() {
    let named = "shop_backup_2026-01-18T10-30-00.sql";
    let home = home_with(&[(named, DUMP.as_bytes()), ("x.sql", DUMP.as_bytes())]);
    home.ends(2, &["adopt", named, "--name", "other"]);
    home.ends(2, &["adopt", "x.sql", "--kind", "source"]);
    assert_eq!(files(&home), [named, "x.sql"]);
    home.run(&["adopt", named, "--name", "shop"]);
    home.ends(2, &["adopt", named]);
}

#[test]
fn what_is_damaged_or_cut_is_refused_and_nothing_is_written() {
    let home = Home::with_key(PASSPHRASE);
    let root = home.path("tree");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), "content".repeat(1000)).unwrap();
    let made = home.json(&["backup", "source", text(&root)]);
    let kluis1 = home
        .storage()
        .join(made["backups"][0]["file"].as_str().unwrap());
    let kluis1 = fs::read(kluis1).unwrap();
    fs::remove_dir_all(home.storage()).unwrap();
    fs::write(home.path("dump.sql"), DUMP).unwrap();
    run("gzip", &["-k", "dump.sql"], &home.path(""));
    run(
        "tar",
        &["-C", "tree", "-cf", "tree.tar", "."],
        &home.path(""),
    );
    let gzip = fs::read(home.path("dump.sql.gz")).unwrap();
    let tar = fs::read(home.path("tree.tar")).unwrap();
    let cut = |bytes: &[u8], by: usize| bytes[..bytes.len() - by].to_vec();
    let turned = |bytes: &[u8], back: usize| {
        let mut bytes = bytes.to_vec();
        let at = bytes.len() - back;
        bytes[at] ^= 1;
        bytes
    };
    let dump = DUMP.as_bytes();
    let legacy = legacy("whole-dump.enc");
    let cases: [(&str, Vec<u8>); 11] = [
        ("cut.sql", cut(dump, 20)),
        (
            "cut-in-rows.sql",
            dump[..DUMP.find("\n2\n").unwrap()].to_vec(),
        ),
        ("longer.sql", [dump, b"DROP TABLE t;\n"].concat()),
        ("cut.sql.gz", cut(&gzip, 5)),
        ("turned.sql.gz", turned(&gzip, 30)),
        ("cut.sql.gz.enc", cut(&legacy, 1)),
        ("turned.sql.gz.enc", turned(&legacy, 100)),
        ("cut.tar", tar[..1024].to_vec()),
        ("cut.tar.gz.enc", cut(&kluis1, 1)),
        ("longer.tar.gz.enc", [&kluis1[..], b"x"].concat()),
        ("turned.tar.gz.enc", turned(&kluis1, 10)),
    ];
    for (name, bytes) in cases {
        let outside = home.path(name);
        fs::write(&outside, &bytes).unwrap();
        let output = home.ends(4, &["--json", "adopt", text(&outside)]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["refused"][0]["file"], name);
        assert_eq!(files(&home), [""; 0], "{name} from elsewhere");
        let inside = home.storage().join(name);
        fs::write(&inside, &bytes).unwrap();
        home.ends(4, &["adopt", name]);
        assert_eq!(files(&home), [name], "{name} in the storage");
        assert_eq!(fs::read(&inside).unwrap(), bytes);
        fs::remove_file(inside).unwrap();
    }
}

#[test]
fn a_wrong_key_is_refused_with_the_key_that_is_wanted() {
    let home = Home::new();
    let root = home.path("tree");
    fs::create_dir(&root).unwrap();
    let made = home.json(&["backup", "source", text(&root)]);
    let file = made["backups"][0]["file"].as_str().unwrap();
    let key_id = manifest(&home, file)["manifest"]["encryption"]["key_id"].clone();
    fs::remove_file(home.storage().join(format!("{file}.json"))).unwrap();
    fs::write(home.path("key"), "11".repeat(32)).unwrap();
    let output = home.ends(4, &["adopt", file]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(key_id.as_str().unwrap()), "{said}");
    assert_eq!(files(&home), [file]);
}

#[test]
fn what_is_no_backup_is_refused_with_what_it_is() {
    let home = home_with(&[]);
    for (name, bytes, word) in [
        ("empty.sql", &b""[..], "empty"),
        (
            "mysql.sql",
            b"-- MySQL dump 10.13\nCREATE TABLE t (a int);\n",
            "text",
        ),
        ("photo.zip", b"PK\x03\x04abc", "zip"),
        ("shop.sql.bz2", b"BZh91AY&SY", "bunzip2"),
        ("shop.sql.xz", b"\xfd7zXZ\0\0\x04", "unxz"),
        ("noise.tar", &[7; 3000], "neither"),
    ] {
        fs::write(home.path(name), bytes).unwrap();
        let output = home.ends(2, &["adopt", text(&home.path(name))]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(word), "{said}");
    }
    let windows = DUMP.replace('\n', "\r\n");
    let marked = format!("\u{feff}{DUMP}");
    let old = DUMP.replace(
        "COPY public.t",
        "SET search_path = public, pg_catalog;\n\nCOPY t",
    );
    let creating = DUMP.replace(
        "CREATE TABLE",
        "--\n-- Name: shop; Type: DATABASE; Schema: -; Owner: o\n--\n\nCREATE DATABASE shop;\n\n\
         \\connect shop\n\nCREATE TABLE",
    );
    let cluster = format!(
        "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE o;\n\n\\connect template1\n\n{DUMP}"
    );
    for (text, word) in [
        (&windows, "as Windows' do"),
        (&marked, "byte order mark"),
        (&old, "names tables without their schema"),
        (&creating, "pg_dump --create"),
    ] {
        fs::write(home.path("nearly.sql"), text).unwrap();
        let output = home.ends(2, &["adopt", "nearly.sql"]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(word), "{said}");
    }
    fs::write(home.path("nearly.sql"), cluster).unwrap();
    let output = home.kluis(&["adopt", "nearly.sql"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("kluis backup db --all --globals"), "{said}");
    home.ends(2, &["adopt", "not-there.sql"]);
    home.ends(2, &["adopt"]);
    assert_eq!(files(&home), [""; 0]);
}

#[test]
fn a_name_that_the_storage_has_already_is_not_taken() {
    let home = home_with(&[("x.sql", b"something else")]);
    let outside = home.path("x.sql");
    fs::write(&outside, DUMP).unwrap();
    home.ends(2, &["adopt", text(&outside)]);
    assert_eq!(
        fs::read(home.storage().join("x.sql")).unwrap(),
        b"something else"
    );
    assert_eq!(fs::read_to_string(outside).unwrap(), DUMP);
}

#[test]
fn all_adopts_what_list_shows_without_checksum_and_leaves_the_rest() {
    let broken = "shop_backup_2026-01-19T10-30-00.sql";
    let home = home_with(&[
        (LEGACY_DUMP, &legacy("whole-dump.enc")),
        (
            "kanbu_source_2026-01-18T10-30-00.tar.gz.enc",
            &legacy("tree.enc"),
        ),
        ("shop_backup_2026-01-18T10-30-00.sql", DUMP.as_bytes()),
        ("notes.txt", b"not a backup"),
    ]);
    let done = home.json(&["adopt", "--all", "--accept-unsealed"]);
    assert_eq!(done["adopted"].as_array().unwrap().len(), 3);
    home.run(&["verify", "--all"]);
    let again = home.run(&["adopt", "--all", "--accept-unsealed"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("Nothing to adopt"));
    // One that is broken does not stop the others, and is told.
    fs::write(home.storage().join(broken), &DUMP[..DUMP.len() - 30]).unwrap();
    let other = "shop_backup_2026-01-20T10-30-00.sql";
    fs::write(home.storage().join(other), DUMP).unwrap();
    let output = home.ends(4, &["--json", "adopt", "--all", "--accept-unsealed"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["adopted"][0]["file"], other);
    assert_eq!(report["refused"][0]["file"], broken);
    assert_eq!(report["refused"][0]["exit_code"], 4);
}

#[test]
fn a_file_whose_adoption_died_is_not_swept_away() {
    let home = home_with(&[("shop_backup_2026-01-18T10-30-00.sql", DUMP.as_bytes())]);
    home.run(&["adopt", "--all", "--accept-unsealed"]);
    let runs = home.storage().join("runs");
    let record = fs::read_dir(&runs).unwrap().next().unwrap().unwrap().path();
    assert!(text(&record).contains("_adopt_"), "{record:?}");
    let died = fs::read_to_string(&record).unwrap();
    fs::write(&record, died.replace("COMPLETED", "RUNNING")).unwrap();
    let file = "shop_backup_2026-01-18T10-30-00.sql";
    fs::remove_file(home.storage().join(format!("{file}.json"))).unwrap();
    let root = home.path("tree");
    fs::create_dir(&root).unwrap();
    home.run(&["backup", "source", text(&root)]);
    assert_eq!(fs::read_to_string(home.storage().join(file)).unwrap(), DUMP);
    home.run(&["adopt", "--all", "--accept-unsealed"]);
}

/// Changes the manifest that lies beside a file, as one from before there were
/// seals: it has none.
fn unsealed(home: &Home, file: &str, edit: impl FnOnce(&mut Value)) -> Value {
    let mut document = manifest(home, file);
    document.as_object_mut().unwrap().remove("seal").unwrap();
    edit(&mut document);
    let path = home.storage().join(format!("{file}.json"));
    fs::write(path, serde_json::to_vec(&document).unwrap()).unwrap();
    document
}

/// A plain backup of a tree, with all that only a manifest tells: the file.
fn kept_tree(home: &Home, name: &str) -> String {
    let root = home.path(name);
    fs::create_dir(&root).unwrap();
    fs::write(root.join("file"), "content").unwrap();
    fs::write(root.join("left-out.log"), "x").unwrap();
    let tree = ["backup", "source", text(&root), "--no-encrypt"];
    let told = ["--exclude", "*.log", "--note", "before the move"];
    let made = home.json(&[&tree[..], &told[..]].concat());
    let file = made["backups"][0]["file"].as_str().unwrap().to_owned();
    home.run(&["keep", &file]);
    file
}

#[test]
fn what_was_made_before_there_were_seals_is_adopted_with_all_its_manifest_says() {
    let home = Home::new();
    let file = kept_tree(&home, "tree");
    let before = unsealed(&home, &file, |_| {});
    assert_eq!(home.json(&["list"])["backups"].as_array().unwrap().len(), 0);
    let done = home.json(&["adopt", "--all", "--accept-unsealed"]);
    assert_eq!(done["adopted"][0]["file"], *file, "{done}");
    assert_eq!(done["adopted"][0]["warnings"], serde_json::json!([]));
    let after = manifest(&home, &file);
    assert_eq!(after["manifest"], before["manifest"]);
    assert!(after["seal"].is_string());
    assert_eq!(after["state"]["pinned"], true);
    assert_eq!(home.json(&["list"])["backups"][0]["kept"], true);
    home.run(&["verify", "--all"]);
    let said = home.run(&["adopt", "--all", "--accept-unsealed"]);
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("every archive has its sealed"), "{said}");
}

#[test]
fn a_dump_of_before_there_were_seals_keeps_its_name_note_and_id() {
    let home = home_with(&[
        (LEGACY_DUMP, &legacy("whole-dump.enc")),
        ("x.sql", DUMP.as_bytes()),
    ]);
    home.run(&["adopt", LEGACY_DUMP]);
    home.run(&["adopt", "x.sql", "--name", "shop"]);
    let edit = |document: &mut Value| document["manifest"]["note"] = "the last good one".into();
    let (x, kanbu) = (
        unsealed(&home, "x.sql", edit),
        unsealed(&home, LEGACY_DUMP, edit),
    );
    assert_eq!(
        home.json(&["adopt", "--all", "--accept-unsealed"])["adopted"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(manifest(&home, "x.sql")["manifest"], x["manifest"]);
    assert_eq!(manifest(&home, LEGACY_DUMP)["manifest"], kanbu["manifest"]);
}

#[test]
fn an_unsealed_manifest_that_the_content_contradicts_is_made_anew_and_stays_kept() {
    let home = Home::new();
    let file = kept_tree(&home, "tree");
    let edits: [(&str, Value); 4] = [
        ("/manifest/source/files", 7.into()),
        ("/manifest/content/raw_bytes", 7.into()),
        ("/manifest/created_at", "2099-01-01T00:00:00Z".into()),
        ("/manifest/name", "other".into()),
    ];
    for (place, value) in edits {
        let before = unsealed(&home, &file, |document| {
            *document.pointer_mut(place).unwrap() = value;
        });
        let done = home.json(&["adopt", "--all", "--accept-unsealed"]);
        let warning = done["adopted"][0]["warnings"][0].as_str().unwrap();
        assert!(warning.contains("made anew"), "{place}: {warning}");
        let after = manifest(&home, &file);
        assert_ne!(after["manifest"]["id"], before["manifest"]["id"], "{place}");
        assert_eq!(after["manifest"]["source"]["files"], 1, "{place}");
        assert_eq!(after["state"]["pinned"], true, "{place}");
    }
}

#[test]
fn an_adopted_manifest_takes_no_other_backups_id_nor_place() {
    let home = Home::new();
    let ours = kept_tree(&home, "ours");
    let genuine = manifest(&home, &ours);
    let planted = kept_tree(&home, "planted");
    unsealed(&home, &planted, |document| {
        document["manifest"]["id"] = genuine["manifest"]["id"].clone();
        document["manifest"]["reencrypted_from"] = serde_json::json!({
            "file": ours, "sha256": genuine["manifest"]["stored"]["sha256"],
        });
    });
    home.run(&["adopt", "--all", "--accept-unsealed"]);
    assert_ne!(
        manifest(&home, &planted)["manifest"]["id"],
        genuine["manifest"]["id"]
    );
    assert_eq!(home.json(&["list"])["backups"].as_array().unwrap().len(), 2);
}

#[test]
fn a_host_that_can_seal_nothing_says_so_and_adopts_nothing() {
    let file = "shop_backup_2026-01-18T10-30-00.sql";
    let home = home_with(&[(file, DUMP.as_bytes())]);
    let root = home.path("tree");
    fs::create_dir(&root).unwrap();
    let made = home.json(&["key", "generate", "--age", "-o", "identity"]);
    let recipient = made["recipient"].as_str().unwrap();
    let on_the_host = |arguments: &[&str]| {
        let mut kluis = home.kluis(arguments);
        kluis.env_remove("BACKUP_ENCRYPTION_KEY_FILE");
        kluis.env("BACKUP_AGE_RECIPIENTS", recipient);
        let output = kluis.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    for adopt in [["adopt", file], ["adopt", "--all"]] {
        let (code, said) = on_the_host(&adopt);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("set encryption.signing_key"), "{said}");
        assert_eq!(files(&home), [file]);
    }
    let (code, said) = on_the_host(&["backup", "source", text(&root), "--no-encrypt"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("does not count") && said.contains("signing_key"),
        "{said}"
    );
}

#[test]
fn what_is_not_ours_can_be_typed_and_is_told_wherever_backups_are_counted() {
    let alone = "a-name-that-is-much-too-long-for-any-column_backup_2026-01-18T10-30-00.sql";
    let home = home_with(&[(alone, DUMP.as_bytes())]);
    let file = kept_tree(&home, "tree");
    let document = unsealed(&home, &file, |_| {});
    let id = &document["manifest"]["id"].as_str().unwrap()[..8];
    let words = |output: std::process::Output| {
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8(said).unwrap()
    };
    let list = words(home.run(&["list"]));
    for word in [id, alone, "not sealed", "no manifest", "kluis adopt --all"] {
        assert!(list.contains(word), "{word}: {list}");
    }
    let check = words(home.ends(5, &["check", "--no-server"]));
    assert!(check.contains("2 not sealed by a key of ours"), "{check}");
    for command in [&["status"][..], &["prune", "--dry-run"], &["report"]] {
        let said = words(home.run(command));
        assert!(said.contains("kluis adopt --all"), "{command:?}: {said}");
    }
    let proof = words(home.run(&["verify", "--restore", "--all"]));
    assert!(proof.contains("2 not sealed by a key of ours"), "{proof}");
    let proof = words(home.run(&["verify", "--restore", "--all", "--accept-unsealed"]));
    assert!(
        proof.contains("1 backup") && proof.contains("counts nowhere"),
        "{proof}"
    );
    let read = words(home.run(&["verify", &file]));
    assert!(read.contains("counts nowhere; kluis adopt"), "{read}");
}

#[test]
fn a_backup_is_adopted_by_the_id_that_list_shows() {
    let home = Home::new();
    let file = kept_tree(&home, "tree");
    let before = unsealed(&home, &file, |_| {});
    let id = before["manifest"]["id"].as_str().unwrap();
    let listed = home.run(&["list"]);
    let listed = String::from_utf8_lossy(&[listed.stdout, listed.stderr].concat()).into_owned();
    assert!(listed.contains(&id[..8]), "{listed}");
    let done = home.json(&["adopt", id]);
    assert_eq!(done["adopted"][0]["file"], *file, "{done}");
    assert_eq!(done["adopted"][0]["id"], *id);
    home.ends(2, &["adopt", "0123456789abcdef"]);
}
