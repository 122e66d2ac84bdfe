//! What the comparison of two ledgers must find in a restored copy, and what
//! must not make an equal copy look different. Against real servers: the
//! ledgers are of dumps that are made of the database and of its copy. The same
//! through the real binary, where the copy is damaged while it is restored.

use std::path::PathBuf;

use kluis::cancel::Cancel;
use kluis::ledger::{Columns, Ledger};
use kluis::postgres::{Access, ClientSearch, ConnectionSettings, DumpOptions, Server, dump_ledger};

use crate::support::Cluster;
use crate::support::home::Home;

const SHOP: &str = "
    CREATE TABLE item (id integer PRIMARY KEY, name text, price numeric, at timestamptz, picture bytea);
    INSERT INTO item SELECT g, 'item ' || g, g / 3.0, timestamptz '2026-01-01 00:00+00' + g * interval '7 hours',
        decode(md5(g::text), 'hex') FROM generate_series(1, 1000) g;
    CREATE TABLE without_key (a integer, b text);
    INSERT INTO without_key SELECT g % 10, 'ünï ' || g % 10 FROM generate_series(1, 100) g;
    CREATE TABLE part (id integer, t text) PARTITION BY HASH (id);
    CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO part SELECT g, g::text FROM generate_series(1, 100) g;
    CREATE TABLE empty (a integer);
    CREATE SEQUENCE numbers;
    SELECT setval('numbers', 41);
    CREATE INDEX item_name ON item (name);
    CREATE VIEW dear AS SELECT * FROM item WHERE price > 100;
    CREATE FUNCTION one() RETURNS integer LANGUAGE sql AS 'SELECT 1';
    ALTER TABLE item ADD CONSTRAINT priced CHECK (price > 0);
    SELECT lo_from_bytea(4200001, '\\x00ff'), lo_from_bytea(4200002, '');";

fn server(cluster: &Cluster) -> Server {
    let settings = ConnectionSettings::from_url(&cluster.url("postgres"), &Default::default());
    let clients = ClientSearch::new(None::<PathBuf>, None);
    Server::connect(Access::Direct(settings.unwrap()), clients, "postgres").unwrap()
}

fn ledger(server: &Server, database: &str) -> Ledger {
    dump_ledger(
        server,
        database,
        &DumpOptions::default(),
        &Columns::default(),
        &Cancel::default(),
        &|_| {},
    )
    .unwrap()
}

fn shop() -> Option<(Cluster, Server)> {
    let cluster = Cluster::start()?;
    cluster.create_db("shop");
    cluster.psql("shop", SHOP);
    let server = server(&cluster);
    Some((cluster, server))
}

