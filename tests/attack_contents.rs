//! Hostile contents: dumps in all three formats, and globals, that try to have psql,
//! pg_restore or the server do something beside. Whoever reads them (`adopt`,
//! `verify`, a proof in a throwaway server, a restore as a role without rights, roles
//! made by a superuser) makes no file, no connection, no database and no role that
//! was not meant. The first of them (a command behind a NUL) succeeds on 861f450.
//!
//! In the archive formats the text stands where pg_restore copies it from: in a
//! statement of the table of contents, and in the rows.

use std::fs;
use std::process::Command;

use crate::support::Cluster;
use crate::support::field::Field;
use crate::support::house;
use crate::support::house::House;
use crate::support::soak::is_soak;

/// `FILE` is a file that must not come to be, `PORT` one where nobody may connect.
const TEXTS: &[&str] = &[
    "\\! touch FILE\n",
    "SELECT 1; \\! touch FILE\n",
    "SELECT 'a\0\\! touch FILE\n';\n",
    "SELECT 1;\0\n\\! touch FILE\n",
    "/* /* */ \\! touch FILE\n*/ \\! touch FILE\n",
    "/* ' */ \\! touch FILE\n/* ' */;\n",
    "-- '\n\\! touch FILE\n-- '\n",
    "--\r\\! touch FILE\r\n",
    "SELECT E'\\'';\n\\! touch FILE\n--';\n",
    "SELECT '\\'; \\! touch FILE\n';\n",
    "SET standard_conforming_strings = off;\nSELECT '\\';\n\\! touch FILE\n--';\n",
    "SET SESSION \"standard_conforming_strings\" TO off;\nSELECT '\\'';\n\\! touch FILE\n",
    "SELECT set_config('standard_conforming_strings', 'off', false);\nSELECT '\\';\n\\! touch FILE\n--';\n",
    "SELECT $$ ' $$;\n\\! touch FILE\n",
    "SELECT $a$ $b$ $a$; \\! touch FILE\n-- $b$\n",
    "SELECT 1$a$ \\! touch FILE\n$a$;\n",
    "SELECT a$$ \\! touch FILE\n$$;\n",
    "SELECT U&\"\\0022\"; \\! touch FILE\n",
    "SELECT U&'\\' ; \\! touch FILE\n';\n",
    "SELECT U&'!0041' UESCAPE '!';\n\\! touch FILE\n",
    "SELECT \"a\"\"b\n\\! touch FILE\n\";\n\\! touch FILE\n",
    "SELECT 1 \\g |touch FILE\n",
    "SELECT 1 \\gexec\n",
    "SELECT 'touch' AS x \\gset\n\\! :x FILE\n",
    "\\set x `touch FILE`\n",
    "\\o |touch FILE\n",
    "\\o FILE\nSELECT 1;\n",
    "\\copy (SELECT 1) TO 'FILE'\n",
    "\\copy (SELECT 1) TO PROGRAM 'touch FILE'\n",
    "\\i /dev/stdin\n",
    "\\w FILE\n",
    "\\unrestrict x\n\\! touch FILE\n",
    "\\connect \"host=127.0.0.1 port=PORT dbname=x\"\n",
    "\\connect -reuse-previous=off \"host=127.0.0.1 port=PORT\"\n",
    "\\c postgres\nCREATE DATABASE planted;\n",
    "SELECT :'x', :\"x\", :x, :{?x};\n\\! touch FILE\n",
    "COPY t FROM PROGRAM 'touch FILE';\n",
    "COPY (SELECT 1) TO PROGRAM 'touch FILE';\n",
    "COPY (SELECT 1) TO 'FILE';\n",
    "COPY public.t (i) FROM stdin;\n\\.\n\\! touch FILE\n",
    "COPY public.t (i) FROM stdin;\n\\.\r\n\\! touch FILE\n\\.\n",
    "COPY public.t (i) FROM stdin;\nx \\.\n\\.\n\\! touch FILE\n",
    "copy public.t from\n-- x\nstdin;\n'\n\\.\n\\! touch FILE\n';\n",
    "COPY public.t FROM stdin \\; SELECT 1;\n\\! touch FILE\n\\.\n",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC\nSELECT 1;\n\\! touch FILE\nEND;\n",
    "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=PORT dbname=x' PUBLICATION p;\n",
    "COMMIT;\nCREATE DATABASE planted;\nBEGIN;\n",
    "COMMIT; CREATE ROLE planted SUPERUSER;\n",
    "ROLLBACK;\nCREATE ROLE planted;\n",
    "ALTER SYSTEM SET archive_command = 'touch FILE';\n",
    "SELECT lo_export(lo_from_bytea(0, 'x'), 'FILE');\n",
    "SELECT pg_file_write('FILE', 'x', false);\n",
    "\r\n\\! touch FILE\r\n",
    "\\\n\\! touch FILE\n",
    "\\",
    "SELECT 'unterminated\n\\! touch FILE\n",
    "SELECT \"unterminated\n\\! touch FILE\n",
    "SELECT $x$ unterminated\n\\! touch FILE\n",
    "/* unterminated\n\\! touch FILE\n",
    "\u{feff}\\! touch FILE\n",
    "\u{2028}\\! touch FILE\u{2028}\n",
];

