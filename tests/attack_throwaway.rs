//! Code in a dump runs in the throwaway server of `verify --restore`. Each attack
//! succeeds on 861f450: as root the server was `nobody`, who could start programs,
//! reach the network, read what the machine lets everybody read and write where
//! everybody may. Now each statement is refused, and the proof says so.
//!
//! The dump's owner is a superuser here, as in a dump of a stranger's: what it
//! does, it does while the dump is restored.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::support::house;
use crate::support::house::House;
use crate::support::{Cluster, open_directory};

struct Attack {
    house: House,
    cluster: Cluster,
    /// Where everybody may write.
    shared: TempDir,
    work: TempDir,
}

impl Attack {
    fn new() -> Option<Self> {
        let cluster = Cluster::start()?;
        let (house, work, shared) = (House::new(), open_directory(0o755), open_directory(0o777));
        let config = format!("work_dir = \"{}\"\n", work.path().display());
        fs::write(house.path("kluis.toml"), config).unwrap();
        Some(Self {
            house,
            cluster,
            shared,
            work,
        })
    }

    fn shared(&self, name: &str) -> String {
        self.shared.path().join(name).display().to_string()
    }

    /// Makes a backup of a database whose restore runs `code`, which does
    /// nothing in the database that is dumped.
    fn plant(&self, code: &str) {
        let code = code.replace('\'', "''");
        let guarded = format!(
            "CREATE DATABASE victim; \\c victim
             CREATE FUNCTION strike(i int) RETURNS boolean LANGUAGE plpgsql AS $f$ BEGIN
             IF current_setting('data_directory') <> '{}' THEN EXECUTE '{code}'; END IF;
             RETURN true; END $f$;
             CREATE TABLE t (i int CHECK (public.strike(i)));
             INSERT INTO t VALUES (1);",
            self.cluster.psql("postgres", "SHOW data_directory").trim()
        );
        self.cluster.psql("postgres", &guarded);
        let url = self.cluster.url("victim");
        self.house.run(&["backup", "db", "--url", &url]);
    }

    fn prove(&self, code: &str) -> Output {
        self.plant(code);
        let mut kluis = self.house.kluis();
        let output = kluis.args(["verify", "--restore", "latest"]).output();
        output.unwrap()
    }

    /// The proof failed, with these words of the server's.
    fn is_refused(&self, code: &str, words: &[&str]) {
        let output = self.prove(code);
        let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!output.status.success(), "{said}");
        assert!(words.iter().any(|words| said.contains(words)), "{said}");
    }
}

/// What `code` would have touched, a program of the machine doing it.
fn starts_no_program(code: impl FnOnce(&str) -> String) {
    let Some(attack) = Attack::new() else { return };
    let mark = attack.shared("mark");
    let refusals = [
        "child process was terminated by signal",
        "Permission denied",
    ];
    attack.is_refused(&code(&mark), &refusals);
    assert!(!Path::new(&mark).exists());
}

#[test]
fn a_dump_starts_no_program() {
    starts_no_program(|mark| format!("COPY (SELECT 1) TO PROGRAM 'touch {mark}'"));
}

#[test]
fn a_dump_that_reads_from_a_program_gets_nothing() {
    starts_no_program(|mark| {
        format!("CREATE TEMP TABLE got (line text); COPY got FROM PROGRAM 'id; touch {mark}'")
    });
}

#[test]
fn a_dump_reaches_no_address_of_this_machine() {
    let Some(attack) = Attack::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let code =
        format!("COPY (SELECT 1) TO PROGRAM 'bash -c \"echo here > /dev/tcp/127.0.0.1/{port}\"'");
    attack.is_refused(
        &code,
        &[
            "child process was terminated by signal",
            "Permission denied",
        ],
    );
    assert!(listener.accept().is_err(), "somebody connected");
}

