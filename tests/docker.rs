//! Servers in containers, real ones: dumps and restores through `docker exec`,
//! how the container is found, which way `auto` takes, and that nothing runs on
//! in the container when a run ends early.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support;
use crate::support::docker::{Container, ContainerOptions, wait_until};
use crate::support::house::House;
use crate::support::majors;

/// Far more than a keeper needs, far less than a dump would wait for a lock.
const END_MAX: Duration = Duration::from_secs(20);
const BEGIN_MAX: Duration = Duration::from_secs(60);

const SHOP: &[(&str, &str)] = &[("POSTGRES_USER", "ann"), ("POSTGRES_DB", "shop")];

/// Every byte but 0 in text, line ends of all kinds, and every byte in bytea.
const FILL: &str = "
    CREATE TABLE lines (id int PRIMARY KEY, text text);
    INSERT INTO lines SELECT i, E'a\\r\\nb\\nc\\rd\\t' || chr(i) FROM generate_series(1, 255) AS i;
    CREATE TABLE bytes (id int PRIMARY KEY, data bytea);
    INSERT INTO bytes SELECT i, decode(lpad(to_hex(i), 2, '0'), 'hex') || '\\x0d0a'
        FROM generate_series(0, 255) AS i;
    CREATE SEQUENCE numbers START 42;
    SELECT nextval('numbers'), lo_from_bytea(0, '\\x000d0aff');";

fn shop() -> Option<Container> {
    let container = Container::start_with(&ContainerOptions {
        environment: SHOP,
        ..ContainerOptions::default()
    })?;
    container.psql("shop", FILL);
    Some(container)
}

/// kluis with further variables, not started yet.
fn kluis(house: &House, variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = house.kluis();
    command.envs(variables.iter().copied()).args(arguments);
    command
}

/// Runs it and expects this exit code; gives what it said on stderr.
fn ends(code: i32, command: &mut Command) -> String {
    let output: Output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    said
}

