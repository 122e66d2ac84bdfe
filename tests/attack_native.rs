//! Native code in a dump. The dump's owner is a superuser in the throwaway server
//! of `verify --restore`: a library, written as a large object into the server's own
//! directory, is loaded there. What it runs is held in as well as SQL is.
//!
//! Each of these succeeded on bf79b37.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::house::House;
use crate::support::{Cluster, open_directory};

const PATIENCE: Duration = Duration::from_secs(120);

struct Attack {
    house: House,
    work: TempDir,
}

/// The library, in hexadecimal digits; `None` where nobody compiles.
fn library(source: &str) -> Option<String> {
    if Command::new("cc").arg("--version").output().is_err() {
        let reason = "no C compiler (cc) here";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
        return None;
    }
    let directory = open_directory(0o755);
    let (text, made) = (directory.path().join("a.c"), directory.path().join("a.so"));
    fs::write(&text, format!("{PRELUDE}{source}")).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-Os", "-s", "-w", "-o"]);
    let output = cc.args([&made, &text]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(hex::encode(fs::read(made).unwrap()))
}

/// `begin` is run when the library is loaded. A file that is held open tells what
/// was reached, for as long as the process lives.
const PRELUDE: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
static void tell(const char *what) {
    char name[100];
    snprintf(name, sizeof name, "told-%s", what);
    open(name, O_CREAT | O_RDWR, 0600);
}
static void stay(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, 0);
    for (;;) pause();
}
static void begin(void);
__attribute__((constructor)) static void loaded(void) { begin(); }
"#;

impl Attack {
    /// A backup whose restore loads the library, and nothing else does.
    fn new(source: &str) -> Option<Self> {
        let library = library(source)?;
        let cluster = Cluster::start()?;
        let (house, work) = (House::new(), open_directory(0o755));
        let config = format!("work_dir = \"{}\"\n", work.path().display());
        fs::write(house.path("kluis.toml"), config).unwrap();
        let home = cluster.psql("postgres", "SHOW data_directory");
        cluster.create_db("victim");
        let planted = format!(
            "CREATE TABLE code AS SELECT decode('{library}', 'hex') AS library;
             CREATE FUNCTION strike(code bytea) RETURNS boolean LANGUAGE plpgsql AS $f$
             DECLARE home text := pg_catalog.current_setting('data_directory'); object oid;
             BEGIN
             IF home <> '{}' THEN
               object := pg_catalog.lo_from_bytea(0, code);
               PERFORM pg_catalog.lo_export(object, home || '/a.so');
               EXECUTE pg_catalog.format('LOAD %L', home || '/a.so');
             END IF; RETURN true; END $f$;
             ALTER TABLE code ADD CHECK (public.strike(library));",
            home.trim()
        );
        cluster.psql("victim", &planted);
        let url = cluster.url("victim");
        house.run(&["backup", "db", "--url", &url]);
        Some(Self { house, work })
    }

    fn prove(&self) -> Child {
        let mut kluis = self.house.kluis();
        kluis.args(["verify", "--restore", "latest"]);
        let said = fs::File::create(self.house.path("said")).unwrap();
        kluis.stdout(said.try_clone().unwrap()).stderr(said);
        kluis.spawn().unwrap()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.house.path("said")).unwrap()
    }

    /// What the library has told, by those of its processes that live.
    fn told(&self) -> Vec<String> {
        let mut told: Vec<String> = held_below(self.work.path())
            .iter()
            .filter_map(|file| Some(file.split_once("/told-")?.1.to_owned()))
            .collect();
        told.sort();
        told.dedup();
        told
    }

    /// The same, once it told the last thing.
    fn told_until(&self, kluis: &mut Child, last: &str) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let told = self.told();
            if told.iter().any(|it| it.starts_with(last)) {
                return told;
            }
            let ended = kluis.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {}", self.said());
            assert!(begun.elapsed() < PATIENCE, "waited in vain");
        }
    }

    /// Nobody has a file of the proof open any more.
    fn nothing_stays(&self) {
        let begun = Instant::now();
        while let Some(held) = held_below(self.work.path()).first() {
            assert!(begun.elapsed() < PATIENCE / 4, "{held} is held open");
        }
    }
}

/// Files below `directory`, removed or not, that some process holds open.
fn held_below(directory: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let files = processes.filter_map(|it| fs::read_dir(it.path().join("fd")).ok());
    files
        .flatten()
        .flatten()
        .filter_map(|it| fs::read_link(it.path()).ok())
        .filter(|file| file.starts_with(directory))
        .map(|file| file.display().to_string())
        .collect()
}

fn ended_by(mut kluis: Child, signal: Signal) {
    kill_process(Pid::from_child(&kluis), signal).unwrap();
    kluis.wait().unwrap();
}

