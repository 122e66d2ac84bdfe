//! Restores that differ from what the dump says: without its owners and grants, as
//! another role, with a setting of the operator's.

use crate::support::Cluster;
use crate::support::home::Home;

const FORMATS: [&str; 3] = ["plain", "custom", "directory"];

/// Owners and grants of every kind that a dump has, by more than one grantor.
const OWNED: &str = r#"
    CREATE ROLE "it's; own" ; CREATE ROLE reader; CREATE ROLE granter;
    CREATE SCHEMA sales AUTHORIZATION "it's; own";
    CREATE TABLE sales.item (id int PRIMARY KEY, name text);
    INSERT INTO sales.item SELECT g, 'GRANT ALL ON x TO y;' FROM generate_series(1, 50) g;
    ALTER TABLE sales.item OWNER TO "it's; own";
    GRANT USAGE ON SCHEMA sales TO granter;
    GRANT SELECT ON sales.item TO granter WITH GRANT OPTION;
    SET ROLE granter; GRANT SELECT ON sales.item TO reader; RESET ROLE;
    GRANT UPDATE (name) ON sales.item TO PUBLIC;
    CREATE VIEW named AS SELECT name FROM sales.item; ALTER VIEW named OWNER TO reader;
    CREATE SEQUENCE counter; ALTER SEQUENCE counter OWNER TO reader;
    CREATE TYPE mood AS ENUM ('well'); ALTER TYPE mood OWNER TO reader;
    DO $$ BEGIN EXECUTE format('CREATE FUNCTION sales.wide(%s) RETURNS int LANGUAGE sql AS ''SELECT 1''',
        (SELECT string_agg('public.mood', ', ') FROM generate_series(1, 90)));
      EXECUTE format('ALTER FUNCTION sales.wide(%s) OWNER TO reader',
        (SELECT string_agg('public.mood', ', ') FROM generate_series(1, 90))); END $$;
    CREATE FUNCTION granting() RETURNS text LANGUAGE sql AS $$ SELECT '
ALTER TABLE sales.item OWNER TO "it''s; own";
GRANT ALL ON sales.item TO reader;' $$;
    SELECT lo_from_bytea(4711, 'x'); ALTER LARGE OBJECT 4711 OWNER TO reader;
    GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC;
    ALTER DEFAULT PRIVILEGES FOR ROLE reader IN SCHEMA sales GRANT SELECT ON TABLES TO PUBLIC;
    GRANT USAGE ON SCHEMA public TO reader;"#;

/// Whose what is, and what is granted, as far as it is no superuser's own.
const FOREIGN: &str =
    "SELECT (SELECT count(*) FROM pg_class WHERE relacl IS NOT NULL AND oid >= 16384)
      + (SELECT count(*) FROM pg_proc WHERE proacl IS NOT NULL AND oid >= 16384)
      + (SELECT count(*) FROM pg_largeobject_metadata WHERE lomacl IS NOT NULL)
      + (SELECT count(*) FROM pg_default_acl) || ' ' ||
    (SELECT string_agg(DISTINCT pg_get_userbyid(owner), ',') FROM (
       SELECT relowner AS owner FROM pg_class WHERE oid >= 16384
       UNION SELECT proowner FROM pg_proc WHERE oid >= 16384
       UNION SELECT lomowner FROM pg_largeobject_metadata
       UNION SELECT typowner FROM pg_type WHERE oid >= 16384
       UNION SELECT nspowner FROM pg_namespace WHERE oid >= 16384) AS all_of_them)";

/// A home with a backup of [`OWNED`] in each format, and a server without its roles.
fn elsewhere(flags: &[&str]) -> Option<(Home, Cluster)> {
    let (origin, other) = (Cluster::start()?, Cluster::start()?);
    origin.create_db("shop");
    origin.psql("shop", OWNED);
    let home = Home::new();
    for format in FORMATS {
        let arguments = [&["backup", "db", "shop", "--format", format], flags].concat();
        let url = origin.url("shop");
        let made = home.kluis(&arguments).env("DATABASE_URL", url).output();
        assert!(made.unwrap().status.success());
    }
    let home = home.set("DATABASE_URL", &other.url("postgres"));
    Some((home, other))
}