/// Damage to a copy, and how each difference that is told of it begins.
const DAMAGE: &[(&str, &[&str])] = &[
    (
        "UPDATE item SET price = price + 0.0000000000000000001 WHERE id = 500",
        &["table public.item has 1000 rows as it should, but not the same ones"],
    ),
    (
        "UPDATE item SET picture = set_byte(picture, 15, get_byte(picture, 15) # 1) WHERE id = 1",
        &["table public.item has 1000 rows as it should, but not the same ones"],
    ),
    (
        "UPDATE item SET name = NULL WHERE id = 7",
        &["table public.item has 1000 rows as it should, but not the same ones"],
    ),
    (
        "DELETE FROM item WHERE id = 1000",
        &["table public.item has 999 rows instead of 1000"],
    ),
    (
        "INSERT INTO without_key VALUES (3, 'ünï 3')",
        &["table public.without_key has 101 rows instead of 100"],
    ),
    (
        "DELETE FROM without_key WHERE ctid = '(0,1)'; INSERT INTO without_key VALUES (2, 'ünï 2')",
        &["table public.without_key has 100 rows as it should, but not the same ones"],
    ),
    (
        "UPDATE item AS i SET name = o.name FROM item AS o WHERE (i.id, o.id) IN ((1, 2), (2, 1))",
        &["table public.item has 1000 rows as it should, but not the same ones"],
    ),
    (
        "UPDATE part SET t = 'other' WHERE id = (SELECT min(id) FROM part_1)",
        &["table public.part_1 has 48 rows as it should, but not the same ones"],
    ),
    (
        "DROP TABLE part_1",
        &[
            "table public.part_1 (48 rows) is missing",
            "5 objects of type TABLE instead of 6",
            "1 objects of type TABLE ATTACH instead of 2",
            "4 objects of type TABLE DATA instead of 5",
        ],
    ),
    (
        "INSERT INTO empty VALUES (NULL)",
        &["table public.empty has 1 row instead of 0"],
    ),
    (
        "SELECT setval('numbers', 42)",
        &["sequence public.numbers is at 42 instead of at 41"],
    ),
    (
        "SELECT setval('numbers', 41, false)",
        &["sequence public.numbers is at 41, not yet handed out instead of at 41"],
    ),
    (
        "SELECT lo_put(4200001, 1, '\\xfe')",
        &["large objects: 2 with 2 bytes"],
    ),
    (
        "SELECT lo_unlink(4200002)",
        &[
            "1 objects of type BLOB instead of 2",
            "large objects: 1 with 2 bytes",
        ],
    ),
    (
        "DROP INDEX item_name",
        &["0 objects of type INDEX instead of 1"],
    ),
    ("DROP VIEW dear", &["0 objects of type VIEW instead of 1"]),
    (
        "DROP FUNCTION one()",
        &["0 objects of type FUNCTION instead of 1"],
    ),
];

#[test]
fn each_damage_to_a_copy_is_found() {
    let Some((cluster, server)) = shop() else {
        return;
    };
    let dumped = ledger(&server, "shop");
    for (damage, expected) in DAMAGE {
        cluster.psql("postgres", "CREATE DATABASE copy TEMPLATE shop");
        assert_eq!(
            dumped.differences(&ledger(&server, "copy")),
            [],
            "untouched"
        );
        cluster.psql("copy", damage);
        let found = dumped.differences(&ledger(&server, "copy"));
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), expected.len(), "{damage}: {told:?}");
        for (told, expected) in told.iter().zip(*expected) {
            assert!(told.starts_with(expected), "{damage}: {told}");
        }
        cluster.psql("postgres", "DROP DATABASE copy");
    }
}

/// A copy has none of its original's settings until it takes its place, and a
/// throwaway server has another configuration altogether.
#[test]
fn settings_of_a_database_or_a_role_change_nothing_in_its_ledger() {
    let Some((cluster, server)) = shop() else {
        return;
    };
    let dumped = ledger(&server, "shop");
    for (name, value) in [
        ("TimeZone", "Asia/Kathmandu"),
        ("bytea_output", "escape"),
        ("client_encoding", "LATIN1"),
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "iso_8601"),
        ("extra_float_digits", "-15"),
        ("standard_conforming_strings", "off"),
        ("quote_all_identifiers", "on"),
        ("search_path", "pg_temp"),
        ("default_transaction_read_only", "on"),
        ("row_security", "off"),
        ("xmloption", "document"),
        ("statement_timeout", "100"),
    ] {
        for owner in ["DATABASE shop", "ROLE postgres"] {
            let set = format!("ALTER {owner} SET {name} TO '{value}'");
            cluster.psql("template1", &set);
            let found = dumped.differences(&ledger(&server, "shop"));
            assert_eq!(found, [], "{set}");
            let reset = format!(
                "SET statement_timeout = 0; SET default_transaction_read_only = off; ALTER {owner} RESET {name}"
            );
            cluster.psql("template1", &reset);
        }
    }
}

