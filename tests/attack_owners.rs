//! Whose code a superuser's restore runs: an owner that is not told, or is taken for
//! somebody else, is superuser after it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Output;

use crate::support::Cluster;
use crate::support::house::House;

/// Makes its owner superuser as soon as a superuser copies rows in.
const RISING: &str = "CREATE FUNCTION public.rise(i int) RETURNS boolean LANGUAGE plpgsql AS $$
       BEGIN
         IF pg_catalog.current_setting('is_superuser') = 'on'
             AND pg_catalog.current_database() <> 'pin' THEN
           ALTER ROLE mallory SUPERUSER;
         END IF;
         RETURN true; END $$;
     CREATE TABLE public.t (i int CHECK (public.rise(i)));
     INSERT INTO public.t VALUES (1), (2);";

/// The database `pin`, of mallory, who may use the objects of a superuser too.
fn pin() -> Option<(Cluster, House)> {
    let cluster = Cluster::start()?;
    cluster.psql(
        "postgres",
        "CREATE ROLE mallory LOGIN; CREATE ROLE dba SUPERUSER",
    );
    cluster.create_db("pin");
    cluster.psql(
        "pin",
        "ALTER DATABASE pin OWNER TO mallory; CREATE TABLE public.dbas (i int);
         SET ROLE mallory; GRANT USAGE ON SCHEMA public TO dba",
    );
    Some((cluster, House::new()))
}

