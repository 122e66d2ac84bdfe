//! Custom and directory archives, made and given back by the real binary: the
//! same database comes back as from a plain dump, and what is damaged is found.

use std::fs;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use kluis::cancel::Cancel;
use kluis::postgres::{ClientSearch, Converter};
use kluis::reached::Reached;
use kluis::target::{FromCustom, Received, Target, TargetError};

use crate::support::Cluster;
use crate::support::home::{Home, text};

const EVERY_TYPE: &str = include_str!("data/every_type.sql");
const FORMATS: [&str; 3] = ["plain", "custom", "directory"];

/// Rows of noise, so that an archive has more than a few bytes to damage.
const FILL: &str = "CREATE TABLE item (id int PRIMARY KEY, name text); \
    INSERT INTO item SELECT i, md5(i::text) FROM generate_series(1, 20000) AS i; \
    CREATE TABLE sold AS SELECT id, id * 2 AS at FROM item; \
    SELECT lo_from_bytea(4711, 'large object');";

struct Bench {
    home: Home,
    cluster: Cluster,
}

impl Bench {
    fn start(fill: &str) -> Option<Self> {
        let cluster = Cluster::start()?;
        cluster.create_db("shop");
        cluster.psql("shop", fill);
        let home = Home::new().set("DATABASE_URL", &cluster.url("shop"));
        let work_dir = home.path("work");
        fs::create_dir(&work_dir).unwrap();
        let home = home.set("TMPDIR", text(&work_dir));
        Some(Self { home, cluster })
    }

    fn configure(self, line: &str) -> Self {
        let home = self.home.configure(&format!("[database]\n{line}\n"));
        Self { home, ..self }
    }

    /// The archive's path.
    fn back_up(&self, arguments: &[&str]) -> PathBuf {
        let report = self
            .home
            .json(&[&["backup", "db", "shop"], arguments].concat());
        let file = report["backups"][0]["file"].as_str().unwrap();
        self.home.storage().join(file)
    }

    /// What pg_dump itself says, but for the random key of its restriction.
    fn dump(&self, database: &str) -> String {
        let output = self.cluster.client("pg_dump", database).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let lines = text.lines().filter(|line| !line.contains("restrict "));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn databases(&self) -> String {
        let sql = "SELECT string_agg(datname, ' ' ORDER BY 1) FROM pg_database";
        self.cluster.psql("postgres", sql)
    }

    /// What runs left in the work directory.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.path("work")).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        entries.map(|entry| name(entry.unwrap())).collect()
    }
}

/// Equal texts, or the first line in which they differ.
fn same(before: &str, after: &str) {
    if let Some((b, a)) = before.lines().zip(after.lines()).find(|(b, a)| b != a) {
        panic!("before: {b}\nafter:  {a}");
    }
    assert_eq!(before.len(), after.len());
}

fn name(archive: &Path) -> &str {
    archive.file_name().unwrap().to_str().unwrap()
}

#[test]
fn every_type_comes_back_from_every_format_the_same() {
    let Some(bench) = Bench::start(EVERY_TYPE) else {
        return;
    };
    let before = bench.dump("shop");
    let mut ledgers = Vec::new();
    for format in FORMATS {
        let archive = bench.back_up(&["--format", format]);
        bench.home.run(&["verify", name(&archive)]);
        let copy = format!("copy_{format}");
        bench
            .home
            .run(&["restore", name(&archive), "--into", &copy]);
        same(&before, &bench.dump(&copy));
        let shown = bench.home.json(&["show", name(&archive)]);
        let database = &shown["manifest"]["database"];
        assert_eq!(database["format"], *format);
        ledgers.push(
            ["tables", "objects", "sequences", "large_objects"].map(|part| {
                let part = &database[part];
                assert!(!part.is_null(), "{shown}");
                part.to_string()
            }),
        );
    }
    assert_eq!(ledgers[0], ledgers[1], "plain and custom");
    assert_eq!(ledgers[0], ledgers[2], "plain and directory");
    assert_eq!(bench.left(), [""; 0]);
}

