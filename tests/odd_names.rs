//! Names that PostgreSQL has and a terminal should not: who may create one role must
//! not make the roles of all unrestorable, nor have psql obey what stands in a name.

use std::path::Path;
use std::process::Output;

use crate::support::Cluster;
use crate::support::house::House;

/// Each as SQL writes it, but for the quotes around it. `RAN` is a file's path.
const NAMES: [&str; 5] = [
    "two\nlines",
    "a\ttab",
    "red\u{1b}[31m\u{7}\r",
    "shell\n\\! touch RAN",
    "quote\"\"\n\\! touch RAN \"\"",
];

/// A house whose answers are checked.
struct Bench {
    house: House,
    work: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let work = tempfile::Builder::new()
            .prefix("kluis")
            .tempdir_in("/tmp")
            .unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(work.path(), open).unwrap();
        let house = House::new();
        let config = format!("work_dir = \"{}\"\n", work.path().display());
        std::fs::write(house.path("kluis.toml"), config).unwrap();
        Self { house, work }
    }

    /// Runs kluis against `url`; it ends well and brings no control character.
    fn run(&self, url: &str, arguments: &[&str]) {
        let mut command = self.house.kluis();
        command.args(arguments).env("DATABASE_URL", url);
        let output: Output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        for said in [&output.stdout, &output.stderr] {
            let bare = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
            assert!(!said.iter().any(bare), "{arguments:?}: {output:?}");
        }
    }

    fn ran(&self) -> std::path::PathBuf {
        // Where the server's own user could write, too.
        self.work.path().join("ran")
    }

    fn names(&self) -> [String; 5] {
        let ran = self.ran();
        NAMES.map(|name| name.replace("RAN", &path(&ran)))
    }
}

/// Short, so that the server cuts no name off.
fn path(path: &Path) -> String {
    path.display().to_string()
}

fn said_by(names: &[String], each: impl Fn(&String) -> String) -> String {
    names.iter().map(each).collect::<Vec<_>>().join(";\n")
}

#[test]
fn roles_with_any_names_come_back_out_of_the_globals() {
    let (Some(from), Some(to)) = (Cluster::start(), Cluster::start()) else {
        return;
    };
    let bench = Bench::new();
    let names = bench.names();
    let roles = said_by(&names, |name| {
        format!(
            "CREATE ROLE \"{name}\" PASSWORD 'secret'; COMMENT ON ROLE \"{name}\" IS 'a\nb';
             ALTER ROLE \"{name}\" SET work_mem = '4MB'; GRANT \"{name}\" TO plain"
        )
    });
    from.psql("postgres", &format!("CREATE ROLE plain;\n{roles}"));
    bench.run(&from.url("postgres"), &["backup", "db", "--globals"]);
    bench.run(&from.url("postgres"), &["verify", "latest:pg_globals"]);
    bench.run(&from.url("postgres"), &["show", "latest:pg_globals"]);
    let back = ["restore", "latest:pg_globals", "--in-place", "--yes"];
    bench.run(&to.url("postgres"), &back);
    let all = "SELECT string_agg(quote_ident(rolname) || rolpassword
            || shobj_description(oid, 'pg_authid'), ',' ORDER BY rolname)
        FROM pg_authid WHERE rolname <> 'plain' AND oid >= 16384";
    assert_eq!(from.psql("postgres", all), to.psql("postgres", all));
    assert!(!bench.ran().exists(), "psql obeyed a name");
}

#[test]
fn tables_with_any_names_come_back_in_each_way() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let bench = Bench::new();
    let names = bench.names();
    cluster.create_db("shop");
    let tables = said_by(&names, |name| {
        format!(
            "CREATE ROLE \"{name}\"; CREATE SCHEMA \"{name}\";
             CREATE TABLE \"{name}\".\"{name}\" (\"{name}\" int, s serial);
             INSERT INTO \"{name}\".\"{name}\" VALUES (1), (2);
             ALTER TABLE \"{name}\".\"{name}\" OWNER TO \"{name}\""
        )
    });
    cluster.psql("shop", &tables);
    let held =
        "SELECT string_agg(c.oid::regclass || '=' || relowner::regrole, ',' ORDER BY relname)
        || (SELECT count(*) FROM \"two\nlines\".\"two\nlines\")
        FROM pg_class c WHERE relkind = 'r' AND c.oid >= 16384";
    let before = cluster.psql("shop", held);
    let url = cluster.url("shop");
    for format in ["plain", "custom"] {
        bench.run(&url, &["backup", "db", "shop", "--format", format]);
        bench.run(&url, &["verify", "--restore", "latest"]);
        bench.run(&url, &["show", "latest"]);
        let into = format!("copy_{format}");
        bench.run(&url, &["restore", "latest", "--into", &into]);
        assert_eq!(cluster.psql(&into, held), before, "{format}");
    }
    let in_place = ["restore", "latest", "--replace", "--in-place", "--yes"];
    bench.run(&url, &in_place);
    assert_eq!(cluster.psql("shop", held), before);
    assert!(!bench.ran().exists(), "psql obeyed a name");
}
