//! What `Storage` promises, held on every driver; below it what only a
//! directory on this host can be asked.

use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kluis::storage::{ErrorKind, LocalStorage, MemoryStorage, Storage, StorageError};

use crate::support::faulting::{FaultPlan, Faulting, Manner};
use crate::support::only;

/// Every case is a function over a storage; each driver runs all of them.
macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod local {
            $(#[test] fn $case() {
                let root = tempfile::tempdir().unwrap();
                let storage = kluis::storage::LocalStorage::open(root.path(), false).unwrap();
                super::$case(&storage);
            })*
        }
        mod memory {
            $(#[test] fn $case() {
                super::$case(&kluis::storage::MemoryStorage::new());
            })*
        }
    };
}

contract! {
    a_new_object_is_invisible_until_commit,
    a_dropped_write_leaves_nothing,
    create_refuses_a_taken_name_at_once,
    commit_refuses_a_name_that_was_taken_meanwhile,
    replace_makes_and_replaces,
    open_reads_from_the_offset,
    open_past_the_end_reads_nothing,
    a_missing_object_is_not_found,
    remove_removes_for_good,
    list_is_sorted_and_keeps_records_apart,
    list_takes_the_beginning_of_a_name,
    bad_keys_are_refused_everywhere,
    odd_but_good_keys_work,
    an_empty_object_is_an_object,
    sweep_touches_no_object,
    an_error_names_action_place_and_cause,
}

fn put(storage: &dyn Storage, key: &str, bytes: &[u8]) {
    let mut write = storage.create(key).unwrap();
    write.write_all(bytes).unwrap();
    write.commit().unwrap();
}