#[test]
fn a_database_is_replaced_from_every_format() {
    let Some(bench) = Bench::start(FILL) else {
        return;
    };
    let before = bench.dump("shop");
    for format in FORMATS {
        let archive = bench.back_up(&["--format", format]);
        bench
            .cluster
            .psql("shop", "DELETE FROM item; DROP TABLE sold");
        let back = ["restore", name(&archive), "--replace", "--yes"];
        bench.home.run(&back);
        same(&before, &bench.dump("shop"));
    }
}

#[test]
fn names_and_codecs_are_those_of_the_documentation() {
    let Some(bench) = Bench::start(FILL) else {
        return;
    };
    for (arguments, suffix) in [
        (&["--format", "custom"][..], ".dump.gz.enc"),
        (&["--format", "custom", "--no-encrypt"], ".dump.gz"),
        (&["--format", "custom", "--codec", "zstd"], ".dump.zst.enc"),
        (&["--format", "custom", "--codec", "none"], ".dump.enc"),
        (&["--format", "directory", "-j", "2"], ".dir.tar.enc"),
        (&["--format", "directory", "--no-encrypt"], ".dir.tar"),
        (
            &["--format", "directory", "--codec", "none"],
            ".dir.tar.enc",
        ),
        (
            &["--format", "directory", "--codec", "zstd"],
            ".dir.tar.enc",
        ),
    ] {
        let archive = bench.back_up(arguments);
        // A second archive of the same second is `-2`.
        assert!(name(&archive).ends_with(suffix), "{}", archive.display());
        bench.home.run(&["verify", name(&archive)]);
        fs::remove_dir_all(bench.home.storage()).unwrap();
    }
}

#[test]
fn pg_restore_itself_reads_what_decrypt_gives() {
    let Some(bench) = Bench::start(FILL) else {
        return;
    };
    let out = bench.home.path("out");
    for format in ["custom", "directory"] {
        let archive = bench.back_up(&["--format", format, "--codec", "none"]);
        bench
            .home
            .run(&["decrypt", text(&archive), "-o", text(&out)]);
        let mut list = bench.cluster.client("pg_restore", "shop");
        list.arg("--list");
        if format == "directory" {
            let unpacked = bench.home.path("unpacked");
            fs::create_dir(&unpacked).unwrap();
            let tar = Command::new("tar")
                .arg("-xf")
                .arg(&out)
                .arg("-C")
                .arg(&unpacked)
                .status();
            assert!(tar.unwrap().success());
            list.arg(unpacked);
        } else {
            list.arg(&out);
        }
        let listed = list.output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("TABLE DATA public item"), "{listed}");
        fs::remove_file(&out).unwrap();
    }
}

#[test]
fn a_damaged_archive_of_every_format_is_found_and_nothing_is_restored() {
    let Some(bench) = Bench::start(FILL) else {
        return;
    };
    let databases = bench.databases();
    for encrypted in [true, false] {
        for format in FORMATS {
            let mut arguments = vec!["--format", format];
            arguments.extend((!encrypted).then_some("--no-encrypt"));
            let archive = bench.back_up(&arguments);
            let whole = fs::read(&archive).unwrap();
            let start = if encrypted { 8192 } else { 0 };
            let places = [start, start + (whole.len() - start) / 2, whole.len() - 1];
            for place in places {
                let mut damaged = whole.clone();
                damaged[place] ^= 0x10;
                fs::write(&archive, &damaged).unwrap();
                bench.home.ends(4, &["verify", name(&archive)]);
                let back = ["restore", name(&archive), "--into", "copy"];
                bench.home.ends(4, &back);
            }
            fs::write(&archive, &whole[..whole.len() / 2]).unwrap();
            bench.home.ends(4, &["verify", name(&archive)]);
            fs::write(&archive, &whole).unwrap();
            fs::remove_dir_all(bench.home.storage()).unwrap();
        }
    }
    assert_eq!(bench.databases(), databases);
    assert_eq!(bench.left(), [""; 0]);
}

