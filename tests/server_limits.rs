//! Limits of time that a role has on its server: no backup of roles ends by them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::Cluster;
use crate::support::house::House;
use crate::support::majors;

/// pg_dumpall lifts no limit by itself.
#[test]
fn no_time_limit_of_a_role_stops_the_backup_of_roles() {
    for major in [14, 18] {
        let Some(cluster) = Cluster::of_major(major) else {
            continue;
        };
        // What is asked of so many takes longer than that.
        cluster.psql(
            "postgres",
            "DO $$ BEGIN FOR n IN 1..2000 LOOP EXECUTE 'CREATE ROLE r' || n;
             END LOOP; END $$;
             CREATE ROLE nightly LOGIN SUPERUSER;
             ALTER ROLE nightly SET statement_timeout = '4ms';
             ALTER ROLE nightly SET lock_timeout = '1ms';
             ALTER ROLE nightly SET idle_in_transaction_session_timeout = '500ms'",
        );
        for (since, limit) in [(14, "idle_session_timeout"), (17, "transaction_timeout")] {
            if major >= since {
                let sql = format!("ALTER ROLE nightly SET {limit} = '500ms'");
                cluster.psql("postgres", &sql);
            }
        }
        let house = House::new();
        let directory = house.path("clients");
        fs::create_dir_all(&directory).unwrap();
        let told = house.path("limits");
        let bin = majors::programs(major).unwrap();
        let (bin, told_to) = (bin.display(), told.display());
        for (program, before) in [
            ("psql", String::new()),
            ("pg_dump", String::new()),
            (
                "pg_dumpall",
                format!(
                    "[ \"$1\" = --version ] || {bin}/psql -X -A -t -d postgres -c \"SELECT name || \
                     ' ' || setting || coalesce(unit, '') FROM pg_settings WHERE name ~ '_timeout$' \
                     AND context = 'user' AND name !~ '^(tcp|client|wal)' ORDER BY 1\" > {told_to}\n"
                ),
            ),
        ] {
            let path = directory.join(program);
            let text = format!("#!/bin/sh\n{before}exec {bin}/{program} \"$@\"\n");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let text = format!("[database]\nclient_bin_dir = {:?}\n", directory.display());
        fs::write(house.path("kluis.toml"), text).unwrap();
        let url = cluster.url("postgres").replace("postgres@", "nightly@");
        house.run(&["backup", "db", "--globals", "--url", &url]);
        let limits = fs::read_to_string(&told).unwrap();
        for line in limits.lines() {
            let lifted = line.ends_with(" 0ms") || line == "lock_timeout 60000ms";
            assert!(lifted, "{major}: {limits}");
        }
        assert!(limits.lines().count() >= 4, "{limits}");
    }
}
