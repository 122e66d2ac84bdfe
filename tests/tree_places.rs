//! Where a tree is restored to, and what comes back there: into a mount point, beside
//! `lost+found`, below a directory that others keep or that has a default ACL, by a user
//! who may not set all that the archive has.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Output};

use kluis::format::posix_acl;

use crate::support::home::{Home, text};

const NOBODY: u32 = 65534;

/// A home with a backup of a tree: `a`, `d/b`.
fn backed_up() -> Home {
    let home = Home::new();
    fs::create_dir_all(home.path("t/d")).unwrap();
    for path in ["t/a", "t/d/b"] {
        fs::write(home.path(path), "x").unwrap();
    }
    home
}

/// kluis behind `wrapper`, which ends with its arguments.
fn wrapped(home: &Home, wrapper: &[&str], arguments: &[&str]) -> Output {
    let kluis = home.kluis(arguments);
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]);
    command.arg(kluis.get_program()).args(kluis.get_args());
    let variables = kluis.get_envs();
    let variables = variables.filter_map(|(name, value)| Some((name, value?)));
    command.env_clear().envs(variables);
    command.current_dir(home.path("")).output().unwrap()
}

fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said + &String::from_utf8_lossy(&output.stdout)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the machine lets nobody do it; in CI that is an error.
fn is_refused(output: &Output, program: &str) -> bool {
    let refused = said(output).contains(&format!("{program}: "));
    assert!(
        !refused || std::env::var("CI").as_deref() != Ok("true"),
        "{output:?}"
    );
    if refused {
        eprintln!("skipped: {}", said(output));
    }
    refused
}

