//! A restore in place where the database has default privileges, of the restoring role or
//! of one that it acts for: they are the database's, and nothing that the dump makes.

use crate::support::Cluster;
use crate::support::house::House;
use crate::support::majors;

/// `app` owns the databases and is no superuser; `worker` is a role that it acts for.
const ROLES: &str = r#"CREATE ROLE app LOGIN; CREATE ROLE "it's a worker"; CREATE ROLE reader;
    GRANT "it's a worker" TO app;"#;

const CONTENT: &str = "CREATE SCHEMA own; CREATE TABLE own.t AS SELECT 7 AS a;
    CREATE TABLE t (id serial); CREATE TYPE mood AS ENUM ('well');
    CREATE FUNCTION seven() RETURNS int LANGUAGE sql AS 'SELECT 7';
    GRANT CREATE ON SCHEMA own TO \"it's a worker\";";

/// Of every kind, for the whole database and for a schema.
const GIVEN: &str = r#"
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader, PUBLIC;
    ALTER DEFAULT PRIVILEGES REVOKE UPDATE, DELETE ON TABLES FROM app;
    ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO reader WITH GRANT OPTION;
    ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM PUBLIC, app;
    ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO reader;
    ALTER DEFAULT PRIVILEGES FOR ROLE "it's a worker" GRANT ALL ON TABLES TO reader;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT INSERT ON TABLES TO reader;"#;

const OF_SCHEMA: &str = r#"
    ALTER DEFAULT PRIVILEGES IN SCHEMA own GRANT UPDATE ON SEQUENCES TO PUBLIC;
    ALTER DEFAULT PRIVILEGES FOR ROLE "it's a worker" IN SCHEMA own GRANT SELECT ON TABLES TO app;"#;

const ALL: &str = "SELECT string_agg(concat_ws(' ', pg_get_userbyid(defaclrole), nspname,
      defaclobjtype, defaclacl), E'\n' ORDER BY 1, defaclrole, nspname, defaclobjtype)
    FROM pg_default_acl LEFT JOIN pg_namespace n ON n.oid = defaclnamespace";

const GRANTED: &str = "SELECT (SELECT count(*) FROM pg_class WHERE relacl IS NOT NULL AND
      oid >= 16384) + (SELECT count(*) FROM pg_proc WHERE proacl IS NOT NULL AND oid >= 16384)
    + (SELECT count(*) FROM pg_type WHERE typacl IS NOT NULL AND oid >= 16384)";

struct Site {
    house: House,
    cluster: Cluster,
}

impl Site {
    fn new(cluster: Cluster) -> Self {
        cluster.psql("postgres", ROLES);
        for name in ["shop", "bare"] {
            let sql = format!("CREATE DATABASE {name} TEMPLATE template0 OWNER app");
            cluster.psql("postgres", &sql);
        }
        let house = House::new();
        Self { house, cluster }
    }

    fn of_major(major: u32) -> Option<Self> {
        let site = Self::new(Cluster::of_major(major)?);
        let programs = majors::programs(major)?;
        let text = format!("[database]\nclient_bin_dir = {:?}\n", programs.display());
        std::fs::write(site.house.path("kluis.toml"), text).unwrap();
        Some(site)
    }

    fn as_app(&self, database: &str, sql: &str) -> String {
        let script = format!("SET SESSION AUTHORIZATION app; {sql}");
        self.cluster.psql(database, &script)
    }

    /// kluis as the role `app`; what it said.
    fn kluis(&self, database: &str, arguments: &[&str]) -> String {
        let url = self.cluster.url(database).replace("postgres@", "app@");
        let mut command = self.house.kluis();
        let output = command.args(arguments).args(["--url", &url]).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = said + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    }
}

#[test]
fn own_default_privileges_stay_and_what_the_dump_makes_does_not_get_them() {
    for major in [14, 15, 16, 17, 18] {
        let Some(site) = Site::of_major(major) else {
            continue;
        };
        site.as_app("shop", CONTENT);
        site.kluis("shop", &["backup", "db", "shop"]);
        site.as_app("bare", GIVEN);
        let before = site.cluster.psql("bare", ALL);
        assert_eq!(before.lines().count(), 7, "{before}");
        let into = ["restore", "latest:shop", "--into", "bare", "--in-place"];
        let said = site.kluis("bare", &into);
        assert!(said.contains("all the same"), "{major}: {said}");
        assert!(!said.contains("default privileges"), "{major}: {said}");
        assert_eq!(site.cluster.psql("bare", ALL), before, "{major}");
        assert_eq!(site.cluster.psql("bare", GRANTED), "0", "{major}");
        // Over what is there, with a schema that goes and comes again.
        site.as_app("shop", &format!("{GIVEN}{OF_SCHEMA} CREATE TABLE more ()"));
        let before = site.cluster.psql("shop", ALL);
        let replace = ["restore", "latest:shop", "--replace", "--in-place", "--yes"];
        let said = site.kluis("shop", &replace);
        assert!(said.contains("all the same"), "{major}: {said}");
        assert_eq!(site.cluster.psql("shop", ALL), before, "{major}");
        assert_eq!(site.cluster.psql("shop", GRANTED), "0", "{major}");
    }
}

#[test]
fn default_privileges_of_the_dump_count_before_those_that_were_there() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let site = Site::new(cluster);
    let given = "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader;";
    site.as_app("shop", &format!("{CONTENT}{given}"));
    site.kluis("shop", &["backup", "db", "shop"]);
    let as_dumped = site.cluster.psql("shop", ALL);
    let other = "ALTER DEFAULT PRIVILEGES GRANT INSERT ON TABLES TO PUBLIC;
        CREATE SCHEMA gone; ALTER DEFAULT PRIVILEGES IN SCHEMA gone GRANT SELECT ON TABLES TO reader;";
    site.as_app("shop", other);
    let replace = ["restore", "latest:shop", "--replace", "--in-place", "--yes"];
    let said = site.kluis("shop", &replace);
    assert_eq!(site.cluster.psql("shop", ALL), as_dumped);
    for told in [
        "of tables that app makes are as the dump says; they were",
        "of tables that app makes in the schema gone are gone",
    ] {
        assert!(said.contains(told), "{said}");
    }
}
