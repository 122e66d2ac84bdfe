//! A restore needs of a server only what the text that comes back names: roles,
//! extensions.

use std::fs;

use crate::support::Cluster;
use crate::support::house::House;

const SHOP: &str = "
CREATE ROLE clerk; CREATE ROLE reader; CREATE ROLE \"Odd, role\"; CREATE ROLE writer;
CREATE TABLE plain_t AS SELECT 1 AS id;
CREATE TABLE granted AS SELECT 2 AS id; GRANT SELECT ON granted TO reader;
CREATE TABLE owned AS SELECT 3 AS id; ALTER TABLE owned OWNER TO clerk;
CREATE TABLE guarded AS SELECT 4 AS id; ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON guarded FOR SELECT TO \"Odd, role\" USING (id > 0);
ALTER DEFAULT PRIVILEGES FOR ROLE writer GRANT SELECT ON TABLES TO reader;
";
const ROLES: [&str; 4] = ["clerk", "reader", "\"Odd, role\"", "writer"];

struct Bench {
    house: House,
    cluster: Cluster,
}

impl Bench {
    fn start() -> Option<Self> {
        let cluster = Cluster::start()?;
        cluster.create_db("shop");
        cluster.psql("shop", SHOP);
        let mut house = House::new();
        house.set("DATABASE_URL", &cluster.url("shop"));
        Some(Self { house, cluster })
    }

    fn back_up(&self, flags: &[&str], options: &[&str]) {
        let config = format!("[database]\ndump_options = {options:?}\n");
        fs::write(self.house.path("kluis.toml"), config).unwrap();
        self.house.run(&[&["backup", "db"], flags].concat());
    }

    /// Their objects go with them.
    fn drop_roles(&self) {
        self.cluster.psql("postgres", "DROP DATABASE shop");
        for role in ROLES {
            self.cluster.psql("postgres", &format!("DROP ROLE {role}"));
        }
    }

    fn restore(&self, database: &str, flags: &[&str]) {
        let arguments = ["restore", "latest", "--into", database, "--as-superuser"];
        self.house.run(&[&arguments[..], flags].concat());
    }

    /// What stands in the way.
    fn refused(&self, flags: &[&str]) -> String {
        let arguments = ["restore", "latest", "--into", "none", "--as-superuser"];
        let output = self
            .house
            .kluis()
            .args(arguments)
            .args(flags)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_table_of_a_whole_dump_needs_the_roles_that_its_own_text_names() {
    let Some(bench) = Bench::start() else {
        return;
    };
    for format in ["plain", "custom"] {
        bench.back_up(&["--format", format], &[]);
    }
    bench.drop_roles();
    bench.restore("plain", &["-t", "plain_t"]);
    assert_eq!(bench.cluster.psql("plain", "SELECT id FROM plain_t"), "1");
    for (table, role) in [
        ("granted", "reader"),
        ("owned", "clerk"),
        ("guarded", "Odd, role"),
    ] {
        let said = bench.refused(&["-t", table]);
        assert!(said.contains(role), "{said}");
        assert!(!said.contains("writer"), "{said}");
    }
    let said = bench.refused(&[]);
    assert!(said.contains("writer") && said.contains("clerk"), "{said}");
    bench.cluster.psql("postgres", "CREATE ROLE clerk");
    bench.restore("owned", &["-t", "owned", "-t", "plain_t"]);
    let sql = "SELECT relowner::regrole FROM pg_class WHERE relname = 'owned'";
    assert_eq!(bench.cluster.psql("owned", sql), "clerk");
}

#[test]
fn a_dump_without_owners_and_grants_needs_no_role_but_those_it_names() {
    let Some(bench) = Bench::start() else {
        return;
    };
    bench.cluster.psql("shop", "DROP POLICY p ON guarded");
    let options = ["--no-owner", "--no-privileges"];
    for format in ["plain", "custom", "directory"] {
        bench.back_up(&["--format", format], &options);
    }
    bench.drop_roles();
    bench.restore("copy", &[]);
    assert_eq!(bench.cluster.psql("copy", "SELECT id FROM owned"), "3");
    bench.house.run(&["verify", "--restore", "--all"]);
}

#[test]
fn a_part_needs_the_roles_and_extensions_that_it_names() {
    let Some(bench) = Bench::start() else {
        return;
    };
    // Only a superuser makes this one.
    bench.cluster.psql("shop", "CREATE EXTENSION file_fdw");
    bench.back_up(&["-t", "plain_t", "-t", "guarded"], &[]);
    let sql = "CREATE ROLE app LOGIN CREATEDB";
    bench.cluster.psql("postgres", sql);
    bench
        .cluster
        .psql("shop", "ALTER TABLE plain_t OWNER TO app");
    bench.back_up(&["-t", "plain_t"], &[]);
    bench.drop_roles();
    let mut app = Bench {
        house: bench.house,
        cluster: bench.cluster,
    };
    let url = app.cluster.url("shop").replace("postgres@", "app@");
    app.house.set("DATABASE_URL", &url);
    let arguments = ["restore", "latest", "--into", "copy"];
    let output = app.house.run(&arguments);
    assert_eq!(app.cluster.psql("copy", "SELECT id FROM plain_t"), "1");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains("file_fdw"), "{said}");
    let list = app.house.run(&["list", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let first = list["backups"][1]["id"].as_str().unwrap();
    let shown = app.house.run(&["show", first, "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let roles = &shown["manifest"]["database"]["roles"];
    assert_eq!(
        *roles,
        serde_json::json!(["Odd, role", "postgres"]),
        "{shown}"
    );
}
