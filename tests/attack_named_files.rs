//! A planted dump in directory format: its table of contents, or the list of its
//! large objects, names a file of this machine. pg_restore opened it, with our
//! rights, and its lines came into the storage.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::Cluster;
use crate::support::house;
use crate::support::house::House;
use crate::support::majors;
use crate::support::planting;
use crate::support::planting::{genuine, manifest_of};

const ARCHIVE: &str = "x_backup_2026-01-01T00-00-00.dir.tar";
/// From 16 on the lists of large objects are named in the table of contents.
const MAJOR: u32 = 17;
const SECRET: &str = "a line that only the operator may read";

/// A dump of one table and one large object, with `planted` in place of the first
/// file that ends with `suffix`; a manifest that no key of ours sealed beside it.
fn plant(house: &House, suffix: &str, planted: &str) -> Option<()> {
    let programs = majors::programs(MAJOR)?;
    let config = format!(
        "[database]\nclient_bin_dir = {:?}\n",
        programs.display().to_string()
    );
    fs::write(house.path("kluis.toml"), config).unwrap();
    let cluster = Cluster::of_major(MAJOR)?;
    cluster.create_db("shop");
    let content = "CREATE TABLE a (x text); INSERT INTO a VALUES ('row'); \
                   SELECT lo_from_bytea(0, 'x');";
    cluster.psql("shop", content);
    let dump = house.path("dump");
    let mut pg_dump = cluster.client("pg_dump", "shop");
    pg_dump.args(["-Fd", "-Z0", "-f"]).arg(&dump);
    let output = pg_dump.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut all = house::names(&dump);
    all.retain(|name| name.ends_with(suffix) && !name.starts_with("toc."));
    let named = all.iter().find(|name| !name.starts_with("blob_")).unwrap();
    let toc = fs::read(dump.join("toc.dat")).unwrap();
    fs::write(dump.join("toc.dat"), replaced(&toc, named, planted)).unwrap();
    fs::remove_file(dump.join(named)).unwrap();
    let archive = house.storage().join(ARCHIVE);
    let mut tar = std::process::Command::new("tar");
    tar.arg("-C")
        .arg(&dump)
        .arg("-cf")
        .arg(&archive)
        .args(house::names(&dump));
    assert!(tar.status().unwrap().success());
    Some(())
}

/// Each string there has its length before it.
fn replaced(toc: &[u8], old: &str, new: &str) -> Vec<u8> {
    let string = |text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_le_bytes();
        [&[0], &length[..], text.as_bytes()].concat()
    };
    let (old, new) = (string(old), string(new));
    let at = toc.windows(old.len()).position(|it| it == old).unwrap();
    [&toc[..at], &new, &toc[at + old.len()..]].concat()
}

/// A manifest with a seal of nobody's.
fn describe(house: &House, genuine: &str) {
    let bytes = fs::read(house.storage().join(ARCHIVE)).unwrap();
    let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes));
    let mut manifest = manifest_of(house, genuine)["manifest"].clone();
    let told = manifest.as_object_mut().unwrap();
    for key in ["source", "encryption", "gzip_index"] {
        told.remove(key);
    }
    manifest["kind"] = "db".into();
    manifest["name"] = "x".into();
    manifest["created_at"] = "2026-01-01T00:00:00Z".into();
    manifest["id"] = "00000000000000aa".into();
    let length = bytes.len();
    manifest["stored"] = json!({"file": ARCHIVE, "bytes": length, "sha256": sha256});
    manifest["content"] =
        json!({"codec": "none", "bytes": length, "sha256": sha256, "raw_bytes": length});
    manifest["database"] = json!({
        "server_version": "17", "client_version": "17", "mode": "direct", "format": "directory",
        "encoding": "UTF8", "locale": "C", "extensions": {}, "roles": [], "tables": [],
        "objects": {},
    });
    let file = json!({"manifest": manifest, "seal": "00".repeat(32)});
    let path = house.storage().join(format!("{ARCHIVE}.json"));
    fs::write(path, file.to_string()).unwrap();
}

fn upwards(path: &Path) -> String {
    format!(
        "{}{}",
        "../".repeat(12),
        path.display().to_string().trim_start_matches('/')
    )
}

fn said(output: &Output) -> String {
    let words = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&words).into_owned()
}

/// Whether what lies in the storage holds the words.
fn stored(house: &House, words: &str) -> Vec<String> {
    let below = |directory: &Path| {
        let names = house::names(directory).into_iter();
        let files = names
            .map(|name| directory.join(name))
            .filter(|it| it.is_file());
        files.collect::<Vec<_>>()
    };
    let storage = house.storage();
    let files = [below(&storage), below(&storage.join("runs"))].concat();
    let holds = |file: &std::path::PathBuf| {
        String::from_utf8_lossy(&fs::read(file).unwrap()).contains(words)
    };
    let found = files.into_iter().filter(holds);
    found.map(|file| file.display().to_string()).collect()
}

#[test]
fn a_file_of_this_machine_that_a_planted_dump_names_is_not_read() {
    for suffix in [".dat", ".toc"] {
        let house = planting::house();
        let genuine = genuine(&house);
        fs::write(house.path("secret"), format!("{SECRET}\nand another\n")).unwrap();
        let Some(()) = plant(&house, suffix, &upwards(&house.path("secret"))) else {
            return;
        };
        for command in ["verify", "adopt"] {
            let output = house.kluis().args([command, ARCHIVE]).output().unwrap();
            assert_eq!(output.status.code(), Some(4), "{output:?}");
            assert!(!said(&output).contains(SECRET), "{output:?}");
        }
        describe(&house, &genuine);
        let output = house.kluis().args(["verify", "--all"]).output().unwrap();
        assert!(
            said(&output).contains("names a file that is none of its own"),
            "{output:?}"
        );
        assert!(!said(&output).contains(SECRET), "{output:?}");
        assert_eq!(stored(&house, SECRET), [""; 0], "{suffix}");
    }
}

#[test]
fn a_device_that_a_planted_dump_names_is_not_read_for_ever() {
    let house = planting::house();
    genuine(&house);
    let Some(()) = plant(&house, ".dat", &upwards(Path::new("/dev/zero"))) else {
        return;
    };
    let output = house.kluis().args(["verify", ARCHIVE]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
}

#[test]
fn what_pg_restore_says_of_a_planted_dump_is_shown_and_not_kept() {
    let house = planting::house();
    let genuine = genuine(&house);
    let Some(()) = plant(&house, ".dat", "words-of-somebody") else {
        return;
    };
    describe(&house, &genuine);
    let output = house.kluis().args(["verify", "--all"]).output().unwrap();
    assert!(said(&output).contains("words-of-somebody"), "{output:?}");
    let manifest: Value = manifest_of(&house, ARCHIVE);
    let detail = manifest["state"]["verification"]["detail"]
        .as_str()
        .unwrap();
    assert!(
        detail.starts_with("pg_restore cannot read the archive"),
        "{detail}"
    );
    let mut records: Vec<String> = house
        .records()
        .into_iter()
        .map(|it| it.1.to_string())
        .collect();
    records.retain(|record| record.contains("words-of-somebody"));
    assert_eq!(records, [""; 0]);
}