#[test]
fn damage_is_told_as_damage_and_not_by_pg_restores_words() {
    let Some(bench) = Bench::start(FILL) else {
        return;
    };
    let archive = bench.back_up(&["--format", "custom", "--codec", "none"]);
    let mut bytes = fs::read(&archive).unwrap();
    bytes[8200] ^= 1;
    fs::write(&archive, &bytes).unwrap();
    let output = bench.home.ends(4, &["verify", name(&archive)]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("pg_restore"), "{said}");
}

/// Breaks at its end, as an archive does whose last digest is wrong.
struct BrokenAtTheEnd(Cursor<Vec<u8>>);

impl Read for BrokenAtTheEnd {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::Error::other("digest differs")),
            count => Ok(count),
        }
    }
}

/// Tells whether the text that it received ended cleanly.
struct Witness(Sender<bool>);

impl Target for Witness {
    fn receive(&mut self, stream: &mut dyn BufRead) -> Result<Received, TargetError> {
        let read = io::copy(stream, &mut io::sink());
        self.0.send(read.is_ok()).unwrap();
        read.map_err(TargetError::Stream)?;
        Ok(Received::default())
    }

    fn commit(&mut self, _: &mut Reached) -> Result<Vec<String>, TargetError> {
        Ok(Vec::new())
    }
}

#[test]
fn the_text_ends_cleanly_only_if_the_archive_does() {
    let Some(bench) = Bench::start(FILL) else {
        return;
    };
    let mut dump = bench.cluster.client("pg_dump", "shop");
    let archive = dump.args(["-Fc", "-Z0"]).output().unwrap().stdout;
    let converter = Converter::find(&ClientSearch::new(None, None), None, &[]).unwrap();
    let receive = |stream: &mut dyn BufRead| {
        let (sender, ended) = channel();
        let witness = Box::new(Witness(sender));
        let mut target = FromCustom::new(converter.clone(), witness, Cancel::default());
        (target.receive(stream), ended.recv().unwrap())
    };
    let (received, ended) = receive(&mut Cursor::new(archive.clone()));
    assert!(received.is_ok() && ended);
    let broken = BrokenAtTheEnd(Cursor::new(archive));
    let (received, ended) = receive(&mut BufReader::new(broken));
    let error = received.unwrap_err().to_string();
    assert!(error.contains("digest differs"), "{error}");
    assert!(!ended, "whoever commits at the text's end would have");
}

/// An archive of a dump made by hand, without manifest.
#[test]
fn bare_files_are_read_by_what_their_names_say() {
    let Some(bench) = Bench::start(FILL) else {
        return;
    };
    let before = bench.dump("shop");
    let storage = bench.home.path("elsewhere");
    fs::create_dir(&storage).unwrap();
    let bare = storage.join("shop_backup_2026-01-18T10-30-00.dump");
    let mut dump = bench.cluster.client("pg_dump", "shop");
    assert!(
        dump.arg("-Fc")
            .arg("-f")
            .arg(&bare)
            .status()
            .unwrap()
            .success()
    );
    bench.home.run(&["verify", text(&bare)]);
    // A key is configured, and it has sealed nothing of this: that must be meant.
    bench
        .home
        .ends(2, &["restore", text(&bare), "--into", "copy"]);
    let meant = ["restore", text(&bare), "--into", "copy"];
    bench
        .home
        .run(&[&meant[..], &["--accept-unsealed", "--as-superuser"]].concat());
    same(&before, &bench.dump("copy"));
    let cut = fs::read(&bare).unwrap();
    fs::write(&bare, &cut[..cut.len() / 2]).unwrap();
    bench.home.ends(4, &["verify", text(&bare)]);
}