fn get(storage: &dyn Storage, key: &str, offset: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = storage.open(key, offset).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

fn keys(storage: &dyn Storage, prefix: &str) -> Vec<String> {
    let objects = storage.list(prefix).unwrap();
    objects.into_iter().map(|object| object.key).collect()
}

fn kind<T>(result: Result<T, StorageError>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

fn a_new_object_is_invisible_until_commit(storage: &dyn Storage) {
    for key in ["a", "runs/a"] {
        let mut write = storage.create(key).unwrap();
        write.write_all(b"one ").unwrap();
        write.write_all(b"two").unwrap();
        write.flush().unwrap();
        assert!(keys(storage, "").is_empty() && keys(storage, "runs/").is_empty());
        assert_eq!(kind(storage.open(key, 0)), Some(ErrorKind::NotFound));
        write.commit().unwrap();
        assert_eq!(get(storage, key, 0), b"one two");
        storage.remove(key).unwrap();
    }
}

fn a_dropped_write_leaves_nothing(storage: &dyn Storage) {
    let mut write = storage.create("a").unwrap();
    write.write_all(b"half").unwrap();
    drop(write);
    assert!(keys(storage, "").is_empty());
    put(storage, "a", b"whole");
}

fn create_refuses_a_taken_name_at_once(storage: &dyn Storage) {
    put(storage, "a", b"old");
    assert_eq!(kind(storage.create("a")), Some(ErrorKind::AlreadyExists));
    assert_eq!(get(storage, "a", 0), b"old");
}

fn commit_refuses_a_name_that_was_taken_meanwhile(storage: &dyn Storage) {
    let mut late = storage.create("a").unwrap();
    late.write_all(b"late").unwrap();
    put(storage, "a", b"first");
    assert_eq!(kind(late.commit()), Some(ErrorKind::AlreadyExists));
    assert_eq!(get(storage, "a", 0), b"first");
    assert_eq!(keys(storage, ""), ["a"]);
}

fn replace_makes_and_replaces(storage: &dyn Storage) {
    for key in ["a.json", "runs/a.json"] {
        storage.replace(key, b"a longer first one").unwrap();
        assert_eq!(get(storage, key, 0), b"a longer first one");
        let reader = storage.open(key, 0).unwrap();
        storage.replace(key, b"second").unwrap();
        assert_eq!(get(storage, key, 0), b"second");
        // A reader that began before still reads the old bytes, whole.
        assert_eq!(io::read_to_string(reader).unwrap(), "a longer first one");
    }
}

fn open_reads_from_the_offset(storage: &dyn Storage) {
    put(storage, "a", b"0123456789");
    assert_eq!(get(storage, "a", 0), b"0123456789");
    assert_eq!(get(storage, "a", 7), b"789");
}

fn open_past_the_end_reads_nothing(storage: &dyn Storage) {
    put(storage, "a", b"0123456789");
    assert_eq!(get(storage, "a", 10), b"");
    assert_eq!(get(storage, "a", 4096), b"");
}

fn a_missing_object_is_not_found(storage: &dyn Storage) {
    for key in ["a", "runs/a"] {
        assert_eq!(kind(storage.open(key, 0)), Some(ErrorKind::NotFound));
        assert_eq!(kind(storage.remove(key)), Some(ErrorKind::NotFound));
    }
}

fn remove_removes_for_good(storage: &dyn Storage) {
    put(storage, "a", b"a");
    put(storage, "b", b"b");
    storage.remove("a").unwrap();
    assert_eq!(keys(storage, ""), ["b"]);
    assert_eq!(kind(storage.open("a", 0)), Some(ErrorKind::NotFound));
    put(storage, "a", b"again");
}

fn list_is_sorted_and_keeps_records_apart(storage: &dyn Storage) {
    assert!(keys(storage, "").is_empty() && keys(storage, "runs/").is_empty());
    for key in ["b", "a", "runs/2", "runs/1", "C"] {
        put(storage, key, b"123");
    }
    assert_eq!(keys(storage, ""), ["C", "a", "b"]);
    assert_eq!(keys(storage, "runs/"), ["runs/1", "runs/2"]);
    let object = &storage.list("").unwrap()[0];
    assert_eq!(object.bytes, 3);
    let age = jiff::Timestamp::now().duration_since(object.modified);
    assert!(age.as_hours().abs() < 1, "{age:?}");
}

fn list_takes_the_beginning_of_a_name(storage: &dyn Storage) {
    for key in ["app_1", "app_2", "other", "runs/app"] {
        put(storage, key, b"");
    }
    assert_eq!(keys(storage, "app"), ["app_1", "app_2"]);
    assert_eq!(keys(storage, "runs/a"), ["runs/app"]);
    assert!(keys(storage, "runs/b").is_empty());
}

fn bad_keys_are_refused_everywhere(storage: &dyn Storage) {
    let long = "x".repeat(256);
    for key in [
        "",
        ".",
        "..",
        ".hidden",
        "/etc/passwd",
        "../a",
        "a/b",
        "a/../b",
        "runs",
        "runs/",
        "runs/../a",
        "runs/.a",
        "runs/a/b",
        "runs//a",
        "a\0b",
        "a\nb",
        "kluis.lock",
        &long,
    ] {
        let refused = Some(ErrorKind::InvalidKey);
        assert_eq!(kind(storage.create(key)), refused, "{key:?}");
        assert_eq!(kind(storage.replace(key, b"")), refused, "{key:?}");
        assert_eq!(kind(storage.open(key, 0)), refused, "{key:?}");
        assert_eq!(kind(storage.remove(key)), refused, "{key:?}");
    }
}

fn odd_but_good_keys_work(storage: &dyn Storage) {
    let longest = "é".repeat(127);
    for key in [
        "a b",
        "données",
        "a..b",
        "-rf",
        "runs.json",
        "%2Fx",
        "a\\b",
        &longest,
    ] {
        put(storage, key, key.as_bytes());
        assert_eq!(get(storage, key, 0), key.as_bytes());
        storage.replace(key, b"new").unwrap();
        storage.remove(key).unwrap();
    }
}

fn an_empty_object_is_an_object(storage: &dyn Storage) {
    storage.create("a").unwrap().commit().unwrap();
    assert_eq!(get(storage, "a", 0), b"");
    assert_eq!(storage.list("").unwrap()[0].bytes, 0);
}

fn sweep_touches_no_object(storage: &dyn Storage) {
    put(storage, "a", b"a");
    put(storage, "runs/a", b"a");
    let mut living = storage.create("b").unwrap();
    living.write_all(b"b").unwrap();
    assert!(storage.sweep().unwrap().is_empty());
    living.commit().unwrap();
    assert_eq!(keys(storage, ""), ["a", "b"]);
    assert_eq!(keys(storage, "runs/"), ["runs/a"]);
}

fn an_error_names_action_place_and_cause(storage: &dyn Storage) {
    let error = storage.open("missing", 0).err().unwrap();
    let text = error.to_string();
    assert!(text.starts_with("cannot open "), "{text}");
    assert!(
        text.contains("missing") && text.contains("not found") || text.contains("No such file"),
        "{text}"
    );
}

// What only a directory on this host can be asked.

fn open_local(root: &Path) -> LocalStorage {
    LocalStorage::open(root, false).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path)
        .unwrap()
        .permissions()
        .mode()
        & 0o7777
}

/// Hidden names too.
fn everything_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Says why a test cannot run here; with CI=true that is a failure.
fn cannot_run(why: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{why}"
    );
    eprintln!("skipped: {why}");
}

