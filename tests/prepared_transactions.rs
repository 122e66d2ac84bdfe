//! Prepared transactions in the way of a restore: no session shows them, and none of them
//! goes by itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::house::House;
use crate::support::{Cluster, ClusterOptions};

struct Site {
    house: House,
    cluster: Cluster,
}

impl Site {
    fn new() -> Option<Self> {
        let options = ClusterOptions {
            settings: vec!["max_prepared_transactions=5".to_owned()],
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start_with(options)?;
        cluster.create_db("shop");
        cluster.psql("shop", "CREATE TABLE t AS SELECT 7 AS i");
        cluster.psql(
            "postgres",
            "CREATE ROLE bob LOGIN; CREATE DATABASE bare TEMPLATE template0;
             GRANT CREATE ON DATABASE shop, bare TO bob",
        );
        let house = House::new();
        let site = Self { house, cluster };
        site.ends(0, &["backup", "db", "shop"]);
        Some(site)
    }

    fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let mut command = self.house.kluis();
        let url = self.cluster.url("shop");
        let output = command.args(arguments).env("DATABASE_URL", url).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        said
    }

    fn prepare(&self, database: &str, change: &str) {
        let sql = format!(
            "SET SESSION AUTHORIZATION bob; BEGIN; {change}; PREPARE TRANSACTION 'it''s bob''s'"
        );
        self.cluster.psql(database, &sql);
    }

    fn roll_back(&self, database: &str) {
        self.cluster
            .psql(database, "ROLLBACK PREPARED 'it''s bob''s'");
    }

    /// A pg_dump that prepares a `change` in `database`, both texts for a shell in which
    /// `$copy` is the staging database, before it dumps: that is complete by then, and is
    /// about to be compared.
    fn prepare_at_the_comparison(&self, database: &str, change: &str) {
        let directory = self.house.path("clients");
        fs::create_dir_all(&directory).unwrap();
        let bin = "/usr/lib/postgresql/15/bin";
        let bin = std::env::var("KLUIS_TEST_PG_BIN").unwrap_or(bin.to_owned());
        let copies = "SELECT datname FROM pg_database WHERE datname ~ '_kluis_'";
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" != --version ]; then\n\
             copy=$({bin}/psql -X -A -t -d postgres -c \"{copies}\")\n\
             {bin}/psql -X -q -d \"{database}\" -c BEGIN -c \"{change}\" \
             -c \"PREPARE TRANSACTION 'late'\" >&2\nfi\nexec {bin}/pg_dump \"$@\"\n"
        );
        for (program, text) in [
            ("pg_dump", script),
            ("psql", format!("#!/bin/sh\nexec {bin}/psql \"$@\"\n")),
        ] {
            let path = directory.join(program);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = format!("[database]\nclient_bin_dir = {:?}\n", directory.display());
        fs::write(self.house.path("kluis.toml"), text).unwrap();
    }

    fn databases(&self) -> String {
        let sql = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database \
                   WHERE datname !~ '^(postgres|template)'";
        self.cluster.psql("postgres", sql)
    }
}

const REPLACE: [&str; 5] = [
    "restore",
    "latest:shop",
    "--replace",
    "--yes",
    "--no-pre-restore-backup",
];

#[test]
fn they_are_told_before_anything_is_restored() {
    let Some(site) = Site::new() else { return };
    let into = ["restore", "latest:shop", "--into", "bare"];
    let of_shop = "ALTER ROLE bob IN DATABASE shop SET work_mem = '7MB'";
    for (database, change, arguments) in [
        ("shop", "CREATE SCHEMA half", &REPLACE[..]),
        ("bare", "CREATE SCHEMA half", &into),
        // A lock on it is held from another one.
        ("postgres", of_shop, &REPLACE),
    ] {
        site.prepare(database, change);
        let said = site.ends(1, &[arguments, &["--dry-run"]].concat());
        for told in [
            format!("'it''s bob''s' in the database \"{database}\", of the role \"bob\", since 20"),
            "COMMIT PREPARED 'it''s bob''s'; or ROLLBACK PREPARED 'it''s bob''s';".to_owned(),
        ] {
            assert!(said.contains(&told), "{told}: {said}");
        }
        site.roll_back(database);
        site.ends(0, arguments);
    }
}