/// The three backups.
fn backups(home: &Home) -> Vec<String> {
    let listed = home.json(&["list"]);
    let rows = listed["backups"].as_array().unwrap();
    rows.iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn owners_and_grants_are_left_out_where_their_roles_are_not() {
    let Some((home, other)) = elsewhere(&[]) else {
        return;
    };
    let backups = backups(&home);
    assert_eq!(backups.len(), 3);
    for id in &backups {
        home.ends(1, &["restore", id, "--into", "copy"]);
        home.run(&[
            "restore",
            id,
            "--into",
            "copy",
            "--no-owner",
            "--no-privileges",
        ]);
        assert_eq!(other.psql("copy", FOREIGN), "0 postgres");
        // Text that only reads the same is as it was.
        let kept =
            "SELECT prosrc LIKE '%OWNER TO%GRANT ALL%' FROM pg_proc WHERE proname = 'granting'";
        assert_eq!(other.psql("copy", kept), "t");
        other.psql("postgres", "DROP DATABASE copy");
    }
    // Owners alone: then the roles that own nothing else need not be there.
    other.psql("postgres", "CREATE ROLE \"it's; own\"; CREATE ROLE reader");
    home.run(&["restore", &backups[0], "--into", "copy", "-x"]);
    let owned = other.psql("copy", FOREIGN);
    assert_eq!(owned, "0 it's; own,postgres,reader");
}

#[test]
fn the_session_becomes_the_role_that_is_named() {
    let Some((home, other)) = elsewhere(&[]) else {
        return;
    };
    other.psql(
        "postgres",
        "CREATE ROLE app; CREATE ROLE boss LOGIN CREATEDB IN ROLE app",
    );
    let id = &backups(&home)[0];
    let arguments = ["restore", id, "--into", "copy", "-O", "-x", "--role", "app"];
    home.run(&arguments);
    assert_eq!(other.psql("copy", FOREIGN), "0 app");
    other.psql("postgres", "DROP DATABASE copy");
    let boss = other.url("postgres").replace("postgres@", "boss@");
    let home = home.set("DATABASE_URL", &boss);
    home.run(&arguments);
    assert_eq!(other.psql("copy", FOREIGN), "0 app");
    let missing = [
        "restore", id, "--into", "other", "-O", "-x", "--role", "nobody",
    ];
    home.ends(1, &missing);
}

#[test]
fn a_backup_without_owners_and_grants_needs_none() {
    let Some((home, other)) = elsewhere(&["--no-owner", "--no-privileges"]) else {
        return;
    };
    for id in backups(&home) {
        home.run(&["verify", &id, "--restore"]);
        home.run(&["restore", &id, "--into", "copy", "--as-superuser"]);
        assert_eq!(other.psql("copy", FOREIGN), "0 postgres");
        other.psql("postgres", "DROP DATABASE copy");
    }
}

/// pg_dump finds names by their schemas alone, and so does who restores its dump.
const UNQUALIFIED: &str = "
    CREATE FUNCTION helper(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
    CREATE FUNCTION doubled(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
        'BEGIN RETURN helper($1) * 2; END';
    CREATE TABLE item (a int, b int GENERATED ALWAYS AS (doubled(a)) STORED);
    INSERT INTO item SELECT g FROM generate_series(1, 9) g;
    CREATE INDEX ON item (doubled(a));";

#[test]
fn a_setting_of_the_operators_counts_and_not_the_dumps() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", UNQUALIFIED);
    let home = Home::new().set("DATABASE_URL", &cluster.url("shop"));
    for format in FORMATS {
        home.run(&["backup", "db", "shop", "--format", format]);
        let failed = home
            .kluis(&["restore", "latest", "--into", "copy"])
            .output();
        let failed = failed.unwrap();
        let said = String::from_utf8_lossy(&failed.stderr);
        assert!(!failed.status.success(), "{said}");
        assert!(said.contains("helper(integer) does not exist"), "{said}");
        assert!(said.contains("--set search_path=public"), "{said}");
        let set = ["--set", "search_path=public", "--set", "work_mem=8MB"];
        home.run(&[&["restore", "latest", "--into", "copy"], &set[..]].concat());
        assert_eq!(cluster.psql("copy", "SELECT sum(b) FROM item"), "90");
        cluster.psql("postgres", "DROP DATABASE copy");
    }
    // One that the server does not know is told before anything is there.
    home.ends(
        1,
        &["restore", "latest", "--into", "copy", "--set", "no_such=1"],
    );
    home.ends(
        2,
        &[
            "restore",
            "latest",
            "--into",
            "copy",
            "--set",
            "client_encoding=GBK",
        ],
    );
}