fn kluis(house: &House, cluster: &Cluster, arguments: &[&str]) -> (Output, String) {
    let mut command = house.kluis();
    command
        .args(arguments)
        .env("DATABASE_URL", cluster.url("pin"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

fn backs_up(house: &House, cluster: &Cluster, more: &[&str]) {
    let backup = [&["backup", "db", "pin"][..], more].concat();
    let (output, said) = kluis(house, cluster, &backup);
    assert_eq!(output.status.code(), Some(0), "{said}");
}

fn is_superuser(cluster: &Cluster) -> bool {
    let sql = "SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'";
    cluster.psql("postgres", sql) == "t"
}

/// A restore's dry run by a superuser: whether it tells that others' code would run,
/// and of whom.
fn warns(house: &House, cluster: &Cluster, of: &str) {
    let look = ["restore", "latest:pin", "--into", "look", "--dry-run"];
    let (output, said) = kluis(house, cluster, &look);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("runs with its rights"), "{said}");
    assert!(said.contains(of), "{of}: {said}");
}

#[test]
fn what_is_given_to_the_databases_owner_is_its_owners() {
    let Some((cluster, house)) = pin() else {
        return;
    };
    cluster.psql("pin", "DROP TABLE public.dbas");
    let give = "ALTER FUNCTION public.rise OWNER TO pg_database_owner;
         ALTER TABLE public.t OWNER TO pg_database_owner";
    cluster.psql("pin", &format!("SET ROLE mallory; {RISING} {give}"));
    for format in ["plain", "custom"] {
        backs_up(&house, &cluster, &["--format", format]);
        for how in [&["--into", "copy"][..], &["--replace", "--yes"]] {
            let restore = [&["restore", "latest:pin"][..], how].concat();
            let (output, said) = kluis(&house, &cluster, &restore);
            assert!(
                !is_superuser(&cluster),
                "mallory is superuser by {how:?}: {said}"
            );
            assert_eq!(output.status.code(), Some(0), "{said}");
            assert!(!said.contains("runs with its rights"), "{said}");
        }
        let owner = "SELECT relowner::regrole FROM pg_class WHERE relname = 't'";
        assert_eq!(cluster.psql("copy", owner), "pg_database_owner");
        cluster.psql("postgres", "DROP DATABASE copy");
    }
    // Where a superuser owns something too, no one role's rights are enough.
    cluster.psql("pin", "CREATE TABLE public.dbas (i int)");
    backs_up(&house, &cluster, &[]);
    warns(&house, &cluster, "mallory");
}

#[test]
fn what_a_predefined_role_owns_is_no_superusers() {
    let Some((cluster, house)) = pin() else {
        return;
    };
    cluster.psql("pin", "GRANT CREATE ON SCHEMA public TO pg_monitor");
    let give = "ALTER TABLE public.t OWNER TO pg_monitor;
         ALTER FUNCTION public.rise OWNER TO pg_monitor";
    cluster.psql("pin", &format!("{RISING} {give}"));
    backs_up(&house, &cluster, &[]);
    warns(&house, &cluster, "pg_monitor");
}

/// A pg_dump before which mallory commits, and after which she takes it back: the
/// catalogues never tell what the dump holds.
fn hurry(house: &House, cluster: &Cluster) {
    let bin = house.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let program = |name| cluster.client(name, "pin").get_program().to_owned();
    let (dump, psql) = (program("pg_dump"), program("psql"));
    let (dump, psql) = (dump.to_str().unwrap(), psql.to_str().unwrap());
    fs::write(bin.join("make.sql"), format!("SET ROLE mallory; {RISING}")).unwrap();
    let gone = "DROP TABLE public.t; DROP FUNCTION public.rise";
    let script = format!(
        "#!/bin/sh\ncase $1 in --version) exec {dump} --version;; esac\n\
         {psql} -qXf {bin}/make.sql >/dev/null\n{dump} \"$@\"\n\
         {psql} -qXc '{gone}' >/dev/null\n",
        bin = bin.display()
    );
    fs::write(bin.join("pg_dump"), script).unwrap();
    fs::set_permissions(bin.join("pg_dump"), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["psql", "pg_restore"] {
        symlink(program(name), bin.join(name)).unwrap();
    }
    let config = format!("[database]\nclient_bin_dir = \"{}\"\n", bin.display());
    fs::write(house.path("kluis.toml"), config).unwrap();
}

#[test]
fn who_owns_something_is_told_by_the_dump_itself() {
    let Some((cluster, house)) = pin() else {
        return;
    };
    hurry(&house, &cluster);
    for format in ["plain", "custom", "directory"] {
        backs_up(&house, &cluster, &["--format", format]);
        warns(&house, &cluster, "mallory");
    }
    // A dump that names no owner leaves it open.
    let mut config = fs::read_to_string(house.path("kluis.toml")).unwrap();
    config.push_str("dump_options = [\"--no-owner\"]\n");
    fs::write(house.path("kluis.toml"), config).unwrap();
    backs_up(&house, &cluster, &[]);
    refuses(
        &house,
        &cluster,
        "latest:pin",
        "does not tell whom it belongs to",
    );
}

/// A restore by a superuser changes nothing, and says `why` and the ways on.
fn refuses(house: &House, cluster: &Cluster, backup: &str, why: &str) {
    let restore = ["restore", backup, "--into", "copy", "--yes"];
    let (output, said) = kluis(house, cluster, &restore);
    assert!(!is_superuser(cluster), "mallory is superuser: {said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(why), "{why}: {said}");
    assert!(said.contains("--as-superuser"), "{said}");
    let made = "SELECT count(*) FROM pg_database WHERE datname ~ 'copy|kluis'";
    assert_eq!(cluster.psql("postgres", made), "0");
}

#[test]
fn a_schemas_name_is_no_owner() {
    let Some((cluster, house)) = pin() else {
        return;
    };
    let odd = "CREATE SCHEMA \"s; Owner: dba\"; CREATE TABLE \"s; Owner: dba\".t (i int);
         CREATE SCHEMA \"s; Type: ACL; Schema: -\";
         CREATE TABLE \"s; Type: ACL; Schema: -\".t (i int)";
    cluster.psql(
        "pin",
        &format!("DROP TABLE public.dbas; SET ROLE mallory; {RISING} {odd}"),
    );
    for format in ["plain", "custom"] {
        backs_up(&house, &cluster, &["--format", format]);
        let restore = ["restore", "latest:pin", "--into", "copy"];
        let (output, said) = kluis(&house, &cluster, &restore);
        assert!(!is_superuser(&cluster), "mallory is superuser: {said}");
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(!said.contains("runs with its rights"), "{said}");
        cluster.psql("postgres", "DROP DATABASE copy");
    }
}

#[test]
fn an_adopted_dump_takes_no_rights_of_a_role_that_it_names() {
    let Some((cluster, house)) = pin() else {
        return;
    };
    let hers = "DROP TABLE public.dbas; REVOKE ALL ON SCHEMA public FROM dba; SET ROLE mallory;";
    cluster.psql("pin", &format!("{hers} {RISING}"));
    let dump = cluster.client("pg_dump", "pin").output().unwrap();
    let file = "eve_backup_2026-01-18T10-30-00.sql";
    fs::create_dir_all(house.storage()).unwrap();
    fs::write(house.storage().join(file), dump.stdout).unwrap();
    house.run(&["adopt", file]);
    refuses(&house, &cluster, file, "it names the roles mallory");
    // The operator names it, and no more than its rights are taken.
    let named = ["restore", file, "--into", "copy", "--role", "mallory"];
    let (output, said) = kluis(&house, &cluster, &named);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(!is_superuser(&cluster), "mallory is superuser: {said}");
}

#[test]
fn a_manifest_that_is_not_sealed_lends_no_rights() {
    let Some((cluster, house)) = pin() else {
        return;
    };
    cluster.psql("pin", &format!("SET ROLE mallory; {RISING}"));
    backs_up(&house, &cluster, &["--no-encrypt"]);
    let manifest = fs::read_dir(house.storage()).unwrap();
    let mut manifest = manifest.map(|entry| entry.unwrap().path());
    let manifest = manifest
        .find(|path| path.to_str().unwrap().ends_with(".sql.gz.json"))
        .unwrap();
    for owner in ["postgres", "mallory"] {
        let text = fs::read(&manifest).unwrap();
        let mut edited: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let database = &mut edited["manifest"]["database"];
        database["owners"] = serde_json::json!([owner]);
        database["superusers"] = serde_json::json!(["postgres"]);
        edited.as_object_mut().unwrap().remove("seal");
        fs::write(&manifest, edited.to_string()).unwrap();
        let archive = manifest.file_name().unwrap().to_str().unwrap();
        let archive = archive.strip_suffix(".json").unwrap();
        let restore = ["restore", archive, "--into", "copy", "--accept-unsealed"];
        let (output, said) = kluis(&house, &cluster, &restore);
        assert!(!is_superuser(&cluster), "mallory is superuser: {said}");
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(owner), "{said}");
        assert!(said.contains("sealed by no key of ours"), "{said}");
    }
}

#[test]
fn a_role_that_a_database_chooses_for_its_sessions_is_not_ours() {
    let Some((cluster, house)) = pin() else {
        return;
    };
    cluster.psql(
        "pin",
        "INSERT INTO public.dbas VALUES (1);
         SET ROLE mallory; ALTER DATABASE pin SET role = 'mallory'",
    );
    for format in ["plain", "directory"] {
        // As mallory it could not even read the table.
        backs_up(&house, &cluster, &["--format", format]);
    }
    let restore = ["restore", "latest:pin", "--into", "copy"];
    let (output, said) = kluis(&house, &cluster, &restore);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let rows = cluster.psql("copy", "SELECT count(*) FROM public.dbas");
    assert_eq!(rows, "1");
}

#[test]
fn a_superusers_name_is_no_superuser_from_another_server() {
    let (Some((theirs, house)), Some(ours)) = (pin(), Cluster::start()) else {
        return;
    };
    theirs.psql(
        "postgres",
        "CREATE ROLE boss; ALTER DATABASE pin OWNER TO boss",
    );
    let give = "GRANT CREATE ON SCHEMA public TO boss; DROP TABLE public.dbas; SET ROLE boss;";
    theirs.psql("pin", &format!("{give} {RISING}"));
    backs_up(&house, &theirs, &[]);
    ours.psql(
        "postgres",
        "CREATE ROLE mallory; CREATE ROLE dba; CREATE ROLE boss SUPERUSER",
    );
    warns(&house, &ours, "boss");
    // Nor is one that can become superuser.
    ours.psql(
        "postgres",
        "ALTER ROLE boss NOSUPERUSER; GRANT postgres TO boss",
    );
    refuses(&house, &ours, "latest:pin", "may come to all rights");
}

#[test]
fn a_superusers_own_database_comes_back_without_a_word() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let house = House::new();
    cluster.create_db("pin");
    cluster.psql("pin", "CREATE TABLE public.t AS SELECT 1 AS i");
    for wiped in ["", "DROP TABLE public.t"] {
        cluster.psql("pin", wiped);
        backs_up(&house, &cluster, &[]);
        let look = ["restore", "latest:pin", "--into", "look", "--dry-run"];
        let (output, said) = kluis(&house, &cluster, &look);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(!said.contains("runs with its rights"), "{said}");
    }
}
