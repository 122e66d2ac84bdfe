//! What a database's owner puts before the server's own functions, operators, types
//! and tables, so that a superuser's session runs it. Succeeds on 861f450: what is
//! asked before a dump is put in place, and counted after it, calls them.
//!
//! Every name in our SQL is shadowed: the words of src/postgres that name something
//! in `pg_catalog`. A shadow appends its name to a file, whatever becomes of the
//! transaction, and does what the real one does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support;
use crate::support::Cluster;
use crate::support::house::House;

/// Makes the shadows of one schema, given as `:schema`; `:names` is an array of words,
/// `:file` where a call is told. What cannot be declared so, such as a plpgsql function
/// of "any", is passed over: those are shadowed by ones of narrower types, in
/// attack_types.
const SHADOWS: &str = r#"
CREATE SCHEMA IF NOT EXISTS :schema;
CREATE FUNCTION :schema.called(what text) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN
  EXECUTE pg_catalog.format('COPY (SELECT %L) TO PROGRAM %L', what, 'cat >> :file');
  RETURN true; END $f$;
DO $do$
DECLARE
  p record; body text; arguments text; made integer := 0;
BEGIN
  FOR p IN SELECT f.oid, f.proname, f.pronargs, f.proretset, f.prorettype::regtype AS result,
      pg_get_function_arguments(f.oid) AS args, pg_get_function_result(f.oid) AS returns,
      f.proallargtypes IS NOT NULL AS has_out, r.variant
    FROM pg_proc f, (VALUES (0), (1)) AS r(variant)
    WHERE f.pronamespace = 'pg_catalog'::regnamespace AND f.prokind = 'f'
      AND f.proname = ANY (:names)
  LOOP
    SELECT string_agg('$' || n, ', ') INTO arguments FROM generate_series(1, p.pronargs) AS n;
    body := 'BEGIN PERFORM :schema.called(''function ' || p.proname || '''); ';
    IF p.has_out AND p.proretset THEN
      body := body || format('RETURN QUERY SELECT * FROM pg_catalog.%I(%s); ', p.proname, arguments);
    ELSIF p.proretset THEN
      body := body || format('RETURN QUERY SELECT pg_catalog.%I(%s); ', p.proname, arguments);
    ELSIF NOT p.has_out THEN
      body := body || format('RETURN pg_catalog.%I(%s); ', p.proname, coalesce(arguments, ''));
    END IF;
    BEGIN
      EXECUTE format('CREATE FUNCTION :schema.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
        p.proname,
        -- The same types, or more specific ones.
        CASE p.variant WHEN 0 THEN p.args ELSE replace(p.args, 'text', 'name') END,
        p.returns, body || 'END');
      made := made + 1;
    EXCEPTION WHEN OTHERS THEN
    END;
  END LOOP;
  FOR p IN SELECT o.oprname, format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r,
      format_type(o.oprresult, NULL) AS result, o.oid
    FROM pg_operator o
    WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b'
      AND o.oprname IN ('=', '<>', '~', '!~', '||', '<<', '|', '>=', '<', '>', '+', '-')
      AND o.oprleft IN ('name'::regtype, 'text'::regtype, 'oid'::regtype, 'int8'::regtype,
        'int4'::regtype, 'bool'::regtype, '"char"'::regtype)
      AND o.oprright IN ('name'::regtype, 'text'::regtype, 'oid'::regtype, 'int8'::regtype,
        'int4'::regtype, 'bool'::regtype, '"char"'::regtype)
  LOOP
    BEGIN
      EXECUTE format('CREATE FUNCTION :schema.shadow_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
        p.oid, p.l, p.r, p.result, format('BEGIN PERFORM :schema.called(%L); '
          'RETURN $1 OPERATOR(pg_catalog.%s) $2; END', 'operator ' || translate(p.oprname, '<>|', 'lgo'),
          p.oprname));
      EXECUTE format('CREATE OPERATOR :schema.%s (LEFTARG = %s, RIGHTARG = %s, '
        'FUNCTION = :schema.shadow_%s)', p.oprname, p.l, p.r, p.oid);
      made := made + 1;
    EXCEPTION WHEN OTHERS THEN
    END;
  END LOOP;
  FOR p IN SELECT unnest(ARRAY['text', 'name', 'oid', 'regclass']) AS typname LOOP
    EXECUTE format('CREATE DOMAIN :schema.%I AS pg_catalog.%I CHECK (:schema.called(%L))',
      p.typname, p.typname, 'type ' || p.typname);
    made := made + 1;
  END LOOP;
  FOR p IN SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace
      AND relkind IN ('r', 'v') AND relname = ANY (:names) LOOP
    EXECUTE format('CREATE VIEW :schema.%I AS SELECT * FROM pg_catalog.%I '
      'WHERE :schema.called(%L)', p.relname, p.relname, 'relation ' || p.relname);
    made := made + 1;
  END LOOP;
  IF made < 200 THEN RAISE EXCEPTION 'only % shadows', made; END IF;
END $do$;
"#;

/// Every word in the code that holds our SQL.
fn words() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postgres")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            let found = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            words.extend(found.filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
    words
}

struct Site {
    cluster: Cluster,
    house: House,
    /// What the server may write to.
    open: tempfile::TempDir,
    names: BTreeSet<String>,
}

impl Site {
    fn new() -> Option<Self> {
        let cluster = Cluster::start()?;
        let open = support::open_directory(0o777);
        let house = House::new();
        // The machine's disk may be as full as it is.
        let quiet = "[check]\nfree = 0\ndays_until_full = 0\n";
        fs::write(house.path("kluis.toml"), quiet).unwrap();
        Some(Self {
            cluster,
            house,
            open,
            names: words(),
        })
    }

    fn calls(&self) -> PathBuf {
        self.open.path().join("calls")
    }

    fn plant(&self, database: &str, schema: &str) {
        let names: Vec<String> = self.names.iter().map(|name| format!("'{name}'")).collect();
        let sql = SHADOWS
            .replace(":schema", schema)
            .replace(":names", &format!("ARRAY[{}]", names.join(",")))
            .replace(":file", &self.calls().display().to_string());
        self.cluster.psql(database, &sql);
    }

    fn ends(&self, arguments: &[&str]) -> Output {
        let mut command = self.house.kluis();
        command
            .args(arguments)
            .env("DATABASE_URL", self.cluster.url("shop"));
        let output = command.output().unwrap();
        // A shadow may be the reason of a failure, and is to be told then.
        assert_eq!(self.called(), BTreeSet::new(), "{arguments:?}: {output:?}");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        output
    }

    /// Whatever asks a database.
    fn every_command(&self) {
        for format in ["plain", "custom", "directory"] {
            self.ends(&["backup", "db", "shop", "--format", format]);
        }
        self.ends(&["backup", "db", "--all", "--globals"]);
        self.ends(&["check"]);
        let mut doctor = self.house.kluis();
        doctor
            .arg("doctor")
            .env("DATABASE_URL", self.cluster.url("shop"));
        doctor.output().unwrap();
        let help = self.ends(&["verify", "--help"]);
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let mut prove = vec!["verify", "--restore", "--in-server", "latest:shop"];
        // 861f450 does not know it.
        prove.extend(help.contains("--as-superuser").then_some("--as-superuser"));
        self.ends(&prove);
        self.ends(&["restore", "latest:shop", "--into", "copy"]);
        self.ends(&["restore", "latest:shop", "--into", "part", "-t", "public.t"]);
        self.ends(&["restore", "latest:shop", "--replace", "--yes"]);
        self.ends(&["restore", "latest:shop", "--replace", "--in-place", "--yes"]);
        self.cluster
            .psql("postgres", "DROP DATABASE copy; DROP DATABASE part");
    }

    fn called(&self) -> BTreeSet<String> {
        let text = fs::read_to_string(self.calls()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

#[test]
fn no_shadow_of_what_our_sql_names_is_called() {
    let Some(site) = Site::new() else { return };
    site.cluster.create_db("shop");
    site.cluster.psql(
        "shop",
        "CREATE TABLE t (i serial, v text); INSERT INTO t (v) VALUES ('one')",
    );
    // In a database of somebody's, and where everybody may make something in public.
    site.plant("shop", "evil");
    site.plant("shop", "public");
    site.plant("postgres", "public");
    // They are called where a session takes the path that it is given: a database's
    // own, or a role's.
    let paths = "ALTER DATABASE shop SET search_path = evil, public, pg_catalog;
        ALTER ROLE postgres IN DATABASE postgres SET search_path = public, pg_catalog";
    site.cluster.psql("template1", paths);
    for database in ["shop", "postgres"] {
        let sql = "SELECT count(*) FROM pg_class WHERE relname = 'x'";
        site.cluster.psql(database, sql);
        assert!(!site.called().is_empty(), "{database}: no shadow works");
        fs::remove_file(site.calls()).unwrap();
    }
    site.every_command();
    assert_eq!(site.called(), BTreeSet::new(), "by a path that was set");
    // By the server's own path `public` comes last, and more specific types win.
    let paths = "ALTER DATABASE shop RESET search_path;
        ALTER ROLE postgres IN DATABASE postgres RESET search_path";
    site.cluster.psql("template1", paths);
    let _ = fs::remove_file(site.calls());
    site.ends(&["restore", "latest:shop", "--replace", "--in-place", "--yes"]);
    site.ends(&["backup", "db", "shop"]);
    assert_eq!(site.called(), BTreeSet::new(), "by the server's own path");
}