/// It leaves its group and its session, and hears no signal.
const DAEMON: &str = r#"
static void begin(void) {
    if (fork()) return;
    setsid();
    if (fork()) _exit(0);
    tell("daemon");
    stay();
}
"#;

#[test]
fn a_process_that_a_dump_starts_ends_with_the_proof() {
    let Some(attack) = Attack::new(DAEMON) else {
        return;
    };
    let mut kluis = attack.prove();
    assert!(!kluis.wait().unwrap().success());
    attack.nothing_stays();
    // It was loaded, and found to be no library of the server's after that.
    assert!(attack.said().contains("magic"), "{}", attack.said());
}

/// The backend kills the server, and goes on.
const MURDER: &str = r#"
static void begin(void) {
    kill(getppid(), SIGSTOP);
    kill(getppid(), SIGKILL);
    if (!fork()) { setsid(); tell("daemon"); stay(); }
    tell("backend");
    stay();
}
"#;

#[test]
fn a_backend_that_kills_its_server_and_hears_nothing_ends_with_kluis() {
    for signal in [Signal::TERM, Signal::KILL] {
        let Some(attack) = Attack::new(MURDER) else {
            return;
        };
        let mut kluis = attack.prove();
        attack.told_until(&mut kluis, "backend");
        ended_by(kluis, signal);
        attack.nothing_stays();
    }
}

/// Each way out that is not refused is told by its name.
const WAYS_OUT: &str = r#"
static void tried(const char *what, long result) {
    if (result == 0 && !strncmp(what, "clone", 5)) _exit(0);
    if (result != -1 || errno != (strcmp(what, "clone3") ? EACCES : ENOSYS)) tell(what);
}
#define TRY(what, number, ...) tried(what, syscall(number, __VA_ARGS__))
static void begin(void) {
    int pair[2];
    struct msghdr message = {0};
    struct sockaddr_un to = {AF_UNIX, "/nowhere"};
    char zeros[256] = {0};
    long high = 1L << 32;
    TRY("inet", SYS_socket, AF_INET, SOCK_STREAM, 0);
    TRY("dgram", SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    TRY("dgram-high", SYS_socket, AF_UNIX, SOCK_DGRAM | high, 0);
    TRY("raw", SYS_socket, AF_UNIX, SOCK_RAW | SOCK_NONBLOCK, 0);
    TRY("seqpacket", SYS_socket, AF_UNIX, SOCK_SEQPACKET, 0);
    TRY("pair", SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, pair);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) tell("no-stream");
    TRY("connect", SYS_connect, pair[0], &to, sizeof to);
    TRY("sendto", SYS_sendto, pair[0], "x", 1, 0, &to, sizeof to);
    if (send(pair[0], "x", 1, 0) != 1) tell("no-send");
    TRY("sendmsg", SYS_sendmsg, pair[0], &message, 0);
    TRY("sendmmsg", SYS_sendmmsg, pair[0], zeros, 1, 0);
    TRY("recvmsg", SYS_recvmsg, pair[1], &message, MSG_DONTWAIT);
    TRY("recvmmsg", SYS_recvmmsg, pair[1], zeros, 1, MSG_DONTWAIT, 0);
    TRY("io-uring", SYS_io_uring_setup, 1, zeros);
    TRY("ptrace", SYS_ptrace, 0, 0, 0, 0);
    TRY("vm-readv", SYS_process_vm_readv, getppid(), 0, 0, 0, 0, 0);
    TRY("vm-writev", SYS_process_vm_writev, getppid(), 0, 0, 0, 0, 0);
    TRY("getfd", SYS_pidfd_getfd, pair[0], 0, 0);
    TRY("bpf", SYS_bpf, 0, zeros, sizeof zeros);
    TRY("userfaultfd", SYS_userfaultfd, 1);
    TRY("keyctl", SYS_keyctl, 0, -3, 0);
    TRY("mount", SYS_mount, "x", "/", "tmpfs", 0, 0);
    TRY("fsopen", SYS_fsopen, "tmpfs", 0);
    TRY("setns", SYS_setns, pair[0], 0);
    TRY("unshare", SYS_unshare, CLONE_NEWUSER);
    TRY("clone", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    TRY("clone3", SYS_clone3, zeros, 64);
    tell("all");
    stay();
}
"#;

#[test]
fn native_code_reaches_no_socket_and_no_process_of_others() {
    let Some(attack) = Attack::new(WAYS_OUT) else {
        return;
    };
    let mut kluis = attack.prove();
    let told = attack.told_until(&mut kluis, "all");
    ended_by(kluis, Signal::TERM);
    assert_eq!(told, ["all"]);
}