#[test]
fn one_that_comes_up_meanwhile_is_told_at_the_swap() {
    let Some(site) = Site::new() else { return };
    site.prepare_at_the_comparison("shop", "CREATE SCHEMA late");
    let said = site.ends(1, &REPLACE);
    for told in ["nothing was restored", "'late' in the database \"shop\""] {
        assert!(said.contains(told), "{told}: {said}");
    }
    assert_eq!(site.databases(), "bare shop");
}

/// Whoever owns what is filled may be in it, and every role may set something for itself
/// in any database.
#[test]
fn none_in_the_way_of_the_copy_keeps_a_restore_from_ending() {
    let Some(site) = Site::new() else { return };
    let of_copy = "ALTER ROLE bob IN DATABASE \\\"$copy\\\" SET work_mem = '7MB'";
    for (database, change) in [("$copy", "CREATE SCHEMA late"), ("postgres", of_copy)] {
        site.prepare_at_the_comparison(database, change);
        site.ends(0, &REPLACE);
        assert_eq!(site.databases(), "bare shop");
        let left = "SELECT count(*) FROM pg_prepared_xacts";
        assert_eq!(site.cluster.psql("postgres", left), "0");
    }
}

/// Its bytes are none in the encoding of other databases.
#[test]
fn one_with_a_name_in_no_encoding_is_told_and_rolled_back() {
    let Some(site) = Site::new() else { return };
    let sql = "CREATE DATABASE bytes TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'";
    site.cluster.psql("postgres", sql);
    let sql = "BEGIN; ALTER ROLE bob IN DATABASE shop SET work_mem = '7MB';
        PREPARE TRANSACTION E'caf\\xe9'";
    site.cluster.psql("bytes", sql);
    let said = site.ends(1, &REPLACE);
    assert!(
        said.contains("'caf\\xe9' in the database \"bytes\""),
        "{said}"
    );
    let sql = "ROLLBACK PREPARED E'caf\\xe9'";
    site.cluster.psql("bytes", sql);
    let of_copy = "ALTER ROLE bob IN DATABASE \\\"$copy\\\" SET work_mem = '7MB'";
    site.prepare_at_the_comparison("bytes", of_copy);
    let wrapper = site.house.path("clients/pg_dump");
    let text = fs::read_to_string(&wrapper).unwrap();
    fs::write(&wrapper, text.replace("'late'", "E'caf\\xe9'")).unwrap();
    site.ends(0, &REPLACE);
    assert_eq!(site.databases(), "bare bytes shop");
}

/// Only a superuser may roll back another role's.
#[test]
fn what_a_plain_role_may_not_roll_back_is_told() {
    let Some(site) = Site::new() else { return };
    site.cluster.psql(
        "postgres",
        "CREATE ROLE app LOGIN CREATEDB; ALTER DATABASE shop OWNER TO app",
    );
    site.cluster.psql("shop", "ALTER TABLE t OWNER TO app");
    site.ends(0, &["backup", "db", "shop"]);
    let of_copy = "ALTER ROLE postgres IN DATABASE \\\"$copy\\\" SET work_mem = '7MB'";
    site.prepare_at_the_comparison("postgres", of_copy);
    let wrapper = site.house.path("clients/pg_dump");
    let text = fs::read_to_string(&wrapper).unwrap();
    let text = text.replace("psql -X -q -d", "psql -X -q -U postgres -d");
    fs::write(&wrapper, text).unwrap();
    let url = site.cluster.url("shop").replace("postgres@", "app@");
    let said = site.ends(1, &[&REPLACE[..], &["--url", &url]].concat());
    let told = "'late' in the database \"postgres\", of the role \"postgres\", since 20";
    assert!(said.contains(told), "{said}");
}
