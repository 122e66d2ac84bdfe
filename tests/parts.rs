//! Dumps of a part: every kind, in every format, is proven and comes back, and the
//! schema `public` with it as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::Cluster;
use crate::support::house::House;
use crate::support::majors::programs;

const SHOP: &str = "
CREATE EXTENSION hstore;
CREATE SCHEMA s;
CREATE TABLE public.item (id serial PRIMARY KEY, name text NOT NULL, more hstore);
INSERT INTO public.item (name, more) SELECT md5(i::text), 'a=>1' FROM generate_series(1, 99) AS i;
CREATE FUNCTION public.name_of(i int) RETURNS text LANGUAGE sql
  AS $$ SELECT name FROM public.item WHERE id = i $$;
CREATE VIEW public.items AS SELECT id FROM public.item;
COMMENT ON VIEW public.items IS 'CREATE SCHEMA public;';
CREATE TABLE public.note (line text);
INSERT INTO public.note VALUES ('CREATE SCHEMA public;'), ('SET transaction_timeout = 0;');
CREATE TABLE s.log (id bigint GENERATED ALWAYS AS IDENTITY, more hstore);
INSERT INTO s.log (more) SELECT 'b=>2' FROM generate_series(1, 50);
CREATE INDEX ON s.log USING gin (more);
SELECT lo_from_bytea(0, 'x');
";

/// pg_dump's flags, and further options of it.
const PARTS: &[(&[&str], &[&str])] = &[
    (&["-n", "public"], &[]),
    (&["-n", "s"], &[]),
    (&["-n", "pub*"], &[]),
    (&["-n", "public", "-n", "s"], &["--quote-all-identifiers"]),
    (&["-n", "public"], &["--exclude-table-data=public.item"]),
    (&["-n", "public"], &["--schema-only"]),
    (&["-t", "s.log"], &[]),
    (&["-t", "public.item*", "-t", "s.log"], &[]),
    (&["-N", "s"], &[]),
    (&["-N", "public"], &[]),
    (&["-T", "public.note"], &[]),
    (&[], &["--exclude-table-data=public.item"]),
    (&[], &["--schema-only"]),
];

struct Bench {
    house: House,
    cluster: Cluster,
    /// Further lines of `[database]`.
    settings: String,
}

impl Bench {
    fn start() -> Option<Self> {
        Self::with(Cluster::start()?, 15)
    }

    /// With the programs of `major`.
    fn with(cluster: Cluster, major: u32) -> Option<Self> {
        let settings = format!("client_bin_dir = {:?}\n", programs(major)?);
        cluster.create_db("shop");
        cluster.psql("shop", SHOP);
        let mut house = House::new();
        house.set("DATABASE_URL", &cluster.url("shop"));
        Some(Self {
            house,
            cluster,
            settings,
        })
    }

    fn back_up(&self, format: &str, flags: &[&str], options: &[&str]) {
        let settings = &self.settings;
        let config = format!("[database]\n{settings}dump_options = {options:?}\n");
        fs::write(self.house.path("kluis.toml"), config).unwrap();
        let arguments = [&["backup", "db", "--format", format], flags].concat();
        self.house.run(&arguments);
    }
}

fn every_part_is_proven(format: &str) {
    let Some(bench) = Bench::start() else {
        return;
    };
    for (flags, options) in PARTS {
        eprintln!("{flags:?} {options:?}");
        bench.back_up(format, flags, options);
        let in_server = [
            "verify",
            "--restore",
            "latest",
            "--in-server",
            "--as-superuser",
        ];
        bench.house.run(&in_server);
        bench
            .house
            .run(&["restore", "latest", "--into", "copy", "--as-superuser"]);
        bench.cluster.psql("postgres", "DROP DATABASE copy");
    }
    bench.back_up(format, &["-n", "public"], &[]);
    bench.house.run(&["verify", "--restore", "latest"]);
}