const HELPER_ROOT: &str = "KLUIS_TEST_HELPER_ROOT";

/// This test binary again, running one of its ignored helpers below a shell
/// that has the umask.
fn helper(name: &str, umask: &str, root: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(only(module_path!(), name))
        .args(["--ignored", "--nocapture"])
        .env(HELPER_ROOT, root);
    command
}

fn helper_root() -> Option<PathBuf> {
    std::env::var_os(HELPER_ROOT).map(PathBuf::from)
}

#[test]
#[ignore = "a helper: run with a umask of its own by the tests"]
fn helper_stores_with_its_umask() {
    let Some(root) = helper_root() else { return };
    let storage = open_local(&root.join("deep/er"));
    put(&storage, "archive", b"bytes");
    put(&storage, "runs/record", b"bytes");
    storage.replace("state", b"bytes").unwrap();
}

#[test]
fn modes_are_private_whatever_the_umask() {
    for umask in ["000", "022", "077", "277", "777"] {
        let root = tempfile::tempdir().unwrap();
        let status = helper("helper_stores_with_its_umask", umask, root.path()).status();
        assert!(status.unwrap().success(), "umask {umask}");
        let deep = root.path().join("deep/er");
        for directory in ["deep", "deep/er", "deep/er/runs"] {
            let path = root.path().join(directory);
            assert_eq!(mode(&path), 0o700, "{directory}, umask {umask}");
        }
        for file in ["archive", "runs/record", "state"] {
            assert_eq!(mode(&deep.join(file)), 0o600, "{file}, umask {umask}");
        }
    }
}

/// The steps of the helper's first commit, in order: the two directories that
/// are made sync 1 and 2, the archive 3, its directory 4.
#[test]
fn a_commit_that_fails_at_any_step_leaves_nothing_visible() {
    if Command::new("strace").arg("-V").output().is_err() {
        return cannot_run("strace is not installed: apt-get install strace");
    }
    for (call, error, when) in [
        ("fsync", "EIO", 3),
        ("fsync", "EIO", 4),
        ("renameat2", "EIO", 1),
    ] {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("deep/er");
        let output = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null"])
            .args(["-e", &format!("trace={call}")])
            .args(["-e", &format!("inject={call}:error={error}:when={when}")])
            .arg(std::env::current_exe().unwrap())
            .args(only(module_path!(), "helper_stores_with_its_umask"))
            .arg("--ignored")
            .env(HELPER_ROOT, root.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            !output.status.success() && said.contains("StorageError"),
            "{said}"
        );
        assert!(everything_in(&deep).is_empty(), "{call} {when}");
    }
}

