//! What `kluis backup source` takes: which files its globs choose, trees that are
//! not there, single files, the storage behind another path, files of no size.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::home::{Home, text};

fn write(home: &Home, paths: &[&str]) {
    for path in paths {
        let path = home.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
}

/// The paths in the newest backup, but for the root, sorted.
fn kept(home: &Home) -> Vec<String> {
    let back = tempfile::tempdir().unwrap();
    let to = back.path().join("to");
    home.run(&["restore", "latest:source", "--to", text(&to)]);
    let entries = walkdir::WalkDir::new(&to).min_depth(1).sort_by_file_name();
    let relative = |entry: walkdir::DirEntry| {
        let path = entry.path().strip_prefix(&to).unwrap();
        path.to_str().unwrap().to_owned()
    };
    entries
        .into_iter()
        .map(|it| relative(it.unwrap()))
        .collect()
}

fn newest(home: &Home) -> Value {
    home.json(&["show", "latest"])["manifest"]["source"].clone()
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_glob_stands_for_characters_whatever_their_bytes() {
    let home = Home::new();
    write(
        &home,
        &["t/ü.doc", "t/État.doc", "t/ça", "t/été.doc", "t/é.txt"],
    );
    home.run(&["backup", "source", "t", "--exclude", "[é]*"]);
    let mut expected = ["ça", "État.doc", "ü.doc"];
    expected.sort_unstable();
    assert_eq!(kept(&home), expected);
    home.run(&["backup", "source", "t", "--exclude", "?.txt"]);
    assert!(!kept(&home).contains(&"é.txt".to_owned()));
    let refused = home.ends(2, &["backup", "source", "t", "--exclude", "[z-a]"]);
    assert!(said(&refused).contains("[z-a]"), "{refused:?}");
}

#[test]
fn a_list_takes_back_what_it_left_out_and_its_mark_is_no_part_of_a_line() {
    let home = Home::new();
    write(
        &home,
        &[
            "t/a.tmp",
            "t/important.tmp",
            "t/sub/b.tmp",
            "t/kept",
            "t/end ",
            "t/app.log",
        ],
    );
    let list = "\u{feff}*.tmp\r\n# a remark\r\n!important.tmp\r\nend\\ \r\n!*.log\r\n";
    fs::write(home.path("list"), list).unwrap();
    home.run(&["backup", "source", "t", "--exclude-from", "list"]);
    assert_eq!(kept(&home), ["app.log", "important.tmp", "kept", "sub"]);
}

#[test]
fn an_absolute_pattern_counts_below_its_tree_and_any_other_is_refused() {
    let home = Home::new();
    write(&home, &["t/cache/a", "t/deep/cache/b", "u/cache/c", "u/d"]);
    let pattern = text(&home.path("t/cache")).to_owned();
    home.run(&["backup", "source", "t", "--exclude", &pattern]);
    assert_eq!(kept(&home), ["deep", "deep/cache", "deep/cache/b"]);
    // It is no matter of another tree of the same run.
    home.run(&["backup", "source", "t", "u", "--exclude", &pattern]);
    assert_eq!(newest(&home)["files"], 2);
    let refused = home.ends(2, &["backup", "source", "u", "--exclude", &pattern]);
    assert!(said(&refused).contains("absolute path"), "{refused:?}");
}

#[test]
fn trees_that_are_not_there_are_named_and_the_others_backed_up() {
    let home = Home::new();
    write(&home, &["one/a", "two/b"]);
    let output = home.ends(3, &["--json", "backup", "source", "one", "gone", "two"]);
    assert!(said(&output).contains("gone"), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = |list: &str| -> Vec<String> {
        let rows = report[list].as_array().unwrap();
        rows.iter()
            .map(|row| row["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        (names("backups"), names("failed")),
        (vec!["one".into(), "two".into()], vec!["gone".into()])
    );
    let history = home.json(&["history"]);
    assert!(
        history.to_string().contains("no backup of gone was made"),
        "{history}"
    );
    home.ends(2, &["backup", "source", "gone", "missing"]);
}

#[test]
fn a_single_file_is_a_tree_of_one() {
    let home = Home::new();
    write(&home, &["d/one.log", "d/other"]);
    std::os::unix::fs::symlink("d/one.log", home.path("link")).unwrap();
    for given in ["d/one.log", "link"] {
        home.run(&["backup", "source", given]);
        let source = newest(&home);
        assert_eq!(
            (&source["files"], &source["directories"]),
            (&1.into(), &1.into())
        );
        assert_eq!(kept(&home), ["one.log"]);
        home.run(&["verify", "--restore", "latest:source"]);
    }
    let status = Command::new("mkfifo")
        .arg(home.path("fifo"))
        .status()
        .unwrap();
    assert!(status.success());
    let refused = home.ends(2, &["backup", "source", "fifo"]);
    assert!(
        said(&refused).contains("neither a directory nor"),
        "{refused:?}"
    );
}

#[test]
fn the_storage_is_left_out_and_named_wherever_the_walk_comes_to_it() {
    let home = Home::new();
    write(&home, &["t/a"]);
    fs::create_dir(home.path("storage")).unwrap();
    fs::create_dir(home.path("t/mounted")).unwrap();
    let script = "mount --bind storage t/mounted && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]);
    let kluis = home.kluis(&["--json", "backup", "source", "t"]);
    command.arg(kluis.get_program()).args(kluis.get_args());
    command.env_clear().envs(
        kluis
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = command.current_dir(home.path("")).output().unwrap();
    if said(&output).contains("unshare:") || said(&output).contains("mount:") {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{output:?}");
        return eprintln!("skipped: nothing can be mounted here");
    }
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(kept(&home), ["a"]);
    let excludes = newest(&home)["excludes"].to_string();
    assert!(
        excludes.contains("t/mounted (the storage itself)"),
        "{excludes}"
    );
    // As the tree itself it is refused.
    let output = home.ends(1, &["backup", "source", "storage"]);
    assert!(
        said(&output).contains("is the storage itself"),
        "{output:?}"
    );
}

#[test]
fn files_that_say_they_are_empty_are_read_to_their_end() {
    let home = Home::new();
    if !Path::new("/proc/sys/kernel").is_dir() {
        return eprintln!("skipped: there is no procfs");
    }
    home.run(&[
        "backup",
        "source",
        "/proc/sys/kernel/ostype",
        "--name",
        "proc",
    ]);
    let back = home.path("back");
    home.run(&["restore", "latest:proc", "--to", text(&back)]);
    assert_eq!(fs::read(back.join("ostype")).unwrap(), b"Linux\n");
}

#[test]
fn fifos_are_named_to_who_asks_and_in_the_manifest() {
    let home = Home::new();
    write(&home, &["t/a"]);
    let status = Command::new("mkfifo")
        .arg(home.path("t/pipe"))
        .status()
        .unwrap();
    assert!(status.success());
    let output = home.run(&["-v", "--json", "backup", "source", "t"]);
    assert!(
        said(&output).contains("left out, a fifo: pipe"),
        "{output:?}"
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        report["backups"][0]["source"]["specials"][0]["path"],
        "pipe"
    );
    assert_eq!(newest(&home)["specials"][0]["kind"], "fifo");
}

#[test]
fn a_sparse_file_is_proved_in_the_room_of_its_data() {
    let home = Home::new();
    fs::create_dir(home.path("t")).unwrap();
    let mut file = File::create(home.path("t/vm.img")).unwrap();
    file.write_all(b"data").unwrap();
    file.set_len(500 << 30).unwrap();
    home.run(&["backup", "source", "t"]);
    home.run(&["verify", "--restore", "latest:source"]);
}