#[test]
fn every_part_in_plain_format_is_proven() {
    every_part_is_proven("plain");
}

#[test]
fn every_part_in_custom_format_is_proven() {
    every_part_is_proven("custom");
}

#[test]
fn every_part_in_directory_format_is_proven() {
    every_part_is_proven("directory");
}

/// What the original's `public` was made by, each from that of a new database.
const PUBLICS: &[&str] = &[
    "",
    "ALTER SCHEMA public OWNER TO clerk; GRANT USAGE, CREATE ON SCHEMA public TO reader; \
     REVOKE ALL ON SCHEMA public FROM PUBLIC; COMMENT ON SCHEMA public IS 'ours'",
    "COMMENT ON SCHEMA public IS NULL; GRANT CREATE ON SCHEMA public TO PUBLIC",
    "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE public.item (id int)",
];

/// Owner, grants and comment.
fn public(cluster: &Cluster, database: &str) -> String {
    let sql = "SELECT nspowner::regrole, obj_description(oid), (SELECT string_agg(concat_ws(' ', \
                 grantor::regrole, grantee::regrole, privilege_type), ',' ORDER BY grantee, \
                 privilege_type) FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner)))) \
               FROM pg_namespace WHERE nspname = 'public'";
    cluster.psql(database, sql)
}

#[test]
fn the_schema_public_comes_back_as_it_was_wherever_it_goes() {
    for major in [14, 15, 18] {
        let cluster = Cluster::of_major(major);
        let Some(bench) = cluster.and_then(|cluster| Bench::with(cluster, major)) else {
            continue;
        };
        eprintln!("PostgreSQL {major}");
        // That it was made anew pg_dump 14 does not tell, of no part and of no whole.
        let made_by = if major == 14 { &PUBLICS[..3] } else { PUBLICS };
        comes_back_as_it_was(&bench, made_by);
    }
}

fn comes_back_as_it_was(bench: &Bench, publics: &[&str]) {
    let Bench { house, cluster, .. } = bench;
    cluster.psql("postgres", "CREATE ROLE clerk; CREATE ROLE reader");
    for made_by in publics {
        eprintln!("{made_by}");
        cluster.psql("postgres", "DROP DATABASE shop");
        cluster.create_db("shop");
        cluster.psql("shop", "CREATE TABLE public.item AS SELECT 1 AS id");
        cluster.psql("shop", made_by);
        let before = public(cluster, "shop");
        bench.back_up("plain", &["-n", "public"], &[]);
        let id = house.run(&["list", "--json"]);
        let id: serde_json::Value = serde_json::from_slice(&id.stdout).unwrap();
        let id = id["backups"][0]["id"].as_str().unwrap();
        let into = |flags: &[&str]| {
            let arguments = [&["restore", id, "--as-superuser", "--yes"], flags].concat();
            house.run(&arguments);
        };
        into(&["--into", "copy"]);
        assert_eq!(public(cluster, "copy"), before);
        cluster.psql("postgres", "DROP DATABASE copy");
        cluster.create_db("copy");
        into(&["--into", "copy", "--in-place"]);
        assert_eq!(public(cluster, "copy"), before);
        cluster.psql("postgres", "DROP DATABASE copy");
        let changed = "ALTER SCHEMA public OWNER TO reader; COMMENT ON SCHEMA public IS 'later'";
        for flags in [
            &["--replace", "--part"][..],
            &["--replace", "--part", "--in-place"],
        ] {
            cluster.psql("shop", changed);
            into(flags);
            assert_eq!(public(cluster, "shop"), before, "{flags:?}");
        }
    }
}

