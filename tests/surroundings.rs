//! What stands around a run: whose the storage is, who listens on stderr, a clock's
//! zone that nobody knows, and who is left behind in a container.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::process::{Command, Output, Stdio};

use crate::support::home::Home;
use crate::support::house::House;
use crate::support::programs;

fn is_root() -> bool {
    let is = rustix::process::geteuid().is_root();
    if !is {
        eprintln!("skipped: only root can give files away");
    }
    is
}

const USER: u32 = 12_345;

fn as_user(home: &Home, arguments: &[&str]) -> Output {
    let kluis = home.kluis(arguments);
    let mut user = Command::new("setpriv");
    user.args(["--reuid", "12345", "--regid", "12345", "--clear-groups"]);
    user.arg(kluis.get_program())
        .args(kluis.get_args())
        .env_clear();
    for (name, value) in kluis.get_envs() {
        user.envs(value.map(|value| (name, value)));
    }
    user.current_dir(home.path("")).output().unwrap()
}

/// The storage is a user's, and the tree too; root has backed up into it.
fn with_a_users_storage() -> Home {
    let home = Home::keyless();
    fs::create_dir(home.path("tree")).unwrap();
    fs::write(home.path("tree/file"), "x").unwrap();
    fs::create_dir(home.storage()).unwrap();
    for path in [home.storage(), home.path("tree"), home.path("tree/file")] {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
    home.run(&["backup", "source", "tree", "--no-encrypt"]);
    home
}

/// As an earlier kluis left them: each command tells them and goes on.
#[test]
fn files_that_root_left_in_a_users_storage_are_named_and_passed_over() {
    if !is_root() || !programs::are_here(&["setpriv"]) {
        return;
    }
    let home = with_a_users_storage();
    let mut roots = Vec::new();
    for directory in [home.storage(), home.storage().join("runs")] {
        let entries = fs::read_dir(directory)
            .unwrap()
            .map(|it| it.unwrap().path());
        let names = entries.filter(|path| path.to_str().unwrap().contains("source"));
        roots.extend(names);
    }
    assert_eq!(roots.len(), 3, "an archive, its manifest and a record");
    home.run(&["backup", "source", "tree", "--no-encrypt"]);
    for path in &roots {
        chown(path, Some(0), Some(0)).unwrap();
    }
    chown(home.path(""), Some(USER), Some(USER)).unwrap();
    let manifest = roots
        .iter()
        .find(|path| path.to_str().unwrap().ends_with(".gz.json"));
    let manifest = manifest.unwrap().to_str().unwrap();
    for (code, arguments) in [
        (0, &["list"][..]),
        (0, &["show", "latest"]),
        (0, &["status"]),
        (0, &["report"]),
        (0, &["history"]),
        (0, &["series", "list"]),
        (0, &["key", "list"]),
        (0, &["prune"]),
        (0, &["backup", "source", "tree", "--no-encrypt"]),
        (0, &["restore", "latest", "--to", "out"]),
        (0, &["keep", "latest"]),
        // Those two judge it.
        (4, &["verify", "--all"]),
        (5, &["check", "--no-server"]),
    ] {
        let output = as_user(&home, arguments);
        let said = [&output.stderr[..], &output.stdout].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        if !matches!(arguments[0], "status" | "report" | "history" | "check") {
            let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let remedy = format!("chown --reference={} {manifest}", home.storage().display());
            assert!(words.contains(&remedy), "{arguments:?}: {said}");
        }
    }
}

/// The storage is a user's; root backs up into it once.
#[test]
fn what_root_makes_in_a_users_storage_is_that_users() {
    if !is_root() || !programs::are_here(&["setpriv"]) {
        return;
    }
    let home = with_a_users_storage();
    home.run(&["verify", "--all"]);
    let mut left = vec![home.storage()];
    while let Some(path) = left.pop() {
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (USER, USER), "{path:?}");
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|it| it.unwrap().path()));
        }
    }
    // And the user goes on with it.
    for directory in [home.path(""), home.path("tree")] {
        chown(directory, Some(USER), Some(USER)).unwrap();
    }
    for arguments in [
        &["list"][..],
        &["backup", "source", "tree", "--no-encrypt"],
        &["verify", "--all"],
        &["history"],
        &["check", "--no-server"],
    ] {
        let output = as_user(&home, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().unwrap();
        assert!(
            code == 0 || arguments[0] == "check" && code == 5,
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn the_journal_is_told_what_matters_how_much() {
    let home = Home::keyless();
    fs::create_dir(home.path("tree")).unwrap();
    let said = |arguments: &[&str], stream: Option<&str>| {
        let path = home.path("stderr");
        let file = File::create(&path).unwrap();
        let own = file.metadata().unwrap();
        let own = format!("{}:{}", own.dev(), own.ino());
        let mut kluis = home.kluis(arguments);
        kluis.env("JOURNAL_STREAM", stream.unwrap_or(&own));
        kluis.stdout(Stdio::null()).stderr(file).status().unwrap();
        fs::read_to_string(path).unwrap()
    };
    let journal = said(&["backup", "source", "gone"], None);
    assert!(journal.starts_with("<3>error: "), "{journal}");
    let warned = said(&["backup", "source", "tree"], None);
    assert!(warned.contains("<4>warning: no encryption key"), "{warned}");
    // Another stream is the journal's, or none.
    for other in ["1:2", ""] {
        let plain = said(&["backup", "source", "gone"], Some(other));
        assert!(plain.starts_with("error: "), "{plain}");
    }
}

#[test]
fn a_zone_that_nobody_knows_is_told_and_not_taken_for_the_machines() {
    let zone = |home: Home| {
        let output = home.kluis(&["doctor"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let words: Vec<_> = said.split_whitespace().collect();
        words
            .join(" ")
            .contains("the machine's time zone is not known")
    };
    assert!(zone(Home::keyless().set("TZ", "Mars/Olympus")));
    assert!(!zone(Home::keyless()));
    // Where another one counts, it does not matter.
    let told = Home::keyless().set("TZ", "Mars/Olympus");
    assert!(!zone(told.set("BACKUP_CRON_TIMEZONE", "UTC")));
}

#[test]
fn a_schedule_runs_in_no_zone_that_nobody_knows() {
    let nightly = "[[schedule]]\nname = \"nightly\"\nwhat = \"db\"\ncron = \"17 3 * * *\"\n";
    let next = |zone: &str| {
        let home = Home::keyless().set("TZ", "Mars/Olympus");
        let home = home.configure(&format!("{nightly}{zone}"));
        let output = home.kluis(&["serve", "--next"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = next("");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("nightly") && said.contains("Mars/Olympus"),
        "{said}"
    );
    assert_eq!(next("time_zone = \"Europe/Amsterdam\"\n").0, Some(0));
    assert_eq!(next("enabled = false\n").0, Some(0));
}

/// The signal for it ends a process that knows nothing of it.
#[test]
fn a_file_beyond_the_largest_size_is_an_error_with_a_record() {
    let home = Home::new();
    let mut noise = vec![0; 300_000];
    noise.iter_mut().fold(1_u32, |seed, byte| {
        *byte = (seed >> 24) as u8;
        seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)
    });
    fs::write(home.path("noise"), noise).unwrap();
    let kluis = home.kluis(&["backup", "source", "noise"]);
    let mut limited = Command::new("bash");
    limited.args(["-c", "ulimit -f 100; exec \"$0\" \"$@\""]);
    limited.arg(kluis.get_program()).args(kluis.get_args());
    limited.env_clear().current_dir(home.path("."));
    for (name, value) in kluis.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    let output = limited.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("LimitFSIZE"), "{said}");
    let history = home.json(&["history"]);
    assert_eq!(history["runs"][0]["result"], "failed", "{history}");
}

#[test]
fn doctor_names_the_variables_of_another_service_and_never_their_values() {
    let home = Home::keyless()
        .set("BACKUP_GDRIVE_TOKEN", "c4n4ry")
        .set("POSTGRES_DB", "x");
    let output = home.kluis(&["doctor"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("does not read BACKUP_GDRIVE_TOKEN"), "{said}");
    assert!(
        !said.contains("c4n4ry") && !said.contains("POSTGRES_DB"),
        "{said}"
    );
}

#[test]
fn a_comment_behind_a_value_is_refused_by_the_variables_name_alone() {
    let home = Home::keyless().set("BACKUP_ENCRYPTION_KEY", "c4n4ry     # Enables encryption");
    let output = home.ends(2, &["list"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("BACKUP_ENCRYPTION_KEY: a blank and a #"),
        "{said}"
    );
    assert!(!said.contains("c4n4ry"), "{said}");
}

/// As a user of its own, as root has no such limit.
#[test]
fn a_backup_that_can_start_no_thread_leaves_its_record() {
    let house = House::new();
    let own = tempfile::Builder::new()
        .prefix("kluis")
        .tempdir_in("/tmp")
        .unwrap();
    let of = |name: &str| own.path().join(name);
    fs::copy(crate::support::house::program(), of("kluis")).unwrap();
    fs::create_dir(of("tree")).unwrap();
    fs::write(of("tree/file"), "x").unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        let mut give = Command::new("chown");
        give.args(["-R", "games"]).arg(own.path());
        assert!(give.status().unwrap().success());
    }
    let back_up = |limit: &[&str]| {
        let mut command = house.command("setpriv");
        if is_root {
            command.args(["--reuid=games", "--clear-groups"]);
        }
        command.args(limit).arg(of("kluis"));
        command
            .args(["backup", "source", "tree"])
            .env_remove("KLUIS_CONFIG")
            .env("HOME", own.path())
            .env("BACKUP_LOCAL_PATH", of("storage"))
            .current_dir(own.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = back_up(&[]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = back_up(&["prlimit", "--nproc=1"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no thread to hear signals by"), "{said}");
    let runs = fs::read_dir(of("storage/runs")).unwrap();
    let failed: Vec<String> = runs
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .filter(|record| record.contains("FAILED"))
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    let told = failed[0].contains("no thread to hear signals by");
    assert!(told, "{failed:?}");
}