/// What the newest manifest says of its database.
fn manifest(house: &House) -> Value {
    let output = house.run(&["show", "latest", "--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let find = |value: &Value| value.get("database").cloned();
    let database = find(&shown)
        .or_else(|| shown.get("manifest").and_then(find))
        .or_else(|| shown.get("backup").and_then(find));
    database.unwrap_or_else(|| panic!("{shown}"))
}

/// What pg_dump says of a database, without its random words.
fn dump(container: &Container, database: &str) -> Vec<u8> {
    let output = container.client("pg_dump", database).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = output.stdout.split_inclusive(|byte| *byte == b'\n');
    let random =
        |line: &&[u8]| line.starts_with(b"\\restrict ") || line.starts_with(b"\\unrestrict ");
    lines
        .filter(|line| !random(line))
        .flatten()
        .copied()
        .collect()
}

fn stop(container: &Container) {
    let mut docker = Command::new("docker");
    docker.args(["stop", "--time", "5", &container.name]);
    assert!(docker.output().unwrap().status.success());
}

/// A docker command that does `script` first, with the arguments in "$@".
fn wrapper(house: &House, script: &str) -> String {
    let path = house.path("docker-wrapper");
    fs::write(&path, format!("#!/bin/sh\n{script}\nexec docker \"$@\"\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let text = path.to_str().unwrap();
    let config = format!("[database]\ndocker_command = [{text:?}]\n");
    fs::write(house.path("kluis.toml"), config).unwrap();
    text.to_owned()
}

#[test]
fn a_dump_comes_back_through_a_container_byte_for_byte() {
    let Some(container) = shop() else {
        return;
    };
    // A database of raw bytes: what a terminal or a decoder would change.
    container.psql(
        "postgres",
        "CREATE DATABASE raw ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    );
    let fill = "CREATE TABLE bytes AS SELECT i, chr(i) AS byte FROM generate_series(1, 255) AS i";
    container.psql("raw", fill);
    let house = House::new();
    for (database, format) in [
        ("shop", "plain"),
        ("shop", "custom"),
        ("shop", "directory"),
        ("raw", "plain"),
    ] {
        let before = dump(&container, database);
        let backup = ["backup", "db", database, "--format", format];
        house.run(&[&backup[..], &["--container", &container.name]].concat());
        let content = manifest(&house);
        assert_eq!(content["mode"], "docker");
        assert_eq!(content["container"], container.name.as_str());
        let restore = ["restore", "latest", "--container", &container.name];
        house.run(&[&restore[..], &["--into", "copy"]].concat());
        assert!(
            dump(&container, "copy") == before,
            "{database}, {format}: --into differs"
        );
        container.psql(database, "CREATE TABLE later (i int)");
        house.run(&[&restore[..], &["--replace", "--yes"]].concat());
        assert!(
            dump(&container, database) == before,
            "{database}, {format}: --replace differs"
        );
        container.psql("postgres", "DROP DATABASE copy");
    }
    wait_until("clients run on", END_MAX, || {
        container.clients_running().is_empty()
    });
    assert_eq!(dumps_in(&container), [""; 0]);
}

/// The directories that dumps have left in the container.
fn dumps_in(container: &Container) -> Vec<String> {
    let listed = container.run(&["ls", "-A", "/tmp"]);
    let ours = listed.lines().filter(|name| name.starts_with("kluis-"));
    ours.map(str::to_owned).collect()
}

#[test]
fn a_directory_dump_that_is_stopped_or_killed_leaves_no_files_in_the_container() {
    let Some(container) = shop() else {
        return;
    };
    let house = House::new();
    let backup = [
        &["backup", "db", "--format", "directory", "-j", "2"][..],
        &["--container", &container.name],
    ]
    .concat();
    // Another run's, alive: it waits for the lock until the end of this test.
    let others = House::new();
    let config = "[database]\nlock_wait_timeout = \"600s\"\n";
    fs::write(others.path("kluis.toml"), config).unwrap();
    fs::write(house.path("kluis.toml"), config).unwrap();
    let lock = Locked::start(&container);
    let mut alive = start(&others, &backup);
    wait_until("no directory", BEGIN_MAX, || {
        dumps_in(&container).len() == 1
    });
    let of_alive = dumps_in(&container);
    for (with, code) in [(Signal::TERM, Some(143)), (Signal::KILL, None)] {
        let mut child = start(&house, &backup);
        wait_until("no second directory", BEGIN_MAX, || {
            dumps_in(&container).len() == 2
        });
        signal(&child, with);
        assert_eq!(child.wait().unwrap().code(), code);
        let left = if with == Signal::TERM { 1 } else { 2 };
        assert_eq!(dumps_in(&container).len(), left, "{with:?}");
    }
    let keepers = "SELECT count(*) FROM pg_stat_activity
                    WHERE application_name LIKE 'kluis keeper of %'";
    wait_until("the dead run's keeper stays", END_MAX, || {
        container.psql("postgres", keepers) == "1"
    });
    // Of a database that nobody holds a lock in.
    container.create_db("free");
    let free = [&["backup", "db", "free"], &backup[2..]].concat();
    house.run(&free);
    assert_eq!(dumps_in(&container), of_alive);
    lock.end(&container);
    assert!(alive.wait().unwrap().success());
    assert_eq!(dumps_in(&container), [""; 0]);
    assert_eq!(others.listed().len(), 1);
    assert_eq!(house.leftovers(), [""; 0]);
}

#[test]
fn an_archive_newer_than_the_programs_here_is_read_by_the_containers() {
    // Newer than what this machine has where kluis looks.
    let Some(bin) = majors::programs(18) else {
        return;
    };
    let Some(container) = Container::start_with(&ContainerOptions {
        environment: SHOP,
        bin: Some(bin),
        ..ContainerOptions::default()
    }) else {
        return;
    };
    container.psql("shop", FILL);
    let before = dump(&container, "shop");
    let house = House::new();
    let in_container = ["--container", container.name.as_str()];
    for (format, code) in [("custom", 0), ("directory", 1)] {
        let backup = ["backup", "db", "--format", format];
        house.run(&[&backup[..], &in_container].concat());
        // A directory has to be unpacked here, where no container reads it.
        let verify = [&["verify", "latest"], &in_container[..]].concat();
        ends(code, &mut kluis(&house, &[], &verify));
        let restore = ["restore", "latest", "--into", format];
        let said = ends(
            code,
            &mut kluis(&house, &[], &[&restore[..], &in_container].concat()),
        );
        match code {
            0 => assert!(dump(&container, format) == before, "{format} differs"),
            _ => assert!(said.contains("postgresql-client-18"), "{said}"),
        }
    }
    // Where no container is meant, none is asked.
    house.run(&[&["backup", "db", "--format", "custom"], &in_container[..]].concat());
    let verify = ["verify", "latest", "--mode", "direct"];
    let output = kluis(&house, &[], &verify).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("postgresql-client-18"), "{shown}");
}

#[test]
fn database_user_and_password_are_those_of_the_container() {
    let environment = [
        ("POSTGRES_USER", "ann"),
        ("POSTGRES_PASSWORD", "hunter2 'quoted' $HOME"),
        ("POSTGRES_DB", "shop"),
        ("KLUIS_AUTH", "scram-sha-256"),
        // Of an application that shares the container's settings.
        ("PGHOST", "other.example"),
    ];
    let Some(container) = Container::start_with(&ContainerOptions {
        environment: &environment,
        ..ContainerOptions::default()
    }) else {
        return;
    };
    container.psql(
        "shop",
        "CREATE ROLE bob LOGIN PASSWORD 'bobs word' IN ROLE pg_read_all_data",
    );
    container.create_db("other");
    let house = House::new();
    let log = house.path("argv");
    let record = format!("{{ printf '%s\\n' \"$@\"; env; }} >> '{}'", log.display());
    wrapper(&house, &record);
    let backup = ["backup", "db", "--container", &container.name];
    ends(
        0,
        &mut kluis(
            &house,
            &[("DATABASE_URL", "postgres://u:urlword@x/y")],
            &backup,
        ),
    );
    assert!(
        house.listed()[0].starts_with("shop_backup_"),
        "{:?}",
        house.listed()
    );
    let bob = [
        ("POSTGRES_USER", "bob"),
        ("PGPASSWORD", "bobs word"),
        ("POSTGRES_DB", "other"),
    ];
    ends(0, &mut kluis(&house, &bob, &backup));
    assert_eq!(house.listed().len(), 2);
    assert!(
        house.listed()[0].starts_with("other_backup_"),
        "{:?}",
        house.listed()
    );
    let wrong = [("POSTGRES_USER", "bob"), ("PGPASSWORD", "wrong word")];
    let said = ends(1, &mut kluis(&house, &wrong, &backup));
    assert!(
        said.contains("refused the login") && !said.contains("wrong word"),
        "{said}"
    );

    let recorded = fs::read_to_string(log).unwrap();
    let secret = |line: &str| {
        ["hunter2", "bobs word"]
            .iter()
            .any(|word| line.contains(word))
    };
    for line in recorded.lines().filter(|line| secret(line)) {
        assert!(line.starts_with("PGPASSWORD="), "{line}");
    }
    assert!(recorded.contains("PGPASSWORD=hunter2"), "{recorded}");
    for absent in [
        "-t\n",
        "-it\n",
        "--tty",
        "\nsh\n",
        "BACKUP_ENCRYPTION_KEY",
        "urlword",
    ] {
        assert!(!recorded.contains(absent), "{absent}: {recorded}");
    }
}

#[test]
fn names_that_lie_in_files_of_the_container_are_read_there() {
    let secrets = [
        ("POSTGRES_DB_FILE", "/tmp/db"),
        ("POSTGRES_USER_FILE", "/tmp/user"),
    ];
    let Some(container) = Container::start_with(&ContainerOptions {
        environment: &secrets,
        ..ContainerOptions::default()
    }) else {
        return;
    };
    let house = House::new();
    let backup = ["backup", "db", "--container", &container.name];
    // Said, and not to be known: no default is taken.
    let said = ends(1, &mut kluis(&house, &[], &backup));
    assert!(said.contains("POSTGRES_USER_FILE=/tmp/user"), "{said}");
    let named = [("POSTGRES_USER", "postgres"), ("POSTGRES_DB", "postgres")];
    ends(0, &mut kluis(&house, &named, &backup));

    container.create_db("shop");
    container.psql(
        "shop",
        "CREATE ROLE ann LOGIN SUPERUSER; CREATE TABLE t (i int)",
    );
    for (file, text) in [("db", "shop"), ("user", "ann")] {
        container.run(&["sh", "-c", &format!("echo {text} > /tmp/{file}")]);
    }
    ends(0, &mut kluis(&house, &[], &backup));
    assert!(
        house
            .listed()
            .iter()
            .any(|name| name.starts_with("shop_backup_"))
    );
    assert_eq!(manifest(&house)["tables"].as_array().unwrap().len(), 1);
}

#[test]
fn a_socket_that_is_elsewhere_in_the_container_can_be_said() {
    let Some(container) = Container::start() else {
        return;
    };
    let house = House::new();
    let backup = ["backup", "db", "postgres", "--container", &container.name];
    let config = |text: &str| fs::write(house.path("kluis.toml"), text).unwrap();
    config("[database]\ncontainer_port = 5433\n");
    let said = ends(1, &mut kluis(&house, &[], &backup));
    assert!(said.contains("5433"), "{said}");
    config("[database]\ncontainer_port = 5432\ncontainer_socket = \"/tmp\"\n");
    ends(0, &mut kluis(&house, &[], &backup));
    config("[database]\ncontainer_socket = \"tmp\"\n");
    ends(2, &mut kluis(&house, &[], &backup));
}

#[test]
fn a_named_container_that_is_not_there_gives_way_to_the_pattern_for_a_backup_only() {
    let Some(container) = shop() else {
        return;
    };
    let house = House::new();
    let part = &container.name[1..];
    let absent = [
        ("POSTGRES_CONTAINER", "nosuch"),
        ("POSTGRES_CONTAINER_PATTERN", part),
    ];
    for mode in ["docker", "auto"] {
        let backup = ["backup", "db", "--mode", mode];
        let said = ends(0, &mut kluis(&house, &absent, &backup));
        assert!(
            said.contains("\"nosuch\"") && said.contains("instead"),
            "{mode}: {said}"
        );
        assert_eq!(manifest(&house)["container"], container.name.as_str());
    }
    let restore = ["restore", "latest", "--into", "copy", "--mode", "docker"];
    let said = ends(1, &mut kluis(&house, &absent, &restore));
    assert!(
        said.contains("no container \"nosuch\" is running"),
        "{said}"
    );
    let backup = ["backup", "db", "--container", "nosuch"];
    ends(1, &mut kluis(&house, &absent[1..], &backup));
}

#[test]
fn containers_that_exchange_their_names_are_not_mixed_in_one_run() {
    let Some(first) = Container::start() else {
        return;
    };
    let second = Container::start().unwrap();
    for (container, tables) in [(&first, 1), (&second, 2)] {
        for database in ["a", "b"] {
            container.create_db(database);
            for number in 0..tables {
                container.psql(database, &format!("CREATE TABLE t{number} (i int)"));
            }
        }
    }
    let house = House::new();
    let (one, two) = (&first.name, &second.name);
    let done = house.path("exchanged");
    // When the first dump begins.
    let script = format!(
        "case \"$*\" in *pg_dump*dbname=*) [ -e '{done}' ] || {{ : > '{done}'; docker rename {one} \
         {one}-x && docker rename {two} {one} && docker rename {one}-x {two}; }};; esac",
        done = done.display()
    );
    wrapper(&house, &script);
    let backup = ["backup", "db", "a", "b", "--container", one];
    ends(0, &mut kluis(&house, &[], &backup));
    assert!(done.exists());
    for name in ["latest:a", "latest:b"] {
        let output = house.run(&["show", name, "--json"]);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(
            shown.contains("\"t0\"") && !shown.contains("\"t1\""),
            "{shown}"
        );
    }
}

#[test]
fn a_container_is_found_by_name_label_pattern_and_default_in_this_order() {
    let label = format!("kluis.test.found={}", std::process::id());
    let Some(first) = Container::start_with(&ContainerOptions {
        labels: &[&label],
        ..ContainerOptions::default()
    }) else {
        return;
    };
    let second = Container::start().unwrap();
    let house = House::new();
    let found = |variables: &[(&str, &str)], flags: &[&str]| {
        let backup = [&["backup", "db", "--mode", "docker"], flags].concat();
        ends(0, &mut kluis(&house, variables, &backup));
        manifest(&house)["container"].as_str().unwrap().to_owned()
    };
    let by_label = ("POSTGRES_CONTAINER_LABEL", label.as_str());
    let glob = format!("*{}", &second.name["kluis".len()..]);
    let by_pattern = ("POSTGRES_CONTAINER_PATTERN", glob.as_str());
    let by_name = ("POSTGRES_CONTAINER", second.name.as_str());
    assert_eq!(found(&[by_pattern], &[]), second.name);
    assert_eq!(found(&[by_pattern, by_label], &[]), first.name);
    assert_eq!(found(&[by_pattern, by_label, by_name], &[]), second.name);
    let flag = ["--container", first.name.as_str()];
    assert_eq!(found(&[by_pattern, by_label, by_name], &flag), first.name);
    // The default name is one for the whole machine: here the wrapper gives it.
    let real = &second.name;
    wrapper(
        &house,
        &format!(
            "case $1 in ps) docker \"$@\" | sed 's/ {real} / kanbu-postgres /'; exit;; esac\n\
             for word; do shift; [ \"$word\" = kanbu-postgres ] && word={real}\n\
             set -- \"$@\" \"$word\"; done"
        ),
    );
    assert_eq!(found(&[], &[]), "kanbu-postgres");
}

#[test]
fn what_is_not_one_running_container_is_an_error_that_lists_them() {
    let Some(first) = Container::start() else {
        return;
    };
    let second = Container::start().unwrap();
    let stopped = Container::start().unwrap();
    stop(&stopped);
    let house = House::new();
    let said = |variables: &[(&str, &str)], flags: &[&str], code| {
        let backup = [&["backup", "db", "--mode", "docker"], flags].concat();
        ends(code, &mut kluis(&house, variables, &backup))
    };
    let running = [format!("{} (", first.name), format!("{} (", second.name)];
    let of_pid = format!("kluis-test-{}-*", std::process::id());
    for (message, expected) in [
        (
            said(&[], &["--container", &stopped.name], 1),
            "is running; running are",
        ),
        (
            said(&[], &["--container", "nosuch"], 1),
            "no container \"nosuch\" is running",
        ),
        (
            said(&[("POSTGRES_CONTAINER_PATTERN", &of_pid)], &[], 1),
            "several containers whose name matches",
        ),
        (
            said(&[("POSTGRES_CONTAINER_LABEL", "kluis.test.pid")], &[], 1),
            "several containers with the label",
        ),
        (
            said(
                &[("POSTGRES_CONTAINER_LABEL", "kluis.test.nosuch=1")],
                &[],
                1,
            ),
            "no container with the label",
        ),
    ] {
        assert!(message.contains(expected), "{message}");
        assert!(
            running.iter().all(|name| message.contains(name)),
            "{message}"
        );
        assert!(
            !message.contains(&format!("{} (", stopped.name)),
            "{message}"
        );
    }
    // Docker never sees a name that it could take for an option.
    wrapper(
        &house,
        &format!("touch '{}'", house.path("called").display()),
    );
    for name in [
        "--container=-it",
        "--container=--privileged",
        "--container=a b",
        "--container=a;b",
    ] {
        let message = said(&[], &[name], 2);
        assert!(message.contains("is not usable"), "{message}");
    }
    let message = said(&[("POSTGRES_CONTAINER_PATTERN", "shop-[")], &[], 2);
    assert!(message.contains("name pattern"), "{message}");
    assert!(!house.path("called").exists());
    assert_eq!(house.listed(), [""; 0]);
}

#[test]
fn a_docker_that_cannot_be_used_says_what_to_do() {
    let house = House::new();
    let backup = ["backup", "db", "--mode", "docker"];
    let fake = house.path("fake");
    let text = fake.to_str().unwrap();
    let config = format!("[database]\ndocker_command = [{text:?}]\n");
    fs::write(house.path("kluis.toml"), config).unwrap();
    let message = ends(1, &mut kluis(&house, &[], &backup));
    assert!(
        message.contains("install docker, set docker_command"),
        "{message}"
    );
    for (words, expected) in [
        (
            "permission denied while trying to connect to the Docker daemon socket",
            "group docker",
        ),
        ("sudo: a password is required", "group docker"),
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
            "systemctl start",
        ),
        ("something else", "something else"),
    ] {
        fs::write(&fake, format!("#!/bin/sh\necho '{words}' >&2\nexit 1\n")).unwrap();
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
        let message = ends(1, &mut kluis(&house, &[], &backup));
        assert!(
            message.contains(expected) && message.contains(words),
            "{message}"
        );
    }
}

#[test]
fn an_image_without_clients_is_named() {
    let Some(container) = Container::start_with(&ContainerOptions {
        environment: &[("PATH", "/usr/bin")],
        ..ContainerOptions::default()
    }) else {
        return;
    };
    let house = House::new();
    let message = ends(
        1,
        &mut kluis(
            &house,
            &[],
            &["backup", "db", "--container", &container.name],
        ),
    );
    assert!(
        message.contains("has no `psql`: its image kluis-test-postgres"),
        "{message}"
    );
}

#[test]
fn auto_takes_the_server_that_answers_and_says_why() {
    let Some(container) = shop() else {
        return;
    };
    let Some(cluster) = support::Cluster::start_with(support::ClusterOptions {
        password: Some("right".to_owned()),
        ..support::ClusterOptions::default()
    }) else {
        return;
    };
    cluster.create_db("shop");
    let house = House::new();
    let by_name = ("POSTGRES_CONTAINER", container.name.as_str());
    let backup = ["-v", "backup", "db"];

    let url = cluster.url("shop");
    let said = ends(
        0,
        &mut kluis(&house, &[by_name, ("DATABASE_URL", &url)], &backup),
    );
    assert!(said.contains("the configured server answered"), "{said}");
    let content = manifest(&house);
    assert_eq!(content["mode"], "direct");
    assert_eq!(
        content["mode_reason"],
        "auto: the configured server answered"
    );

    // Nothing listens: the container stands in, and that is told without -v.
    let down = ("DATABASE_URL", "postgres://ann:urlword@127.0.0.1:1/shop");
    let said = ends(0, &mut kluis(&house, &[by_name, down], &backup[1..]));
    assert!(
        said.contains("instead") && said.contains(&container.name),
        "{said}"
    );
    let content = manifest(&house);
    assert_eq!(content["mode"], "docker");
    let why = content["mode_reason"].as_str().unwrap();
    assert!(
        why.contains("127.0.0.1:1") && !why.contains("urlword"),
        "{why}"
    );
    assert_eq!(content["tables"].as_array().unwrap().len(), 2);

    let said = ends(0, &mut kluis(&house, &[by_name], &backup));
    assert!(
        said.contains("no server's URL or host is configured"),
        "{said}"
    );

    // A refused login is an answer; the other way may be another server.
    let before = house.listed();
    let wrong = cluster.url("shop").replacen("%72%69%67%68%74", "wrong", 1);
    assert_ne!(wrong, url);
    let said = ends(
        1,
        &mut kluis(&house, &[by_name, ("DATABASE_URL", &wrong)], &backup),
    );
    assert!(said.contains("refused the login"), "{said}");

    let said = ends(
        1,
        &mut kluis(&house, &[("POSTGRES_CONTAINER", "nosuch"), down], &backup),
    );
    assert!(
        said.contains("127.0.0.1:1") && said.contains("\"nosuch\""),
        "{said}"
    );
    let direct = ["backup", "db", "--mode", "direct"];
    let said = ends(1, &mut kluis(&house, &[by_name, down], &direct));
    assert!(
        said.contains("127.0.0.1:1") && !said.contains("nosuch"),
        "{said}"
    );
    assert_eq!(house.listed(), before);
}

#[test]
fn a_restore_goes_to_no_container_in_place_of_the_server_that_was_meant() {
    let Some(container) = shop() else {
        return;
    };
    let house = House::new();
    house.run(&["backup", "db", "--container", &container.name]);
    container.psql("shop", "CREATE TABLE later (i int)");
    let down = [
        ("POSTGRES_CONTAINER", container.name.as_str()),
        ("DATABASE_URL", "postgres://ann:urlword@127.0.0.1:1/shop"),
    ];
    for way in [&["--replace", "--yes"][..], &["--into", "copy"]] {
        let restore = [&["restore", "latest"], way].concat();
        let said = ends(1, &mut kluis(&house, &down, &restore));
        assert!(
            said.contains("127.0.0.1:1") && said.contains("--mode docker"),
            "{said}"
        );
    }
    let later = "SELECT count(*) FROM pg_class WHERE relname = 'later'";
    assert_eq!(container.psql("shop", later), "1");
    let databases = "SELECT count(*) FROM pg_database WHERE datname IN ('shop', 'copy')";
    assert_eq!(container.psql("postgres", databases), "1");
    // Said, it is meant.
    let restore = ["restore", "latest", "--replace", "--yes"];
    let said_so = [&restore[..], &["--mode", "docker"]].concat();
    ends(0, &mut kluis(&house, &down, &said_so));
    assert_eq!(container.psql("shop", later), "0");
}

#[test]
fn doctor_tells_the_engine_and_the_containers_with_a_server() {
    let Some(container) = shop() else {
        return;
    };
    let house = House::new();
    let doctor = ["--json", "doctor", "--container", &container.name];
    let shown: Value = serde_json::from_slice(&house.run(&doctor).stdout).unwrap();
    let checks = shown["checks"].as_array().unwrap();
    let docker = checks.iter().find(|check| check["area"] == "docker");
    let docker = docker.unwrap_or_else(|| panic!("{shown:#}"));
    assert_eq!(docker["health"], "ok");
    let found = docker["found"].as_str().unwrap();
    assert!(found.contains(&format!("{} (", container.name)), "{found}");
}

#[test]
fn a_failed_dump_is_not_tried_the_other_way() {
    let Some(container) = shop() else {
        return;
    };
    let Some(cluster) = support::Cluster::start() else {
        return;
    };
    let house = House::new();
    let url = cluster.url("shop");
    let variables = [
        ("POSTGRES_CONTAINER", container.name.as_str()),
        ("DATABASE_URL", &url),
    ];
    // The server answers; it has no such database, and the container's has.
    let said = ends(1, &mut kluis(&house, &variables, &["backup", "db"]));
    assert!(said.contains("no database \"shop\""), "{said}");
    assert_eq!(house.listed(), [""; 0]);
}

/// A session that holds a table's lock, so that a dump waits for it.
struct Locked(Child);

impl Locked {
    fn start(container: &Container) -> Self {
        let sql = "BEGIN; LOCK TABLE lines; SELECT pg_sleep(600);";
        let mut psql = container.client("psql", "shop");
        psql.args(["-X", "-c", sql]).env("PGAPPNAME", "locker");
        let child = psql
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let held = "SELECT count(*) FROM pg_locks WHERE relation = 'lines'::regclass AND granted";
        wait_until("no lock", BEGIN_MAX, || container.psql("shop", held) == "1");
        Self(child)
    }

    fn end(mut self, container: &Container) {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE query LIKE 'BEGIN; LOCK TABLE%' AND pid <> pg_backend_pid()";
        container.psql("postgres", sql);
        self.0.wait().unwrap();
    }
}

fn start(house: &House, arguments: &[&str]) -> Child {
    let mut command = house.kluis();
    command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn is_running(container: &Container, program: &str) -> bool {
    let clients = container.clients_running();
    let other = |line: &str| line.contains("pg_sleep(600)") || line.contains("--version");
    let found = |line: &String| line.contains(program) && !other(line);
    clients.iter().any(found)
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

/// The sessions of kluis on the server.
fn sessions(container: &Container) -> String {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'kluis%'";
    container.psql("postgres", sql)
}

#[test]
fn a_dump_that_is_stopped_or_killed_ends_in_the_container_too() {
    let Some(container) = shop() else {
        return;
    };
    let house = House::new();
    let backup = ["backup", "db", "--container", &container.name];
    for (with, code) in [
        (Signal::TERM, Some(143)),
        (Signal::INT, Some(130)),
        (Signal::KILL, None),
    ] {
        let lock = Locked::start(&container);
        let mut child = start(&house, &backup);
        wait_until("no pg_dump", BEGIN_MAX, || {
            is_running(&container, "pg_dump")
        });
        // It stands in the queue for the lock now, or will in a moment.
        signal(&child, with);
        assert_eq!(child.wait().unwrap().code(), code);
        // Long before the lock's timeout, and with the lock still held.
        wait_until("pg_dump runs on", END_MAX, || {
            !is_running(&container, "pg_dump")
        });
        lock.end(&container);
        wait_until("clients run on", END_MAX, || {
            container.clients_running().is_empty()
        });
        assert_eq!(sessions(&container), "0");
        assert_eq!(house.listed(), [""; 0]);
    }
    house.run(&backup);
    assert_eq!(house.listed().len(), 1);
    assert_eq!(house.leftovers(), [""; 0]);
}

#[test]
fn a_dump_in_full_flow_ends_with_its_run() {
    let Some(container) = Container::start() else {
        return;
    };
    let fill = "CREATE TABLE large AS SELECT i, repeat(md5(i::text), 30) AS text \
                FROM generate_series(1, 250000) AS i";
    container.psql("postgres", fill);
    let house = House::new();
    // So slow that the dump is blocked on its output when the run is killed.
    let backup = [
        "backup",
        "db",
        "--container",
        &container.name,
        "--codec",
        "zstd",
        "--level",
        "19",
    ];
    let copying = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY%' \
                   AND application_name LIKE 'kluis%'";
    for with in [Signal::TERM, Signal::KILL] {
        let mut child = start(&house, &backup);
        wait_until("no COPY", BEGIN_MAX, || {
            container.psql("postgres", copying) == "1"
        });
        signal(&child, with);
        assert!(!child.wait().unwrap().success());
        wait_until("pg_dump runs on", END_MAX, || {
            container.clients_running().is_empty()
        });
        assert_eq!(sessions(&container), "0");
        assert_eq!(house.listed(), [""; 0]);
    }
}

#[test]
fn a_restore_that_is_stopped_or_killed_ends_in_the_container_too() {
    let Some(container) = shop() else {
        return;
    };
    // Filled again by the restore, and then it sleeps.
    container.psql(
        "shop",
        "CREATE MATERIALIZED VIEW slow AS
         SELECT pg_sleep(nullif(current_setting('kluis.pause', true), '')::float)::text AS slept",
    );
    let house = House::new();
    house.run(&["backup", "db", "--container", &container.name]);
    container.psql("postgres", "ALTER ROLE ann SET kluis.pause = '600'");
    let databases = || {
        container.psql(
            "postgres",
            "SELECT string_agg(datname, ' ') FROM pg_database",
        )
    };
    let refreshing = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'REFRESH%'";
    for (with, code) in [(Signal::TERM, Some(143)), (Signal::KILL, None)] {
        let restore = [
            "restore",
            "latest",
            "--replace",
            "--yes",
            "--container",
            &container.name,
        ];
        let mut child = start(&house, &restore);
        wait_until("no REFRESH", BEGIN_MAX, || {
            container.psql("postgres", refreshing) == "1"
        });
        signal(&child, with);
        assert_eq!(child.wait().unwrap().code(), code);
        wait_until("psql runs on", END_MAX, || {
            container.clients_running().is_empty()
        });
        assert_eq!(sessions(&container), "0");
        assert_eq!(container.psql("shop", "SELECT count(*) FROM lines"), "255");
        if with == Signal::TERM {
            assert!(!databases().contains("_kluis_"), "{}", databases());
        }
    }
}

#[test]
fn a_container_that_goes_away_in_the_middle_publishes_nothing() {
    type End = fn(&Container);
    for (how, end) in [("kill", Container::kill as End), ("stop", stop)] {
        let Some(container) = shop() else {
            return;
        };
        let house = House::new();
        let lock = Locked::start(&container);
        let child = start(&house, &["backup", "db", "--container", &container.name]);
        wait_until("no pg_dump", BEGIN_MAX, || {
            is_running(&container, "pg_dump")
        });
        end(&container);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{how}: {said}");
        let gone = format!("the container {} went away", container.name);
        assert!(said.contains(&gone), "{how}: {said}");
        assert_eq!(house.listed(), [""; 0]);
        assert_eq!(house.leftovers(), [""; 0]);
        let Locked(mut psql) = lock;
        psql.wait().unwrap();
    }
}
