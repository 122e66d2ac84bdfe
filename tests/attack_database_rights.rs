//! Code that stands in a dump runs in the database that a superuser's restore fills:
//! whatever it makes of that database and of its schema `public`, the restored one has
//! what the dump and the database before it had.

use std::process::Output;

use crate::support::Cluster;
use crate::support::house::House;

/// The database `app` of postgres, in which eve owns a schema and may make things in
/// `public`. Her function does what it can wherever it runs in a copy.
fn app(more: &str) -> Option<(Cluster, House)> {
    let cluster = Cluster::start()?;
    let roles = "CREATE ROLE eve LOGIN; CREATE ROLE mallory LOGIN; CREATE ROLE reader";
    cluster.psql("postgres", roles);
    cluster.create_db("app");
    cluster.psql(
        "app",
        "CREATE SCHEMA eve AUTHORIZATION eve; GRANT CREATE ON SCHEMA public TO eve;
         GRANT USAGE ON SCHEMA public TO reader WITH GRANT OPTION",
    );
    cluster.psql("app", more);
    cluster.psql(
        "app",
        "SET ROLE eve; CREATE TABLE eve.x (a int); GRANT SELECT ON eve.x TO mallory;
         CREATE TABLE public.hers AS SELECT 1 AS i;
         CREATE FUNCTION eve.try(what text) RETURNS void LANGUAGE plpgsql
           SET client_min_messages = error AS $$ BEGIN
           EXECUTE pg_catalog.format(what, pg_catalog.current_database());
           EXCEPTION WHEN OTHERS THEN NULL; END $$;
         CREATE FUNCTION eve.f(a int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
           IF pg_catalog.current_database() = 'app' THEN RETURN a; END IF;
           PERFORM eve.try('GRANT CREATE, TEMPORARY, CONNECT ON DATABASE %I TO PUBLIC');
           PERFORM eve.try('GRANT CREATE, CONNECT ON DATABASE %I TO mallory WITH GRANT OPTION');
           PERFORM eve.try('ALTER DATABASE %I IS_TEMPLATE true');
           PERFORM eve.try('ALTER DATABASE %I CONNECTION LIMIT 0');
           PERFORM eve.try('ALTER DATABASE %I SET work_mem = 64');
           PERFORM eve.try('ALTER ROLE eve IN DATABASE %I SET work_mem = 64');
           PERFORM eve.try('COMMENT ON DATABASE %I IS NULL');
           PERFORM eve.try('GRANT ALL ON SCHEMA public TO PUBLIC');
           PERFORM eve.try('GRANT ALL ON SCHEMA public TO mallory WITH GRANT OPTION');
           PERFORM eve.try('REVOKE ALL ON SCHEMA public FROM reader CASCADE');
           PERFORM eve.try('ALTER SCHEMA public OWNER TO eve');
           RETURN a; END $$;
         CREATE MATERIALIZED VIEW eve.mv AS SELECT eve.f(2) AS a;",
    );
    Some((cluster, House::new()))
}

fn kluis(house: &House, cluster: &Cluster, arguments: &[&str]) -> (Output, String) {
    let mut command = house.kluis();
    command
        .args(arguments)
        .env("DATABASE_URL", cluster.url("app"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

/// All of the database `name` that is not in its dump, and who may do what in `public`.
fn rights(cluster: &Cluster, name: &str) -> [String; 2] {
    let of_database = format!(
        "SELECT (SELECT string_agg(a::text, ' ' ORDER BY a::text)
              FROM unnest(coalesce(datacl, acldefault('d', datdba))) AS a)
           || datistemplate || datallowconn || datconnlimit || dattablespace || datdba::regrole
           || (SELECT count(*) FROM pg_db_role_setting s WHERE s.setdatabase = d.oid)
           || (SELECT coalesce(string_agg(setconfig::text, ' '), '') FROM pg_db_role_setting s
                WHERE s.setdatabase = d.oid)
           || coalesce(shobj_description(d.oid, 'pg_database'), '')
          FROM pg_database d WHERE datname = '{name}'"
    );
    let of_public = "SELECT nspowner::regrole || (SELECT string_agg(a::text, ' ' ORDER BY a::text)
          FROM unnest(nspacl) AS a) FROM pg_namespace WHERE nspname = 'public'";
    [
        cluster.psql("postgres", &of_database),
        cluster.psql(name, of_public),
    ]
}

fn leftovers(cluster: &Cluster) -> String {
    let sql = "SELECT coalesce(string_agg(name, ' '), '') FROM (
        SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database) AS f (name)
        WHERE name ~ 'kluis'";
    cluster.psql("postgres", sql)
}

fn restores_with_the_rights_of_before(cluster: &Cluster, house: &House) {
    let before = rights(cluster, "app");
    let (output, said) = kluis(house, cluster, &["backup", "db", "app"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let replace = ["restore", "latest:app", "--replace", "--yes"];
    let (output, said) = kluis(house, cluster, &replace);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!said.contains("runs with its rights"), "{said}");
    assert_eq!(rights(cluster, "app"), before);
    let (output, said) = kluis(house, cluster, &["restore", "latest:app", "--into", "copy"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    cluster.create_db("new");
    let of_database = |name| rights(cluster, name)[0].clone();
    assert_eq!(of_database("copy"), of_database("new"));
    assert_eq!(rights(cluster, "copy")[1], before[1]);
    assert_eq!(cluster.psql("copy", "SELECT i FROM public.hers"), "1");
    assert_eq!(leftovers(cluster), "");
}

#[test]
fn what_a_schemas_owner_makes_of_the_database_does_not_stay() {
    let Some((cluster, house)) = app("") else {
        return;
    };
    restores_with_the_rights_of_before(&cluster, &house);
}

#[test]
fn what_the_old_database_had_of_its_own_is_all_that_it_has() {
    let more = "REVOKE ALL ON DATABASE app FROM PUBLIC; GRANT CONNECT ON DATABASE app TO reader;
         ALTER DATABASE app CONNECTION LIMIT 7; ALTER DATABASE app SET search_path = a, public;
         ALTER ROLE mallory IN DATABASE app SET work_mem = 128;
         COMMENT ON DATABASE app IS 'the app'; REVOKE USAGE ON SCHEMA public FROM PUBLIC";
    let Some((cluster, house)) = app(more) else {
        return;
    };
    restores_with_the_rights_of_before(&cluster, &house);
}

/// Eve owns the database, and something belongs to whoever does.
const OWNS_IT: &str = "ALTER DATABASE app OWNER TO eve;
     CREATE TABLE public.owners (i int); ALTER TABLE public.owners OWNER TO pg_database_owner";

/// Whoever makes what is the database owner's must own the database for a while.
#[test]
fn what_the_databases_owner_makes_of_it_meanwhile_does_not_stay() {
    let Some((cluster, house)) = app(OWNS_IT) else {
        return;
    };
    restores_with_the_rights_of_before(&cluster, &house);
    let owner = "SELECT relowner::regrole FROM pg_class WHERE relname = 'owners'";
    assert_eq!(cluster.psql("copy", owner), "pg_database_owner");
}

/// Without that the database is not its owner's while it is filled.
#[test]
fn a_databases_owner_does_not_own_what_is_filled() {
    let Some((cluster, house)) = app("ALTER DATABASE app OWNER TO eve") else {
        return;
    };
    cluster.psql(
        "app",
        "SET ROLE eve; CREATE FUNCTION eve.owns() RETURNS boolean LANGUAGE sql VOLATILE AS
           'SELECT pg_catalog.pg_has_role(''pg_database_owner'', ''usage'')';
         CREATE MATERIALIZED VIEW eve.owned AS SELECT eve.owns() AS it",
    );
    restores_with_the_rights_of_before(&cluster, &house);
    assert_eq!(cluster.psql("copy", "SELECT it FROM eve.owned"), "f");
}

/// What it was marked with is gone, and the restored rows are other ones.
#[test]
fn a_copy_that_has_lost_its_mark_is_taken_away_with_the_failed_restore() {
    let Some((cluster, house)) = app(OWNS_IT) else {
        return;
    };
    cluster.psql(
        "app",
        "SET ROLE eve; CREATE FUNCTION eve.add() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
           IF pg_catalog.current_database() <> 'app' THEN INSERT INTO eve.x VALUES (1); END IF;
           RETURN 1; END $$;
         CREATE MATERIALIZED VIEW eve.added AS SELECT eve.add() AS it",
    );
    let (output, said) = kluis(&house, &cluster, &["backup", "db", "app"]);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let (output, said) = kluis(
        &house,
        &cluster,
        &["restore", "latest:app", "--into", "copy"],
    );
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert_eq!(leftovers(&cluster), "");
    let databases = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";
    assert_eq!(
        cluster.psql("postgres", databases),
        "app postgres template0 template1"
    );
}