#[test]
#[ignore = "a helper: killed in the middle of its writes by a test"]
fn helper_writes_until_it_is_killed() {
    let Some(root) = helper_root() else { return };
    let storage = open_local(&root);
    let mut archive = storage.create("archive").unwrap();
    let mut record = storage.create("runs/record").unwrap();
    archive.write_all(b"half").unwrap();
    record.write_all(b"half").unwrap();
    println!("ready");
    io::stdout().flush().unwrap();
    // Until the test kills it; its end of the pipe never says anything.
    let _ = io::stdin().read(&mut [0]);
}

/// Returns once it is in the middle of its writes.
fn writing_child(root: &Path) -> Child {
    let mut child = helper("helper_writes_until_it_is_killed", "022", root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    while !said.contains("ready") {
        let mut byte = [0];
        assert_eq!(
            stdout.read(&mut byte).unwrap(),
            1,
            "the helper ended: {said}"
        );
        said.push(char::from(byte[0]));
    }
    child
}

#[test]
fn what_a_killed_run_left_is_invisible_and_swept_but_not_while_it_lives() {
    let root = tempfile::tempdir().unwrap();
    let storage = open_local(root.path());
    put(&storage, "older", b"older");
    let mut child = writing_child(root.path());
    assert!(storage.sweep().unwrap().is_empty(), "swept a living one");

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(keys(&storage, ""), ["older"]);
    assert!(keys(&storage, "runs/").is_empty());
    assert_eq!(everything_in(root.path()).len(), 3);

    let swept = storage.sweep().unwrap();
    assert_eq!(swept.len(), 2, "{swept:?}");
    assert!(swept[0].ends_with("-archive.part") && swept[1].ends_with("-record.part"));
    assert_eq!(everything_in(root.path()), ["older", "runs"]);
    assert!(everything_in(&root.path().join("runs")).is_empty());
    assert_eq!(get(&storage, "older", 0), b"older");
}

#[test]
fn sweep_leaves_what_is_not_its_own() {
    let root = tempfile::tempdir().unwrap();
    let storage = open_local(root.path());
    std::fs::write(root.path().join(".other"), b"x").unwrap();
    std::fs::create_dir(root.path().join(".kluis-tmp-directory")).unwrap();
    symlink("/etc/passwd", root.path().join(".kluis-tmp-link")).unwrap();
    assert!(storage.sweep().unwrap().is_empty());
    assert_eq!(everything_in(root.path()).len(), 3);
}

#[test]
fn a_symlink_in_the_place_of_an_object_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    let storage = open_local(root.path());
    for is_dangling in [true, false] {
        if !is_dangling {
            std::fs::write(&victim, b"precious").unwrap();
        }
        let link = root.path().join("a");
        symlink(&victim, &link).unwrap();
        assert_eq!(kind(storage.create("a")), Some(ErrorKind::AlreadyExists));
        assert!(storage.open("a", 0).is_err());
        assert!(keys(&storage, "").is_empty());
        storage.replace("a", b"new").unwrap();
        assert_eq!(get(&storage, "a", 0), b"new");
        assert_eq!(victim.exists(), !is_dangling);
        std::fs::remove_file(&link).unwrap();
    }
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn a_fifo_is_neither_listed_nor_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let storage = open_local(root.path());
    let status = Command::new("mkfifo").arg(root.path().join("a")).status();
    assert!(status.unwrap().success());
    assert!(keys(&storage, "").is_empty());
    let error = storage.open("a", 0).err().unwrap();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

#[test]
fn hidden_files_the_lock_and_names_that_are_no_text_are_not_listed() {
    use std::os::unix::ffi::OsStrExt;
    let root = tempfile::tempdir().unwrap();
    let storage = open_local(root.path());
    let latin1 = std::ffi::OsStr::from_bytes(b"caf\xe9");
    for name in [
        ".hidden".as_ref(),
        "kluis.lock".as_ref(),
        latin1,
        "a".as_ref(),
    ] {
        std::fs::write(root.path().join(name), b"x").unwrap();
    }
    assert_eq!(keys(&storage, ""), ["a"]);
}

#[test]
fn the_root_is_told_and_has_room() {
    let root = tempfile::tempdir().unwrap();
    let storage = open_local(root.path());
    assert_eq!(storage.local_root(), Some(root.path()));
    assert_eq!(storage.location(), root.path().display().to_string());
    assert!(storage.free_bytes().unwrap() > 0);
    assert_eq!(MemoryStorage::new().local_root(), None);
}

#[test]
fn a_root_that_is_a_file_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    assert!(LocalStorage::open(&file, false).is_err());
    assert!(LocalStorage::open(&file.join("below"), false).is_err());
}