/// Everything below `path` becomes nobody's.
fn give_away(path: &Path) {
    for entry in walkdir::WalkDir::new(path) {
        std::os::unix::fs::lchown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

const AS_NOBODY: [&str; 4] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
];

#[test]
fn links_that_lead_outside_come_back_with_a_note_or_not_where_that_is_asked_for() {
    let home = backed_up();
    for (target, link) in [
        ("/etc", "t/out"),
        ("nowhere", "t/dangling"),
        ("d/../a", "t/may"),
    ] {
        symlink(target, home.path(link)).unwrap();
    }
    home.run(&["backup", "source", "t"]);
    let output = home.run(&["restore", "latest", "--to", text(&home.path("all"))]);
    assert!(
        said(&output).contains("2 symlinks lead outside the tree"),
        "{output:?}"
    );
    for (target, link) in [("/etc", "all/out"), ("d/../a", "all/may")] {
        assert_eq!(fs::read_link(home.path(link)).unwrap(), Path::new(target));
    }
    home.run(&["verify", "--restore", "latest"]);
    let to = home.path("some");
    home.ends(
        3,
        &["restore", "latest", "--no-links-outside", "--to", text(&to)],
    );
    assert!(to.join("dangling").is_symlink() && !to.join("out").is_symlink());
}

#[test]
fn what_cannot_be_set_is_named_and_lends_nobody_rights() {
    if !is_root() {
        return eprintln!("skipped: only root can give files away");
    }
    let home = backed_up();
    chown(home.path("t/a"), Some(1234), Some(1234)).unwrap();
    fs::set_permissions(home.path("t/a"), Permissions::from_mode(0o6755)).unwrap();
    home.run(&["backup", "source", "t"]);
    let to = home.path("to");
    let arguments = ["restore", "latest", "--to", text(&to)];
    let output = wrapped(&home, &["unshare", "-Ur"], &arguments);
    if is_refused(&output, "unshare") {
        return;
    }
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        said(&output).contains("\"a\" could not be given its owner 1234:1234"),
        "{output:?}"
    );
    assert!(
        said(&output).contains("1 entry could not be given"),
        "{output:?}"
    );
    assert_eq!(fs::metadata(to.join("a")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read(to.join("d/b")).unwrap(), b"x");
}

#[test]
fn a_default_acl_above_gives_nothing_that_the_archive_does_not_grant() {
    let home = backed_up();
    fs::set_permissions(home.path("t/a"), Permissions::from_mode(0o640)).unwrap();
    home.run(&["backup", "source", "t"]);
    let acl = "user::rwx,user:1234:rwx,group::rwx,mask::rwx,other::r-x";
    let acl = posix_acl::from_text(acl.as_bytes()).unwrap();
    let parent = home.path("parent");
    fs::create_dir(&parent).unwrap();
    if let Err(error) = xattr::set(&parent, "system.posix_acl_default", &acl) {
        return eprintln!("skipped: no ACLs here: {error}");
    }
    home.run(&["restore", "latest", "--to", text(&parent.join("to"))]);
    for path in ["to", "to/a", "to/d", "to/d/b"] {
        for name in ["system.posix_acl_access", "system.posix_acl_default"] {
            assert_eq!(xattr::get(parent.join(path), name).unwrap(), None, "{path}");
        }
    }
    assert_eq!(
        fs::metadata(parent.join("to/a")).unwrap().mode() & 0o777,
        0o640
    );
}

#[test]
fn attributes_come_back_also_where_the_mode_forbids_to_write() {
    if !is_root() {
        return eprintln!("skipped: only root can become another user");
    }
    let home = backed_up();
    for (path, mode) in [("t/d/b", 0o444), ("t/d", 0o555)] {
        if let Err(error) = xattr::set(home.path(path), "user.note", b"kept") {
            return eprintln!("skipped: no attributes here: {error}");
        }
        fs::set_permissions(home.path(path), Permissions::from_mode(mode)).unwrap();
    }
    give_away(&home.path(""));
    let to = home.path("to");
    for arguments in [
        &["backup", "source", "t"][..],
        &["restore", "latest", "--to", text(&to)],
    ] {
        let output = wrapped(&home, &AS_NOBODY, arguments);
        if is_refused(&output, "setpriv") {
            return;
        }
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    for path in ["d", "d/b"] {
        let note = xattr::get(to.join(path), "user.note").unwrap();
        assert_eq!(note.as_deref(), Some(&b"kept"[..]), "{path}");
    }
    assert_eq!(fs::metadata(to.join("d/b")).unwrap().mode() & 0o777, 0o444);
}

#[test]
fn a_mount_point_is_filled_and_stays_what_it_was() {
    let home = backed_up();
    home.run(&["backup", "source", "t"]);
    fs::create_dir(home.path("to")).unwrap();
    // What kluis leaves is seen inside only.
    let script = "mount -t tmpfs none to && mkdir -m 700 'to/lost+found' && i=$(stat -c %i to) \
                  && \"$@\" && test $i = $(stat -c %i to) && test -f to/d/b && ls -A to";
    let wrapper = ["unshare", "-m", "sh", "-c", script, "sh"];
    let output = wrapped(&home, &wrapper, &["-q", "restore", "latest", "--to", "to"]);
    if is_refused(&output, "unshare") || is_refused(&output, "mount") {
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(said(&output).ends_with("a\nd\nlost+found\n"), "{output:?}");
}

#[test]
fn a_directory_whose_parent_others_keep_is_filled_as_it_stands() {
    if !is_root() {
        return eprintln!("skipped: only root can become another user");
    }
    let home = backed_up();
    fs::set_permissions(home.path("t/d"), Permissions::from_mode(0o555)).unwrap();
    home.run(&["backup", "source", "t"]);
    fs::create_dir_all(home.path("kept/to")).unwrap();
    give_away(&home.path(""));
    chown(home.path("kept"), Some(0), Some(0)).unwrap();
    let to = home.path("kept/to");
    let inode = fs::metadata(&to).unwrap().ino();
    let arguments = ["restore", "latest", "--to", text(&to)];
    let output = wrapped(&home, &AS_NOBODY, &arguments);
    if is_refused(&output, "setpriv") {
        return;
    }
    // Root's files are nobody's now, which is told.
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let mut names: Vec<_> = fs::read_dir(&to)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a", "d"]);
    assert_eq!(fs::metadata(&to).unwrap().ino(), inode);
    assert_eq!(fs::metadata(to.join("d")).unwrap().mode() & 0o777, 0o555);
    // What a killed run left in it is no content.
    fs::remove_file(to.join("a")).unwrap();
    fs::remove_dir_all(to.join("d")).unwrap();
    fs::create_dir(to.join(".to.kluis-0123456789abcdef")).unwrap();
    fs::set_permissions(
        to.join(".to.kluis-0123456789abcdef"),
        Permissions::from_mode(0o700),
    )
    .unwrap();
    give_away(&to);
    let output = wrapped(&home, &AS_NOBODY, &arguments);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 2);
    // And what stands there is an obstacle.
    let output = wrapped(&home, &AS_NOBODY, &arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(said(&output).contains("it is not empty"), "{output:?}");
}

#[test]
fn a_tree_is_listed_and_a_part_of_it_comes_back_with_the_directories_above() {
    let home = backed_up();
    fs::create_dir_all(home.path("t/etc/app")).unwrap();
    for path in ["t/etc/app/x.conf", "t/etc/other", "t/d/y.conf"] {
        fs::write(home.path(path), "y").unwrap();
    }
    fs::hard_link(home.path("t/etc/other"), home.path("t/z")).unwrap();
    fs::set_permissions(home.path("t/etc"), Permissions::from_mode(0o711)).unwrap();
    home.run(&["backup", "source", "t"]);
    let listed = |arguments: &[&str]| -> Vec<String> {
        let list = [&["restore", "latest:source", "--list"], arguments].concat();
        let list = home.json(&list);
        let rows = list["entries"].as_array().unwrap();
        rows.iter()
            .map(|row| row["path"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = [
        ".",
        "a",
        "d",
        "d/b",
        "d/y.conf",
        "etc",
        "etc/app",
        "etc/app/x.conf",
        "etc/other",
        "z",
    ];
    assert_eq!(listed(&[]), all);
    assert_eq!(
        listed(&["--path", "*.conf"]),
        ["d/y.conf", "etc/app/x.conf"]
    );
    let restore = |to: &str, code: i32, paths: &[&str]| {
        let to = home.path(to);
        let mut arguments = vec!["restore", "latest:source", "--to", text(&to)];
        arguments.extend(paths.iter().flat_map(|path| ["--path", path]));
        let output = home.ends(code, &arguments);
        let entries = walkdir::WalkDir::new(&to).min_depth(1).sort_by_file_name();
        let path = |it: walkdir::DirEntry| {
            let path = it.path().strip_prefix(&to).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let entries = entries.into_iter().filter_map(Result::ok);
        (entries.map(path).collect::<Vec<_>>(), said(&output))
    };
    let (files, said) = restore("one", 0, &["/etc/app/"]);
    assert_eq!(files, ["etc", "etc/app", "etc/app/x.conf"]);
    assert!(said.contains("2 entries of it"), "{said}");
    assert_eq!(
        fs::metadata(home.path("one/etc")).unwrap().mode() & 0o777,
        0o711
    );
    assert_eq!(
        restore("two", 0, &["y.conf", "a"]).0,
        ["a", "d", "d/y.conf"]
    );
    // The content of a further name comes with the first.
    let (files, said) = restore("three", 3, &["z", "a"]);
    assert_eq!(files, ["a"]);
    assert!(said.contains("further name of \"etc/other\""), "{said}");
    assert_eq!(restore("four", 2, &["nothing"]).0, [""; 0]);
}

#[test]
fn where_nothing_can_be_locked_backups_come_back_and_a_new_one_says_what_to_do() {
    let home = backed_up();
    home.run(&["backup", "source", "t"]);
    let without_locks = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=flock",
        "-e",
        "inject=flock:error=ENOLCK",
    ];
    let to = home.path("to");
    for (code, arguments) in [
        (0, &["restore", "latest", "--to", text(&to)][..]),
        (0, &["verify", "latest"]),
        (1, &["backup", "source", "t"]),
    ] {
        let output = wrapped(&home, &without_locks, arguments);
        if is_refused(&output, "strace") {
            return;
        }
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(
            said(&output).contains("lock_dir = \"/run/kluis\""),
            code == 1
        );
    }
    assert_eq!(fs::read(to.join("d/b")).unwrap(), b"x");
}

#[test]
fn where_only_the_storage_knows_no_locks_this_hosts_directory_holds_runs_apart() {
    let locks = tempfile::tempdir().unwrap();
    let directory = locks.path().join("run/kluis");
    let config = format!("[storage]\nlock_dir = {:?}\n", text(&directory));
    let home = backed_up().configure(&config);
    home.run(&["backup", "source", "t"]);
    let lock = home.storage().join("kluis.lock");
    assert!(!lock.exists());
    let without_locks = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-P",
        text(&lock),
        "-e",
        "trace=flock",
        "-e",
        "inject=flock:error=ENOLCK",
    ];
    let output = wrapped(&home, &without_locks, &["backup", "source", "t"]);
    if is_refused(&output, "strace") {
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // By another path to the same storage.
    let link = home.path("link");
    std::os::unix::fs::symlink(home.storage(), &link).unwrap();
    let name = fs::read_dir(&directory).unwrap().next().unwrap().unwrap();
    let held = File::open(name.path()).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let refused = home.ends(6, &["-s", text(&link), "backup", "source", "t"]);
    assert!(said(&refused).contains("is locked"), "{refused:?}");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
}