#[test]
fn a_dump_connects_to_no_other_server_of_this_machine() {
    let Some(attack) = Attack::new() else { return };
    let extensions = "SELECT count(*) FROM pg_available_extensions WHERE name = 'dblink'";
    if attack.cluster.psql("postgres", extensions).trim() != "1" {
        eprintln!("skipped: no dblink here");
        return;
    }
    let socket = attack.cluster.url("postgres");
    let code = format!(
        "CREATE EXTENSION dblink SCHEMA public; SELECT public.dblink_exec('{socket}', 'CREATE DATABASE reached')"
    );
    attack.is_refused(&code, &["could not establish connection"]);
    let reached = "SELECT count(*) FROM pg_database WHERE datname = 'reached'";
    assert_eq!(attack.cluster.psql("postgres", reached).trim(), "0");
}

#[test]
fn a_dump_reads_no_file_of_this_machine() {
    let Some(attack) = Attack::new() else { return };
    let secret = attack.shared("secret");
    fs::write(&secret, "readable by everybody").unwrap();
    let code = format!("SELECT pg_read_file('{secret}')");
    attack.is_refused(&code, &["Permission denied"]);
}

#[test]
fn a_dump_leaves_no_file_on_this_machine() {
    let Some(attack) = Attack::new() else { return };
    let planted = attack.shared("planted");
    let code = format!("SELECT lo_from_bytea(424242, 'x'); SELECT lo_export(424242, '{planted}')");
    attack.is_refused(&code, &["Permission denied"]);
    assert!(!Path::new(&planted).exists());
}

/// The status that the kernel has of a throwaway server's backend, once it sleeps
/// in the planted code.
fn status_of_backend(work: &Path) -> Option<(String, String)> {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let process = entry.path();
        let inside = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(work));
        let title = fs::read_to_string(process.join("cmdline")).unwrap_or_default();
        if inside && title.contains("postgres: ") && title.contains("COPY") {
            let network = fs::read_link(process.join("ns/net")).ok()?;
            let status = fs::read_to_string(process.join("status")).ok()?;
            return Some((status, network.display().to_string()));
        }
    }
    None
}

#[test]
fn the_server_has_a_user_of_its_own_and_no_right() {
    let Some(attack) = Attack::new() else { return };
    attack.plant("SELECT pg_sleep(600)");
    let mut kluis = attack.house.kluis();
    let quiet = || std::process::Stdio::null();
    kluis
        .args(["verify", "--restore", "latest"])
        .stdout(quiet())
        .stderr(quiet());
    let mut kluis = kluis.spawn().unwrap();
    let (status, network) = loop {
        assert!(kluis.try_wait().unwrap().is_none(), "it ended by itself");
        if let Some(found) = status_of_backend(attack.work.path()) {
            break found;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let pid = rustix::process::Pid::from_child(&kluis);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    kluis.wait().unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1", "{status}");
    assert_eq!(field("Seccomp:"), "2", "{status}");
    assert_eq!(field("CapPrm:"), "0000000000000000", "{status}");
    if rustix::process::geteuid().is_root() {
        let uid: u32 = field("Uid:").parse().unwrap();
        assert!(uid >= 0x7000_0000, "{uid} is somebody's");
        let ours = fs::read_link("/proc/self/ns/net").unwrap();
        assert_ne!(network, ours.display().to_string());
    }
}

/// It goes on when the disk is full, and so would never end by itself.
const FILLS: &str = "CREATE UNLOGGED TABLE public.big (t text); DO $x$ BEGIN LOOP BEGIN
     INSERT INTO public.big SELECT md5(i::text) || md5(i::text) FROM generate_series(1, 10000) i;
     EXCEPTION WHEN OTHERS THEN PERFORM pg_sleep(0.1); END; END LOOP; END $x$";

/// A catalogue takes some hundred bytes of each, and the file system an inode.
const FILLS_INODES: &str = "DO $x$ DECLARE n int := 0; BEGIN LOOP n := n + 1; BEGIN
     EXECUTE format('CREATE UNLOGGED TABLE public.big%s (i int)', n);
     EXCEPTION WHEN OTHERS THEN PERFORM pg_sleep(0.1); END; END LOOP; END $x$";

/// Where `work` is a file system of its own, made with these options.
fn prove_on(house: &House, options: &str, work: &Path, arguments: &[&str]) -> Option<Output> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root mounts a file system of its own");
        return None;
    }
    let mount = format!("mount -t tmpfs -o {options},mode=755 none \"$0\" && exec \"$@\"");
    let mut kluis = house.command("unshare");
    let kluis = kluis
        .args(["--mount", "sh", "-c", &mount])
        .arg(work)
        .arg(house::program())
        .args(arguments);
    let output = kluis.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare:") || said.contains("mount:") {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{said}");
        eprintln!("skipped: nothing can be mounted here: {said}");
        return None;
    }
    Some(output)
}