#[test]
fn an_existing_root_keeps_its_mode() {
    let root = tempfile::tempdir().unwrap();
    std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o750)).unwrap();
    put(&open_local(root.path()), "a", b"a");
    assert_eq!(mode(root.path()), 0o750);
}

#[test]
fn without_its_required_mount_nothing_is_made() {
    let root = tempfile::tempdir().unwrap();
    let missing = root.path().join("usb");
    for path in [&missing, root.path()] {
        let error = LocalStorage::open(path, true).err().unwrap();
        assert_eq!(error.kind, ErrorKind::NotMounted);
        assert!(error.to_string().contains("mount it"), "{error}");
    }
    assert!(everything_in(root.path()).is_empty());
}

/// A small file system of its own, unmounted when dropped.
struct Mount {
    root: tempfile::TempDir,
}

impl Mount {
    /// `None`, said, where this process may not mount.
    fn tmpfs(options: &str) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(root.path())
            .output();
        if done.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self { root });
        }
        cannot_run("mounting a tmpfs needs root");
        None
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn remount(&self, options: &str) {
        let option = format!("remount,{options}");
        let done = Command::new("mount")
            .args(["-o", &option])
            .arg(self.path())
            .status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_required_mount_that_is_there_is_used() {
    let Some(mount) = Mount::tmpfs("size=1m") else {
        return;
    };
    put(&LocalStorage::open(mount.path(), true).unwrap(), "a", b"a");
    // A directory on the mount could as well lie on the disk below it.
    let below = mount.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let error = LocalStorage::open(&below, true).err().unwrap();
    assert_eq!(error.kind, ErrorKind::NotMounted);
}

#[test]
fn a_mount_that_goes_away_takes_the_writes_with_it() {
    let Some(mount) = Mount::tmpfs("size=1m") else {
        return;
    };
    let storage = LocalStorage::open(mount.path(), true).unwrap();
    let lazily = Command::new("umount").arg("-l").arg(mount.path()).status();
    assert!(lazily.unwrap().success());
    put(&storage, "a", b"a");
    assert!(
        everything_in(mount.path()).is_empty(),
        "filled the disk below"
    );
}

#[test]
fn a_full_disk_is_an_error_that_leaves_the_older_backups() {
    let Some(mount) = Mount::tmpfs("size=256k") else {
        return;
    };
    let storage = open_local(mount.path());
    put(&storage, "older", b"older");
    let mut write = storage.create("newer").unwrap();
    let error = write.write_all(&vec![7; 1 << 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let text = error.to_string();
    assert!(
        text.contains("newer") && text.contains("free space"),
        "{text}"
    );
    drop(write);
    assert_eq!(everything_in(mount.path()), ["older"]);
    assert_eq!(get(&storage, "older", 0), b"older");

    let error = storage.replace("state", &vec![7; 1 << 20]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoSpace);
    assert_eq!(everything_in(mount.path()), ["older"]);
}

#[test]
fn a_read_only_file_system_can_be_read_and_says_why_it_cannot_be_written() {
    let Some(mount) = Mount::tmpfs("size=1m") else {
        return;
    };
    put(&open_local(mount.path()), "a", b"a");
    mount.remount("ro");
    let storage = open_local(mount.path());
    assert_eq!(get(&storage, "a", 0), b"a");
    let error = storage.create("b").err().unwrap();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("read-only"), "{error}");
    assert_eq!(kind(storage.remove("a")), Some(ErrorKind::PermissionDenied));
}

#[test]
fn an_object_of_many_windows_comes_back_as_it_was_written() {
    let root = tempfile::tempdir().unwrap();
    let storage = open_local(root.path());
    let block: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
    let mut write = storage.create("a").unwrap();
    for _ in 0..70 {
        write.write_all(&block).unwrap();
    }
    write.commit().unwrap();
    let bytes = get(&storage, "a", 0);
    assert_eq!(bytes.len(), 70 << 20);
    assert!(bytes.chunks(1 << 20).all(|chunk| chunk == block));
}

#[test]
fn two_writers_of_one_name_publish_one_of_them() {
    let root = tempfile::tempdir().unwrap();
    for round in 0..50 {
        let key = format!("a{round}");
        let race = |bytes: &'static [u8]| {
            let storage = open_local(root.path());
            let key = key.clone();
            move || {
                let mut write = storage.create(&key)?;
                write.write_all(bytes).unwrap();
                write.commit()
            }
        };
        let (one, two) = (race(b"one"), race(b"two"));
        let one = std::thread::spawn(one);
        let two = two();
        let one = one.join().unwrap();
        let content = get(&open_local(root.path()), &key, 0);
        match (&one, &two) {
            (Ok(()), Err(e)) => assert_eq!(
                (e.kind, &content[..]),
                (ErrorKind::AlreadyExists, &b"one"[..])
            ),
            (Err(e), Ok(())) => assert_eq!(
                (e.kind, &content[..]),
                (ErrorKind::AlreadyExists, &b"two"[..])
            ),
            both => panic!("{both:?}"),
        }
    }
    assert!(
        everything_in(root.path())
            .iter()
            .all(|name| !name.starts_with('.'))
    );
}

#[test]
fn sweeps_in_a_loop_never_take_a_living_write() {
    let root = tempfile::tempdir().unwrap();
    let storage = open_local(root.path());
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 0..500 {
                put(&storage, &format!("a{n}"), b"bytes");
            }
        });
        while !writer.is_finished() {
            open_local(root.path()).sweep().unwrap();
        }
        writer.join()
    });
    assert!(written.is_ok(), "a write was swept away");
    assert_eq!(everything_in(root.path()).len(), 500);
}

#[test]
fn a_planned_fault_hits_each_step_once() {
    let run = |plan: &FaultPlan| -> Result<(), Box<dyn std::error::Error>> {
        let storage = Faulting::new(MemoryStorage::new(), plan.clone());
        let mut write = storage.create("a")?;
        write.write_all(b"a")?;
        write.commit()?;
        storage.replace("b", b"b")?;
        io::read_to_string(storage.open("a", 0)?)?;
        storage.list("")?;
        storage.sweep()?;
        Ok(storage.remove("a")?)
    };
    let counted = FaultPlan::count_only();
    run(&counted).unwrap();
    // create, write, commit, replace, open, two reads, list, sweep, remove.
    assert_eq!(counted.steps_taken(), 10);
    for (step, manner) in (0..10).flat_map(|step| Manner::ALL.map(|manner| (step, manner))) {
        let plan = FaultPlan::fail_at(step, manner, io::ErrorKind::StorageFull);
        assert!(run(&plan).is_err(), "step {step}, {manner:?}");
        assert_eq!(plan.steps_taken(), step + 1);
    }
}