#[test]
fn the_schema_public_comes_back_to_a_role_that_is_no_superuser() {
    let Some(mut bench) = Bench::start() else {
        return;
    };
    let sql = "DROP DATABASE shop; CREATE ROLE clerk LOGIN CREATEDB; \
               CREATE DATABASE shop OWNER clerk TEMPLATE template0";
    sql.split("; ")
        .for_each(|sql| drop(bench.cluster.psql("postgres", sql)));
    let sql = "SET ROLE clerk; CREATE TABLE public.item AS SELECT 1 AS id; \
               COMMENT ON SCHEMA public IS NULL; REVOKE USAGE ON SCHEMA public FROM PUBLIC";
    bench.cluster.psql("shop", sql);
    let before = public(&bench.cluster, "shop");
    bench.back_up("plain", &["-n", "public"], &[]);
    // A superuser fills it with the owner's rights alone.
    bench.house.run(&["restore", "latest", "--into", "copy"]);
    assert_eq!(public(&bench.cluster, "copy"), before);
    let url = bench.cluster.url("shop").replace("postgres@", "clerk@");
    bench.house.set("DATABASE_URL", &url);
    bench.back_up("plain", &["-n", "public"], &[]);
    bench.house.run(&["restore", "latest", "--into", "other"]);
    assert_eq!(public(&bench.cluster, "other"), before);
    bench
        .house
        .run(&["restore", "latest", "--replace", "--part", "--yes"]);
    assert_eq!(public(&bench.cluster, "shop"), before);
}

#[test]
fn a_setting_that_the_server_does_not_know_is_left_out_and_told() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let (Some(older), Some(newer)) = (programs(15), programs(17)) else {
        return;
    };
    let Some(mut bench) = Bench::with(cluster, 15) else {
        return;
    };
    // As where no pg_dump 15 is: 17 writes SET transaction_timeout. It runs where its
    // version is asked for too, or walls would be put up that only 15 runs within.
    let bin = bench.house.path("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["pg_dump", "pg_restore"] {
        let [older, newer] = [&older, &newer].map(|bin| bin.join(name).display().to_string());
        let text = format!(
            "#!/bin/sh\ncase $1 in --version) {newer} $1 >/dev/null && exec {older} $1;; esac\n\
             exec {newer} \"$@\"\n"
        );
        fs::write(bin.join(name), text).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench.settings = format!("client_bin_dir = {bin:?}\n");
    for format in ["plain", "custom", "directory"] {
        bench.back_up(format, &[], &[]);
        for arguments in [
            &["verify", "--restore", "latest", "--json"][..],
            &["restore", "latest", "--into", "copy", "--as-superuser"],
            &["restore", "latest", "--replace", "--yes", "--as-superuser"],
        ] {
            let output = bench.house.run(arguments);
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            let told = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let expected = "left out: SET transaction_timeout, which PostgreSQL 15 does not know";
            assert!(told.contains(expected), "{arguments:?}: {said}");
        }
        let sql = "SELECT count(*) FROM item, note WHERE line LIKE 'SET%'";
        assert_eq!(bench.cluster.psql("copy", sql), "99");
        bench.cluster.psql("postgres", "DROP DATABASE copy");
    }
}

#[test]
fn a_pattern_that_finds_nothing_is_an_error_unless_that_is_said() {
    let Some(bench) = Bench::start() else {
        return;
    };
    let ends = |code: i32, format: &str, flags: &[&str]| {
        let arguments = [&["backup", "db", "--format", format], flags].concat();
        let output = bench.house.kluis().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for format in ["plain", "custom", "directory"] {
        for flags in [
            ["-t", "item", "-t", "no_such"],
            ["-n", "s", "-n", "no_such*"],
        ] {
            let said = ends(1, format, &flags);
            assert!(said.contains("no_such"), "{said}");
            assert!(said.contains("--ignore-missing"), "{said}");
            ends(0, format, &[&flags[..], &["--ignore-missing"]].concat());
        }
    }
    assert_eq!(bench.house.listed().len(), 6);
    // A part of nothing is none.
    let said = ends(1, "plain", &["-n", "no_such", "--ignore-missing"]);
    assert!(!said.contains("say --ignore-missing"), "{said}");
    bench.house.run(&["verify", "--restore", "latest"]);
}