/// Every database that is made on this server from now on is damaged as its
/// first index is built, when all rows are there, and shows no trace of how.
fn damage_restores(cluster: &Cluster, damage: &str) {
    cluster.psql(
        "postgres",
        "ALTER DATABASE template0 ALLOW_CONNECTIONS true",
    );
    let trap = format!(
        "DROP EVENT TRIGGER IF EXISTS trap;
         CREATE OR REPLACE FUNCTION public.trap() RETURNS event_trigger LANGUAGE plpgsql AS $trap$
         BEGIN
             SET LOCAL search_path = public, pg_catalog;
             {damage};
             SET LOCAL search_path = '';
             DROP EVENT TRIGGER trap;
             DROP FUNCTION public.trap();
         END $trap$;
         CREATE EVENT TRIGGER trap ON ddl_command_end WHEN TAG IN ('CREATE INDEX')
             EXECUTE FUNCTION public.trap();
         ALTER EVENT TRIGGER trap ENABLE ALWAYS"
    );
    cluster.psql("template0", &trap);
}

/// Damage in PL/pgSQL, and what the report must name.
const DAMAGE_ON_THE_WAY: &[(&str, &str)] = &[
    (
        "UPDATE item SET name = 'another' WHERE id = 7",
        "public.item",
    ),
    ("DELETE FROM item WHERE id = 1000", "public.item"),
    (
        "INSERT INTO without_key VALUES (3, 'ünï 3')",
        "public.without_key",
    ),
    ("PERFORM setval('numbers', 42)", "public.numbers"),
    ("PERFORM lo_put(4200001, 1, '\\xfe')", "large objects"),
    ("DROP VIEW dear", "VIEW"),
];

#[test]
fn a_copy_that_was_damaged_while_it_was_restored_is_not_what_was_backed_up() {
    let Some((cluster, _)) = shop() else {
        return;
    };
    let home = Home::new().set("DATABASE_URL", &cluster.url("shop"));
    home.run(&["backup", "db"]);
    home.run(&[
        "verify",
        "latest",
        "--restore",
        "--in-server",
        "--as-superuser",
    ]);
    let shop = cluster.psql("shop", "SELECT oid FROM pg_database WHERE datname = 'shop'");
    for (damage, told) in DAMAGE_ON_THE_WAY {
        damage_restores(&cluster, damage);
        let output = home.ends(
            4,
            &[
                "verify",
                "latest",
                "--restore",
                "--in-server",
                "--as-superuser",
            ],
        );
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(told), "{damage}: {said}");
        let replace = ["restore", "latest", "--replace", "--yes"];
        home.ends(4, &[&replace[..], &["--no-pre-restore-backup"]].concat());
        let still = cluster.psql("shop", "SELECT oid FROM pg_database WHERE datname = 'shop'");
        assert_eq!(still, shop, "{damage}: swapped");
        let left = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";
        let left = cluster.psql("postgres", left);
        assert_eq!(left, "postgres shop template0 template1", "{damage}");
    }
}

/// Damage to tables that come back with their columns in another order.
const DAMAGE_TO_CHILDREN: [(&str, &str); 4] = [
    (
        "UPDATE late_child SET own = b, b = own WHERE a = 4",
        "public.late_child has 100 rows",
    ),
    (
        "UPDATE adopted SET own = b, b = own WHERE a = 4",
        "public.adopted has 100 rows",
    ),
    (
        "UPDATE adopted SET b = 'another' WHERE a = 7",
        "public.adopted has 100 rows",
    ),
    (
        "ALTER TABLE adopted RENAME own TO owned",
        "public.adopted has other columns",
    ),
];

#[test]
fn what_differs_in_a_table_of_another_column_order_is_found() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("tree");
    cluster.psql("tree", include_str!("data/column_orders.sql"));
    cluster.psql("tree", "CREATE INDEX last ON dropped (a)");
    let home = Home::new().set("DATABASE_URL", &cluster.url("tree"));
    home.run(&["backup", "db"]);
    home.run(&["restore", "latest", "--into", "copy", "--as-superuser"]);
    for (damage, told) in DAMAGE_TO_CHILDREN {
        damage_restores(&cluster, damage);
        for what in [
            &["verify", "latest", "--restore", "--in-server"][..],
            &["restore", "latest", "--into", "other"],
        ] {
            let output = home.ends(4, &[what, &["--as-superuser"]].concat());
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(said.contains(told), "{damage}: {said}");
        }
    }
}