#[test]
fn a_tar_with_anything_but_flat_files_is_refused() {
    let Some(bench) = Bench::start(FILL) else {
        return;
    };
    let bare = bench.home.path("shop_backup_2026-01-18T10-30-00.dir.tar");
    for path in ["../outside", "below/toc.dat"] {
        let mut tar = tar::Builder::new(fs::File::create(&bare).unwrap());
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(3);
        header.set_cksum();
        tar.append(&header, &b"toc"[..]).unwrap();
        tar.finish().unwrap();
        bench.home.ends(4, &["verify", text(&bare)]);
    }
    assert!(!bench.home.path("outside").exists());
    assert_eq!(bench.left(), [""; 0]);
}

/// Real programs in a directory of our own, one of them replaced.
fn programs(bench: &Bench, replaced: &str, script: Option<&str>) -> PathBuf {
    let bin = bench.home.path("bin");
    fs::create_dir_all(&bin).unwrap();
    for program in ["psql", "pg_dump", "pg_restore", "pg_dumpall"] {
        let real = bench.cluster.client(program, "").get_program().to_owned();
        let place = bin.join(program);
        let real = PathBuf::from(real).display().to_string();
        if program != replaced {
            std::os::unix::fs::symlink(real, &place).unwrap();
        } else if let Some(script) = script {
            let version = format!("case $1 in --version) exec {real} --version;; esac");
            fs::write(
                &place,
                format!("#!/bin/sh\nreal={real}\n{version}\n{script}\n"),
            )
            .unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
    bin
}

fn fails_with(program: &str, script: &str, arguments: &[&str], words: &str) {
    let Some(bench) = Bench::start(FILL) else {
        return;
    };
    let bin = programs(&bench, program, Some(script));
    let bench = bench.configure(&format!("client_bin_dir = \"{}\"", bin.display()));
    let output = bench
        .home
        .ends(1, &[&["backup", "db", "shop"], arguments].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(words), "{said}");
    let listed = bench.home.json(&["list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 0);
    assert_eq!(bench.left(), [""; 0]);
}

#[test]
fn a_pg_dump_that_fails_after_a_whole_custom_archive_is_no_backup() {
    let script = "$real \"$@\"; echo 'late' >&2; exit 1";
    fails_with("pg_dump", script, &["--format", "custom"], "late");
}

#[test]
fn a_custom_archive_that_is_cut_with_exit_0_is_no_backup() {
    let script = "$real \"$@\" | head -c 300000";
    fails_with("pg_dump", script, &["--format", "custom"], "pg_restore");
}

#[test]
fn a_pg_restore_that_fails_makes_no_backup() {
    let script = "cat >/dev/null; echo 'broken library' >&2; exit 1";
    fails_with(
        "pg_restore",
        script,
        &["--format", "custom"],
        "broken library",
    );
}

#[test]
fn a_pg_restore_whose_text_is_not_whole_makes_no_backup() {
    let script = "$real \"$@\" | head -c 100000";
    fails_with("pg_restore", script, &["--format", "custom"], "cut off");
}

#[test]
fn a_pg_dump_of_several_jobs_that_is_killed_leaves_nothing() {
    let script = "$real \"$@\"; kill -9 $$";
    fails_with(
        "pg_dump",
        script,
        &["--format", "directory", "-j", "4"],
        "signal: 9",
    );
}

#[test]
fn a_run_that_was_killed_is_swept_by_the_next() {
    let Some(bench) = Bench::start(FILL) else {
        return;
    };
    let bin = programs(&bench, "pg_dump", Some("$real \"$@\"; sleep 600"));
    let bench = bench.configure(&format!("client_bin_dir = \"{}\"", bin.display()));
    let arguments = ["backup", "db", "shop", "--format", "directory"];
    let mut child = bench.home.kluis(&arguments).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let dumped = || {
        let mut below = bench.left().into_iter();
        below.any(|name| {
            bench
                .home
                .path("work")
                .join(name)
                .join("dump/toc.dat")
                .is_file()
        })
    };
    while !dumped() {
        assert!(Instant::now() < deadline, "no dump: {:?}", bench.left());
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!bench.left().is_empty());
    let bench = bench.configure("");
    bench.back_up(&["--format", "directory"]);
    assert_eq!(bench.left(), [""; 0]);
}

#[test]
fn options_of_pg_dump_count_in_every_format() {
    let sql = "CREATE ROLE keeper; CREATE TABLE log (id int); INSERT INTO log VALUES (1); \
               CREATE TABLE kept (id int, name text); INSERT INTO kept VALUES (1, 'a'), (2, 'b'); \
               ALTER TABLE kept OWNER TO keeper; COMMENT ON TABLE kept IS 'a comment';";
    let Some(bench) = Bench::start(sql) else {
        return;
    };
    let options = [
        "--inserts",
        "--rows-per-insert=10",
        "--no-owner",
        "--no-comments",
    ];
    let quoted = options.map(|option| format!("{option:?}")).join(", ");
    let line = format!("dump_options = [{quoted}, \"--exclude-table-data=log\"]");
    let bench = bench.configure(&line);
    for format in FORMATS {
        let archive = bench.back_up(&["--format", format]);
        let copy = format!("copy_{format}");
        bench.home.run(&["verify", name(&archive)]);
        bench
            .home
            .run(&["restore", name(&archive), "--into", &copy, "--as-superuser"]);
        let ask = |sql| bench.cluster.psql(&copy, sql);
        assert_eq!(ask("SELECT count(*) FROM log"), "0", "{format}");
        assert_eq!(ask("SELECT count(*) FROM kept"), "2", "{format}");
        let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'";
        assert_eq!(ask(owner), "postgres", "{format}");
        assert_eq!(
            ask("SELECT count(*) FROM pg_description WHERE description = 'a comment'"),
            "0"
        );
        let shown = bench.home.json(&["show", name(&archive)]);
        let recorded = shown["manifest"]["database"]["options"].as_array().unwrap();
        assert_eq!(recorded.len(), 5, "{format}");
    }
}

#[test]
fn refused_options_end_with_2_and_the_way_out() {
    let home = Home::new();
    for (option, words) in [
        ("--format=tar", "use --format"),
        ("--fil=/x", "may mean --file"),
        ("-Fc", "no long option"),
        ("--clean", "refused"),
    ] {
        let line = format!("[database]\ndump_options = [\"{option}\"]\n");
        fs::write(home.path("kluis.toml"), line).unwrap();
        let output = home.ends(2, &["backup", "db", "shop"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words), "{option}: {said}");
    }
}

#[test]
fn several_jobs_need_the_directory_format() {
    let output = Home::new().ends(2, &["backup", "db", "shop", "-j", "4"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("--format directory"), "{said}");
}

#[test]
fn a_file_that_is_not_ours_is_named_by_its_path_where_adopt_is_advised() {
    let home = Home::new();
    fs::create_dir(home.path("app")).unwrap();
    let elsewhere = home.path("elsewhere");
    let given = elsewhere.to_str().unwrap();
    home.run(&["-s", given, "backup", "source", "app", "--no-encrypt"]);
    let files = fs::read_dir(&elsewhere).unwrap();
    let mut files = files.map(|it| it.unwrap().path());
    let archive = files.find(|it| it.to_str().unwrap().ends_with(".tar.gz"));
    // Without its manifest, nothing vouches for it.
    let archive = archive.unwrap();
    let alone = home.path(archive.file_name().unwrap().to_str().unwrap());
    fs::copy(&archive, &alone).unwrap();
    let archive = alone.to_str().unwrap().to_owned();
    let output = home.ends(2, &["restore", &archive, "--to", "out"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("`kluis adopt {archive}`")), "{said}");
}
