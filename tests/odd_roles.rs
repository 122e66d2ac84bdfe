//! Roles whose names are bytes in no encoding, as a database in SQL_ASCII takes them:
//! what they own is backed up, proven and restored.

use crate::support::Cluster;
use crate::support::house::House;
use crate::support::majors;

/// `caf` and a byte that is no UTF-8.
const ROLE: &str = "convert_from('\\x636166e9', 'SQL_ASCII')";

fn owner(cluster: &Cluster, database: &str) -> String {
    let sql = "SELECT encode(convert_to(pg_get_userbyid(relowner), 'SQL_ASCII'), 'hex') \
               FROM pg_class WHERE relname = 'owned'";
    cluster.psql(database, sql)
}

#[test]
fn what_a_role_with_a_name_in_no_encoding_owns_comes_back() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let sql = "CREATE DATABASE shop TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'";
    cluster.psql("postgres", sql);
    let sql = format!(
        "CREATE TABLE owned AS SELECT 1 AS id; CREATE TABLE granted AS SELECT 2 AS id; DO $$ BEGIN \
         EXECUTE format('CREATE ROLE %I', {ROLE}); \
         EXECUTE format('ALTER TABLE owned OWNER TO %I', {ROLE}); \
         EXECUTE format('GRANT SELECT ON granted TO %I', {ROLE}); END $$"
    );
    cluster.psql("shop", &sql);
    assert_eq!(owner(&cluster, "shop"), "636166e9");
    let mut house = House::new();
    house.set("DATABASE_URL", &cluster.url("shop"));
    for format in ["plain", "custom", "directory"] {
        house.run(&["backup", "db", "--format", format]);
        house.run(&["verify", "--restore", "latest"]);
        house.run(&["restore", "latest", "--into", "copy", "--as-superuser"]);
        assert_eq!(owner(&cluster, "copy"), "636166e9");
        cluster.psql("postgres", "DROP DATABASE copy");
    }
    let in_server = ["--in-server", "--as-superuser"];
    house.run(&[&["verify", "--restore", "latest"], &in_server[..]].concat());
    house.run(&["restore", "latest", "--replace", "--yes", "--as-superuser"]);
    assert_eq!(owner(&cluster, "shop"), "636166e9");
    house.run(&["backup", "db", "-t", "owned"]);
    house.run(&["verify", "--restore", "latest"]);
    let shown = house.run(&["show", "latest:shop"]).stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("caf\\xe9"), "{shown}");
    // Without the role it is told, here as on the server that proves.
    cluster.psql("postgres", "DROP DATABASE shop");
    let sql = "CREATE DATABASE other TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'";
    cluster.psql("postgres", sql);
    let sql = format!("DO $$ BEGIN EXECUTE format('DROP ROLE %I', {ROLE}); END $$");
    cluster.psql("other", &sql);
    let refused = [&["verify", "--restore", "latest"], &in_server[..]].concat();
    let output = house.kluis().args(refused).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = house
        .kluis()
        .args(["restore", "latest", "--into", "copy"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("caf\\xe9"),
        "{output:?}"
    );
}

#[test]
fn a_role_with_such_a_name_alone_is_missing_in_the_backup_of_roles() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    // The databases that such a dump is asked of.
    let sql = "DROP DATABASE postgres";
    cluster.psql("template1", sql);
    let sql = "CREATE DATABASE postgres TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'";
    cluster.psql("template1", sql);
    let sql =
        format!("CREATE ROLE clerk; DO $$ BEGIN EXECUTE format('CREATE ROLE %I', {ROLE}); END $$");
    cluster.psql("postgres", &sql);
    let mut house = House::new();
    house.set("DATABASE_URL", &cluster.url("postgres"));
    let output = house
        .kluis()
        .args(["backup", "db", "--globals"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("CREATE ROLE"), "{said}");
    let shown = house.run(&["show", "latest:pg_globals", "--json"]).stdout;
    let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
    let database = &shown["manifest"]["database"];
    assert_eq!(
        database["left_out"]["statements"]["CREATE ROLE"], 1,
        "{shown}"
    );
    assert_eq!(database["objects"]["ROLE"], 2, "{shown}");
}

/// A database in UTF-8, as most are: what all of them share is not converted.
#[test]
fn what_a_role_with_a_name_in_no_encoding_has_on_a_database_is_carried_over() {
    for major in [14, 15, 16, 17, 18] {
        let Some(cluster) = Cluster::of_major(major) else {
            continue;
        };
        let sql = "CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'";
        cluster.psql("postgres", sql);
        let sql = "CREATE DATABASE shop TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'";
        cluster.psql("postgres", sql);
        cluster.psql("shop", "CREATE TABLE t AS SELECT 7 AS i");
        let sql = format!(
            "DO $$ DECLARE r text := {ROLE}; BEGIN
               EXECUTE format('CREATE ROLE %I; CREATE ROLE %I', r, r || '\"x');
               EXECUTE format('ALTER DATABASE shop OWNER TO %I', r);
               EXECUTE format('GRANT CREATE ON DATABASE shop TO %I WITH GRANT OPTION', r || '\"x');
               EXECUTE format('ALTER ROLE %I IN DATABASE shop SET work_mem TO ''7MB''', r);
             END $$"
        );
        cluster.psql("bytes", &sql);
        let has = "SELECT concat_ws(' ', datdba, aclexplode(datacl), setrole, setconfig)
            FROM pg_database d JOIN pg_db_role_setting ON setdatabase = d.oid
            WHERE datname = 'shop' ORDER BY 1";
        let before = cluster.psql("bytes", has);
        assert!(before.contains("work_mem=7MB"), "{before}");
        let mut house = House::new();
        house.set("DATABASE_URL", &cluster.url("shop"));
        let programs = majors::programs(major).unwrap();
        let text = format!("[database]\nclient_bin_dir = {:?}\n", programs.display());
        std::fs::write(house.path("kluis.toml"), text).unwrap();
        house.run(&["backup", "db"]);
        let replace = ["restore", "latest:shop", "--replace", "--yes"];
        let output = house.run(&[&replace[..], &["--as-superuser"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(cluster.psql("bytes", has), before, "{major}: {said}");
        assert_eq!(cluster.psql("shop", "SELECT i FROM t"), "7");
    }
}