/// What stands for a text until it is put in its place.
const ROOM_BYTES: usize = 400;

struct Attack {
    cluster: Cluster,
    field: Field,
    texts: Vec<Vec<u8>>,
    /// Archives are made here.
    made: tempfile::TempDir,
}

impl Attack {
    fn new() -> Option<Self> {
        let cluster = Cluster::start()?;
        let mut house = House::keyless();
        let plain_role = cluster.url("postgres").replacen("postgres@", "keeper@", 1);
        house.set("DATABASE_URL", &plain_role);
        fs::create_dir(house.storage()).unwrap();
        let field = Field::new(house);
        let port = field.canaries.port().to_string();
        let placed = |text: &&str| {
            let text = text.replace("FILE", &field.canaries.file());
            text.replace("PORT", &port).into_bytes()
        };
        let texts = TEXTS.iter().map(placed).collect();
        cluster.create_db("shop");
        let schema = format!(
            "CREATE ROLE keeper LOGIN CREATEDB; ALTER DATABASE shop OWNER TO keeper;
             SET ROLE keeper; CREATE TABLE t (v text);
             INSERT INTO t VALUES ('{}');
             COMMENT ON TABLE t IS '{}'",
            "r".repeat(ROOM_BYTES),
            "c".repeat(ROOM_BYTES)
        );
        cluster.psql("shop", &schema);
        Some(Self {
            cluster,
            field,
            texts,
            made: tempfile::tempdir().unwrap(),
        })
    }

    fn dumped(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let mut dump = self.cluster.client(program, "shop");
        let output = dump.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    }

    fn try_all(&self, file: &str, content: &[u8], commands: &[&[&str]]) {
        let path = self.field.house.storage().join(file);
        fs::write(&path, content).unwrap();
        for command in commands {
            let named = command.iter().map(|word| word.replace("THIS", file));
            let named: Vec<String> = named.collect();
            let words: Vec<&str> = named.iter().map(String::as_str).collect();
            self.field.try_to(&words);
        }
        let roles = "SELECT count(*) FROM pg_roles WHERE rolname ~ 'planted'";
        let databases = "SELECT count(*) FROM pg_database WHERE datname ~ 'planted'";
        for sql in [roles, databases] {
            let found = self.cluster.psql("postgres", sql);
            assert_eq!(found, "0", "{:?}", String::from_utf8_lossy(content));
        }
        let drop = "DROP DATABASE IF EXISTS copy";
        self.cluster.psql("postgres", drop);
        let manifest = self.field.house.storage().join(format!("{file}.json"));
        fs::remove_file(path).unwrap();
        let _ = fs::remove_file(manifest);
    }

    /// What is harmless there comes back: the others are not refused for the way in
    /// which they are made.
    fn restores(&self, file: &str, archive: &[u8]) {
        let path = self.field.house.storage().join(file);
        let harmless = in_each_place(&[b"SELECT 1;".to_vec()], archive);
        for content in &harmless[0][..2] {
            fs::write(&path, content).unwrap();
            let into = ["restore", file, "--into", "copy", "--yes", "--as-superuser"];
            let output = self.field.try_to(&into);
            assert_eq!(output.status.code(), Some(0), "{file}: {output:?}");
            self.cluster.psql("postgres", "DROP DATABASE copy");
        }
        fs::remove_file(path).unwrap();
    }

    /// `file` by a name of a format. In a soak each text comes in all places, and one in
    /// 10 is proven; or else a half of them in one place by turns, and one in 30 is proven.
    fn hold(&self, file: &str, places: &[Vec<Vec<u8>>]) {
        let all = is_soak();
        let mut proven = 0;
        for (turn, places) in places.iter().enumerate() {
            for (at, content) in places.iter().enumerate() {
                if !all && turn % (2 * places.len()) != at {
                    continue;
                }
                let mut commands: Vec<&[&str]> = vec![
                    &["adopt", "THIS"],
                    &["verify", "THIS"],
                    &[
                        "restore",
                        "THIS",
                        "--into",
                        "copy",
                        "--yes",
                        "--as-superuser",
                    ],
                ];
                if turn % if all { 10 } else { 30 } == 0 {
                    commands.push(&["verify", "--restore", "THIS"]);
                    proven += 1;
                }
                self.try_all(file, content, &commands);
            }
        }
        eprintln!("{file}: {} texts, {proven} proofs", places.len());
    }
}

/// The text in place of a placeholder with what stands around it, as long as that:
/// what tells lengths stays true.
fn in_place_of(letter: u8, text: &[u8], around: [&[u8]; 2], archive: &[u8]) -> Vec<u8> {
    let room = [around[0], &[letter; ROOM_BYTES], around[1]].concat();
    let at = archive.windows(room.len()).position(|it| it == room);
    let at = at.expect("the placeholder stands in the archive");
    let mut put = text.to_vec();
    assert!(put.len() <= room.len());
    put.resize(room.len(), b' ');
    [&archive[..at], &put, &archive[at + room.len()..]].concat()
}

