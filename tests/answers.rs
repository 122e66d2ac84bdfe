//! What a server answers, in whatever language, is an answer: no other server
//! stands in for it, and what it means is told by codes and questions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use crate::support::front::{Front, Refusals};
use crate::support::house::House;
use crate::support::{Cluster, ClusterOptions};

/// A house whose docker command only leaves a mark that it was started.
fn watching_docker() -> House {
    let house = House::new();
    let docker = house.path("docker");
    let mark = house.path("docker-was-asked");
    fs::write(
        &docker,
        format!("#!/bin/sh\n: > {}\nexit 1\n", mark.display()),
    )
    .unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "[database]\ndocker_command = [{:?}]\n",
        docker.to_str().unwrap()
    );
    fs::write(house.path("kluis.toml"), config).unwrap();
    house
}

fn backed_up(house: &House, url: &str) -> Output {
    let mut command = house.kluis();
    command.env("DATABASE_URL", url).args(["backup", "db"]);
    command.output().unwrap()
}

/// A backup in auto mode ends with 1 and these words, and no container is looked for.
fn is_an_answer(url: &str, words: &str) {
    let house = watching_docker();
    let output = backed_up(&house, url);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(words), "{said}");
    assert!(!house.path("docker-was-asked").exists(), "{said}");
}

fn with_password() -> Option<Cluster> {
    Cluster::start_with(ClusterOptions {
        password: Some("right".to_owned()),
        ..ClusterOptions::default()
    })
}

#[test]
fn a_wrong_password_is_an_answer_in_every_language() {
    let Some(cluster) = with_password() else {
        return;
    };
    let front = Front::start(&cluster, Refusals::default());
    is_an_answer(
        &front.url("postgres:wrong", "postgres"),
        "refused the login",
    );
}

#[test]
fn limits_and_files_that_refuse_are_answers_in_every_language() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    // Slots full, pg_hba.conf, a pooler's own, a database that is closed.
    for sqlstate in ["53300", "28000", "08P01", "55000"] {
        let count = usize::MAX;
        let front = Front::start(&cluster, Refusals { count, sqlstate });
        is_an_answer(&front.url("postgres", "postgres"), "refused the login");
    }
}

#[test]
fn a_connection_limit_of_none_is_an_answer() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "postgres",
        "ALTER DATABASE shop CONNECTION LIMIT 0; CREATE ROLE ann LOGIN",
    );
    let front = Front::start(&cluster, Refusals::default());
    is_an_answer(&front.url("ann", "shop"), "refused the login");
}

#[test]
fn a_certificate_of_another_name_is_an_answer() {
    let Some((cluster, authority)) = with_certificate("elsewhere.example") else {
        return;
    };
    let url = cluster.url("postgres");
    let url = format!("{url}?sslmode=verify-full&sslrootcert={authority}");
    is_an_answer(&url, "does not match host name");
}

/// A cluster with TLS, and the certificate's file.
fn with_certificate(name: &str) -> Option<(Cluster, String)> {
    let directory = tempfile::Builder::new()
        .prefix("kluis")
        .tempdir_in("/tmp")
        .unwrap()
        .keep();
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (key, certificate) = (path("key"), path("certificate"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
    ]);
    openssl.args([
        "-subj",
        &format!("/CN={name}"),
        "-keyout",
        &key,
        "-out",
        &certificate,
    ]);
    assert!(
        openssl.output().unwrap().status.success(),
        "the package openssl"
    );
    let mine = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&directory, mine).unwrap();
    if rustix::process::geteuid().is_root() {
        let done = Command::new("chown").args(["postgres", &key]).status();
        assert!(done.unwrap().success());
    }
    let settings = ["ssl=on".to_owned(), format!("ssl_key_file={key}")];
    let cluster = Cluster::start_with(ClusterOptions {
        password: Some("right".to_owned()),
        settings: [&settings[..], &[format!("ssl_cert_file={certificate}")]].concat(),
        ..ClusterOptions::default()
    })?;
    Some((cluster, certificate))
}

#[test]
fn a_service_that_is_not_there_is_no_server_that_is_down() {
    let house = watching_docker();
    let mut command = house.kluis();
    command.env("PGSERVICE", "nosuch").args(["backup", "db"]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("definition of service"), "{said}");
    assert!(!house.path("docker-was-asked").exists(), "{said}");
}

#[test]
fn a_server_that_is_starting_up_is_waited_for() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", "CREATE TABLE t (i int)");
    let sqlstate = "57P03";
    let front = Front::start(&cluster, Refusals { count: 5, sqlstate });
    let house = watching_docker();
    let output = backed_up(&house, &front.url("postgres", "shop"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(front.logins() > 5);
    assert_eq!(house.listed().len(), 1);
}

#[test]
fn a_database_that_is_not_there_is_made_in_every_language() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql("shop", "CREATE TABLE t (i int)");
    let front = Front::start(&cluster, Refusals::default());
    let house = watching_docker();
    let url = front.url("postgres", "shop");
    house.run(&["backup", "db", "--url", &url]);
    // The URL's own database is the one that is not there.
    let fresh = front.url("postgres", "fresh");
    house.run(&["restore", "latest", "--into", "fresh", "--url", &fresh]);
    let tables = "SELECT count(*) FROM pg_class WHERE relname = 't'";
    assert_eq!(cluster.psql("fresh", tables), "1");
    let gone = house
        .kluis()
        .args(["backup", "db", "gone", "--url", &url])
        .output()
        .unwrap();
    let said = String::from_utf8(gone.stderr).unwrap();
    assert!(said.contains("there is no database \"gone\""), "{said}");
}

#[test]
fn a_proof_without_a_superuser_is_not_provable_there_in_every_language() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    cluster.create_db("shop");
    cluster.psql(
        "shop",
        "CREATE ROLE gone; CREATE SCHEMA AUTHORIZATION gone; CREATE TABLE gone.t (i int);
         ALTER TABLE gone.t OWNER TO gone;
         CREATE ROLE weak LOGIN CREATEDB; CREATE ROLE maker LOGIN CREATEDB CREATEROLE",
    );
    let front = Front::start(&cluster, Refusals::default());
    let house = watching_docker();
    house.run(&["backup", "db", "--url", &front.url("postgres", "shop")]);
    cluster.psql("postgres", "DROP DATABASE shop");
    cluster.psql("postgres", "DROP ROLE gone");
    let verify = [
        "verify",
        "--restore",
        "latest",
        "--in-server",
        "--as-superuser",
    ];
    let url = front.url("weak", "postgres");
    let verify_as = [&verify[..], &["--url", &url]].concat();
    let weak = house.kluis().args(verify_as).output().unwrap();
    let said = String::from_utf8([weak.stdout, weak.stderr].concat()).unwrap();
    assert_eq!(weak.status.code(), Some(1), "{said}");
    assert!(said.contains("the roles gone are missing"), "{said}");
    assert!(!said.contains("damaged"), "{said}");
    let url = front.url("maker", "postgres");
    house.run(&[&verify[..], &["--url", &url]].concat());
}