/// By inodes: before, the server took the last one.
#[test]
fn a_dump_that_fills_the_disk_is_stopped_and_not_called_damaged() {
    for (fills, options) in [
        (FILLS, "size=400m"),
        (FILLS_INODES, "size=4g,nr_inodes=4000"),
    ] {
        let Some(attack) = Attack::new() else { return };
        attack.plant(fills);
        let verify = ["verify", "--restore", "latest"];
        let Some(output) = prove_on(&attack.house, options, attack.work.path(), &verify) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(said.contains("so its server was stopped"), "{said}");
        assert!(!said.contains("damaged"), "{said}");
        // Its proof is what it was.
        assert_eq!(attack.house.listed().len(), 1);
    }
}

/// Before, each of these took the last inode of the file system.
#[test]
fn a_tree_of_many_empty_files_takes_no_file_systems_last_inodes() {
    // So many that what is still on its way to the disk is far less than what is left.
    const FILES: u32 = 20_000;
    let house = House::new();
    let work = open_directory(0o755);
    let config = format!("work_dir = \"{}\"\n", work.path().display());
    fs::write(house.path("kluis.toml"), config).unwrap();
    fs::create_dir(house.path("tree")).unwrap();
    for number in 0..FILES {
        fs::write(house.path(&format!("tree/{number}")), "").unwrap();
    }
    house.run(&["backup", "source", "tree"]);
    let to = work.path().join("restored");
    let restore = ["restore", "latest", "--yes", "--to", to.to_str().unwrap()];
    let keep_going = [&restore[..], &["--keep-going"]].concat();
    let verify = ["verify", "--restore", "latest"];
    for (arguments, inodes, word) in [
        // It is known beforehand, and where no manifest tells, on the way.
        (&verify[..], FILES, "are needed"),
        (&verify, FILES + 20, "fewer than 1001 more files"),
        (&restore, FILES + 20, "fewer than 1000 more files"),
        (&keep_going, FILES + 20, "fewer than 1000 more files"),
    ] {
        let options = format!("size=1g,nr_inodes={inodes}");
        let Some(output) = prove_on(&house, &options, work.path(), arguments) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?}: {said}");
    }
}

#[test]
fn a_wall_that_is_missing_is_told_once_a_run() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root has a right to give away");
    }
    let Some(attack) = Attack::new() else { return };
    for name in ["one", "two"] {
        attack.cluster.create_db(name);
        let url = attack.cluster.url(name);
        attack.house.run(&["backup", "db", "--url", &url]);
    }
    // Without this right there is no user that nobody else has.
    let mut kluis = attack.house.command("setpriv");
    let kluis = kluis.args(["--bounding-set=-sys_admin", "--"]);
    let kluis = kluis.arg(house::program());
    let output = kluis.args(["verify", "--restore", "--all", "--json"]);
    let output = output.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said.matches("is not held in wholly").count(), 1, "{said}");
}