/// The text as a statement, and as rows, then as what comes behind the rows.
fn in_each_place(texts: &[Vec<u8>], archive: &[u8]) -> Vec<Vec<Vec<u8>>> {
    const STATEMENT: [&[u8]; 2] = [b"COMMENT ON TABLE public.t IS '", b"';"];
    let each = texts.iter().map(|text| {
        let behind = [b"x\n\\.\n", &text[..]].concat();
        vec![
            in_place_of(b'c', text, STATEMENT, archive),
            in_place_of(b'r', text, [b"", b""], archive),
            in_place_of(b'r', &behind, [b"", b""], archive),
        ]
    });
    each.collect()
}

#[test]
fn a_hostile_plain_dump_does_nothing_beside() {
    let Some(attack) = Attack::new() else { return };
    let dump = attack.dumped("pg_dump", &[]);
    let end = b"--\n-- PostgreSQL database dump complete";
    let at = dump.windows(end.len()).position(|it| it == end).unwrap();
    let mut places = in_each_place(&attack.texts, &dump);
    for (places, text) in places.iter_mut().zip(&attack.texts) {
        places.push([&dump[..at], text, b"\n", &dump[at..]].concat());
    }
    let file = "evil_backup_2026-01-18T10-30-00.sql";
    attack.restores(file, &dump);
    attack.hold(file, &places);
}

#[test]
fn a_hostile_dump_in_custom_format_does_nothing_beside() {
    let Some(attack) = Attack::new() else { return };
    let dump = attack.dumped("pg_dump", &["--format=custom", "--compress=0"]);
    let contents = in_each_place(&attack.texts, &dump);
    let file = "evil_backup_2026-01-18T10-30-00.dump";
    attack.restores(file, &dump);
    attack.hold(file, &contents);
}

#[test]
fn a_hostile_dump_in_directory_format_does_nothing_beside() {
    let Some(attack) = Attack::new() else { return };
    let directory = attack.made.path().join("dump");
    let to = format!("--file={}", directory.display());
    attack.dumped("pg_dump", &["--format=directory", "--compress=0", &to]);
    let mut tar = Command::new("tar");
    let tar = tar.args(["-c", "--format=ustar", "-C"]).arg(&directory);
    let names = house::names(&directory);
    let output = tar.args(names).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let contents = in_each_place(&attack.texts, &output.stdout);
    let file = "evil_backup_2026-01-18T10-30-00.dir.tar";
    attack.restores(file, &output.stdout);
    attack.hold(file, &contents);
}

/// By a superuser: roles are made anew of what was understood, no text is run.
#[test]
fn hostile_globals_do_nothing_beside() {
    let Some(mut attack) = Attack::new() else {
        return;
    };
    let url = attack.cluster.url("postgres");
    attack.field.house.set("DATABASE_URL", &url);
    let dump = attack.dumped("pg_dumpall", &["--globals-only"]);
    let end = b"--\n-- PostgreSQL database cluster dump complete";
    let at = dump.windows(end.len()).position(|it| it == end).unwrap();
    let mut texts = attack.texts.clone();
    // That is what globals are for.
    texts.retain(|text| !String::from_utf8_lossy(text).contains("ROLE planted"));
    for value in attack.field.canaries.values() {
        let value: String = serde_json::from_slice(&value).unwrap_or_default();
        let name = value.replace('"', "\"\"").replace("planted", "other");
        let text = value.replace('\'', "''").replace("planted", "other");
        texts.push(format!("CREATE ROLE \"{name}\";\n").into_bytes());
        let of_one = format!(
            "CREATE ROLE one;\nALTER ROLE one WITH PASSWORD '{text}';\n\
             ALTER ROLE one WITH VALID UNTIL '{text}';\nALTER ROLE one SET search_path TO '{text}';\n\
             ALTER ROLE one SET \"{name}\" TO 'x';\nCOMMENT ON ROLE one IS '{text}';\n\
             GRANT one TO \"{name}\";\n"
        );
        texts.push(of_one.into_bytes());
    }
    for text in texts {
        let content = [&dump[..at], &text, b"\n", &dump[at..]].concat();
        attack.try_all(
            "pg_globals_backup_2026-01-18T10-30-00.sql",
            &content,
            &[
                &["verify", "THIS"],
                &["adopt", "THIS"],
                &["restore", "THIS", "--in-place", "--yes", "--as-superuser"],
                &[
                    "restore",
                    "THIS",
                    "--in-place",
                    "--yes",
                    "--dry-run",
                    "--as-superuser",
                ],
            ],
        );
        let made = "SELECT coalesce(string_agg(format('DROP ROLE %I;', rolname), ' '), '')
            FROM pg_roles WHERE rolname !~ '^pg_' AND rolname NOT IN ('postgres', 'keeper')";
        let drop = attack.cluster.psql("postgres", made);
        attack.cluster.psql("postgres", &drop);
    }
}
