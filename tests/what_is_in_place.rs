//! Restores of databases that are broken at every step, in every way: what kluis
//! says stands at the destination is what stands there. A soak
//! breaks 200 of each way to restore, or else a third of the cases of a way.

use std::fs;
use std::io::{Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::Cluster;
use crate::support::house::House;
use crate::support::soak::is_soak;

const SOAK_CASES: usize = 200;

/// What is done to the client at the line of SQL that a case names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    /// The client dies before it sends the line.
    LostBefore,
    /// The server has done it, and the answer is lost.
    LostAfter,
    /// kluis gets SIGTERM before the line, or behind its answer.
    StopBefore,
    StopAfter,
    /// The server ends every session of ours.
    Terminated,
    /// The server refuses the line so, as it does for a lock and a full disk.
    Refused(&'static str),
    /// The answer is lost, and nobody can ask the server any more.
    LostForGood,
}

use Break::{LostAfter, LostBefore, LostForGood, Refused, StopAfter, StopBefore, Terminated};

const BREAKS: [Break; 7] = [
    LostBefore,
    LostAfter,
    StopBefore,
    StopAfter,
    Terminated,
    Refused("55P03"),
    Refused("53100"),
];

/// How the restore is made, and the lines of its steps: patterns of the shell's.
struct Way {
    arguments: &'static [&'static str],
    steps: &'static [&'static str],
    /// The database that it goes to.
    to: &'static str,
}

/// The one that ends the swap, or the transaction of a restore in place.
const COMMIT: &str = "COMMIT\\;";

const REPLACE: Way = Way {
    arguments: &["--replace", "--yes", "--no-pre-restore-backup"],
    steps: &[
        "CREATE\\ DATABASE*",
        "*maintenance_work_mem*",
        "CREATE\\ TABLE*",
        "--\\ PostgreSQL\\ database\\ dump\\ complete",
        "*RESET\\ ALL*",
        "*OWNER\\ TO*",
        "*RENAME\\ TO*RENAME\\ TO*",
        COMMIT,
        "DROP\\ DATABASE*",
    ],
    to: "shop",
};

const INTO: Way = Way {
    arguments: &["--into", "copy"],
    steps: &[
        "CREATE\\ DATABASE*",
        "CREATE\\ TABLE*",
        "*RESET\\ ALL*",
        "*BEGIN*RENAME\\ TO*",
        COMMIT,
    ],
    to: "copy",
};

const IN_PLACE: Way = Way {
    arguments: &[
        "--replace",
        "--in-place",
        "--yes",
        "--no-pre-restore-backup",
    ],
    steps: &[
        "*kluis_guard*INSERT*",
        "CREATE\\ TABLE*",
        "*kluis\\ transaction*",
        COMMIT,
    ],
    to: "shop",
};

/// Runs it; a run that never ends tells what it waits for.
fn ended(mut command: Command) -> Output {
    let said = tempfile::tempfile().unwrap();
    command
        .stdout(Stdio::null())
        .stderr(said.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > Duration::from_secs(120) {
            let tree = Command::new("ps")
                .args(["-eo", "pid,ppid,stat,wchan,args"])
                .output();
            let tree = tree.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
            let signs = ["/clients/", "sleep 600", "psql", "postgres: ", "restore"];
            let is_meant = |line: &&str| signs.iter().any(|sign| line.contains(sign));
            let tree = tree.unwrap_or_default();
            let tree: Vec<&str> = tree.lines().filter(is_meant).collect();
            child.kill().unwrap();
            panic!("it hangs: {}", tree.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut said = said;
    let mut stderr = Vec::new();
    said.rewind().unwrap();
    said.read_to_end(&mut stderr).unwrap();
    Output {
        status,
        stdout: Vec::new(),
        stderr,
    }
}

struct Site {
    cluster: Cluster,
    house: House,
}

const CONTENT: &str = "CREATE TABLE version (name text); INSERT INTO version VALUES";

impl Site {
    /// The storage has the content "new", the database has "old".
    fn new() -> Option<Self> {
        let site = Self {
            cluster: Cluster::start()?,
            house: House::new(),
        };
        site.fresh();
        site.cluster.psql("shop", "UPDATE version SET name = 'new'");
        let url = site.cluster.url("shop");
        site.house.run(&["backup", "db", "--url", &url]);
        Some(site)
    }

    /// All databases as they are before a case.
    fn fresh(&self) {
        let drop = "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database \
                    WHERE datname NOT IN ('postgres', 'template0', 'template1')";
        for statement in self.cluster.psql("postgres", drop).lines() {
            self.cluster.psql("postgres", statement);
        }
        self.cluster.create_db("shop");
        self.cluster.psql("shop", &format!("{CONTENT} ('old')"));
    }

    /// "old", "new" or "none", when nobody works on it any more.
    fn holds(&self, database: &str) -> String {
        let busy = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
                    AND backend_type = 'client backend' AND state <> 'idle'";
        let begun = Instant::now();
        while self.cluster.psql("postgres", busy) != "0" {
            assert!(begun.elapsed() < Duration::from_secs(60), "still at work");
        }
        let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{database}'");
        match &*self.cluster.psql("postgres", &there) {
            "0" => "none".to_owned(),
            _ => self.cluster.psql(database, "SELECT name FROM version"),
        }
    }

    fn program(&self, name: &str, script: &str) {
        let directory = self.house.path("clients");
        fs::create_dir_all(&directory).unwrap();
        let program = directory.join(name);
        let _ = fs::remove_file(&program);
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let text = format!("[database]\nclient_bin_dir = {:?}\n", directory.display());
        fs::write(self.house.path("kluis.toml"), text).unwrap();
    }

    fn real(&self, name: &str) -> String {
        let program = self.cluster.client(name, "postgres");
        program.get_program().to_str().unwrap().to_owned()
    }

    /// A psql that breaks at the first line that fits `step`, once. The shell around
    /// it lets its stdout go, so that its end is seen as ever.
    fn breaks_at(&self, step: &str, how: Break) {
        let once = self.house.path("broken");
        let _ = fs::remove_dir(&once);
        let (real, once) = (self.real("psql"), once.display().to_string());
        let lost = "echo 'psql:<stdin>:1: server closed the connection unexpectedly' >&2; exit 2";
        // A dialog's next line would come with an answer to this one.
        let rest = match step.contains("RENAME") || step == COMMIT {
            true => ":",
            false => "cat >&3",
        };
        let answered = format!("printf '%s\\n' \"$line\" >&3; {rest}; exec 3>&-; wait $child");
        let stop = "kill -TERM $PPID; exec sleep 600";
        let before = match how {
            LostBefore => format!("kill -9 $child; {lost}"),
            LostAfter | LostForGood => format!("{answered}; {lost}"),
            StopBefore => stop.to_owned(),
            StopAfter => format!("{answered}; {stop}"),
            Terminated => format!(
                "echo \"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE \
                 application_name = 'kluis'\" | PGDATABASE=postgres {real} -X -q >&2; :"
            ),
            Refused(sqlstate) => format!(
                "echo \"DO 'BEGIN RAISE EXCEPTION ''no'' USING ERRCODE = ''{sqlstate}''; END';\" >&3"
            ),
        };
        let gone = match how {
            LostForGood => format!("[ -d {once} ] && {{ {lost}; }}"),
            _ => String::new(),
        };
        // The commit is only meant behind the number of its transaction, or the new names.
        let armed = match step {
            COMMIT => "case $line in *kluis\\ transaction*|*BEGIN*RENAME\\ TO*) armed=1;; esac",
            _ => "armed=1",
        };
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exec {real} --version\n{gone}\n\
             pipe=$(mktemp -u)\nmkfifo $pipe\n{real} \"$@\" <$pipe &\nchild=$!\n\
             exec 3>$pipe >/dev/null\nrm $pipe\narmed=\n\
             while IFS= read -r line; do\n\
             case $line in {step}) [ \"$armed\" ] && mkdir {once} 2>/dev/null && {{ {before}\n}};; \
             esac\n{armed}\nprintf '%s\\n' \"$line\" >&3 || break\ndone\n\
             exec 3>&-\nwait $child\n"
        );
        self.program("psql", &script);
    }

    fn restore(&self, way: &Way) -> Output {
        let mut command = self.house.kluis();
        command.args(["restore", "latest:shop"]).args(way.arguments);
        command.env("DATABASE_URL", self.cluster.url("shop"));
        ended(command)
    }

    /// What is wrong with what was said, if anything.
    fn false_word(
        &self,
        way: &Way,
        before: &str,
        output: &Output,
        for_good: bool,
    ) -> Option<String> {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let holds = self.holds(way.to);
        let wrong = |what: &str| Some(format!("{what}; it holds {holds}: {said}"));
        let nothing = said.contains("nothing was restored");
        let in_place = said.contains("IS IN PLACE");
        let unknown = said.contains("IT IS NOT KNOWN");
        match (output.status.success(), nothing, in_place, unknown) {
            (true, false, false, false) | (false, false, true, false) if holds == "new" => {}
            (false, true, false, false) if holds == before => {}
            (false, false, false, true) if for_good => return None,
            _ => return wrong("a false word"),
        }
        let staging = "SELECT datname FROM pg_database WHERE datname LIKE '%kluis%'";
        let left = self.cluster.psql("postgres", staging);
        let unnamed = left.lines().find(|name| !said.contains(*name));
        unnamed.and_then(|name| wrong(&format!("{name} stays and is not named")))
    }

    fn case(&self, way: &Way, step: &str, how: Break) -> Option<String> {
        self.fresh();
        self.breaks_at(step, how);
        let before = self.holds(way.to);
        let output = self.restore(way);
        assert!(
            self.house.path("broken").exists(),
            "{step:?} did not come: {output:?}"
        );
        let wrong = self.false_word(way, &before, &output, how == LostForGood);
        wrong.map(|wrong| format!("{step} {how:?}: {wrong}"))
    }
}

/// Every step in every way, or as many at random as are asked for.
fn broken_everywhere(way: &Way) {
    let Some(site) = Site::new() else { return };
    let mut cases: Vec<(&str, Break)> = Vec::new();
    for step in way.steps {
        cases.extend(BREAKS.map(|how| (*step, how)));
    }
    // Each case of a short run meets another way to break, so that all ways come.
    let few = cases.iter().enumerate().filter(|(at, _)| at % 3 == 0);
    let chosen: Vec<(&str, Break)> = match is_soak() {
        false => few.map(|(_, case)| *case).collect(),
        true => cases.iter().copied().cycle().take(SOAK_CASES).collect(),
    };
    let false_words: Vec<String> = chosen
        .iter()
        .filter_map(|(step, how)| site.case(way, step, *how))
        .collect();
    eprintln!("{} cases, {} false words", chosen.len(), false_words.len());
    assert!(false_words.is_empty(), "{}", false_words.join("\n\n"));
}

#[test]
fn a_broken_replacement_says_what_stands_there() {
    broken_everywhere(&REPLACE);
}

#[test]
fn a_broken_new_database_says_whether_it_is_there() {
    broken_everywhere(&INTO);
}

#[test]
fn a_broken_restore_in_place_says_what_stands_there() {
    broken_everywhere(&IN_PLACE);
}

/// The step that shows it, with each way to lose its answer.
#[test]
fn an_answer_that_is_lost_for_good_is_called_unknown() {
    let Some(site) = Site::new() else { return };
    for way in [&REPLACE, &IN_PLACE] {
        site.fresh();
        site.breaks_at(COMMIT, LostForGood);
        let output = site.restore(way);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("IT IS NOT KNOWN whether"), "{said}");
        assert_eq!(site.holds("shop"), "new", "{said}");
    }
}

#[test]
fn what_cannot_be_compared_after_the_commit_is_in_place_and_has_a_way_back() {
    let Some(site) = Site::new() else { return };
    let real = site.real("pg_dump");
    for end in [
        "echo 'pg_dump: error: canceling statement due to lock timeout' >&2; exit 1",
        "kill -TERM $PPID; exec sleep 600",
    ] {
        site.fresh();
        // The backup of what is replaced is made first, and is to be whole.
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exec {real} --version\n\
             mkdir {once} 2>/dev/null && exec {real} \"$@\"\n{end}\n",
            once = site.house.path("once").display()
        );
        let _ = fs::remove_dir(site.house.path("once"));
        site.program("pg_dump", &script);
        let output = site.restore(&Way {
            arguments: &["--replace", "--in-place", "--yes"],
            ..IN_PLACE
        });
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(3 | 143)), "{said}");
        assert!(said.contains("IS IN PLACE in database shop"), "{said}");
        assert!(!said.contains("nothing was restored"), "{said}");
        assert_eq!(site.holds("shop"), "new");
        let records = site.house.records();
        let mut errors = records
            .iter()
            .filter_map(|(_, record)| record["error"].as_str());
        assert!(
            errors.any(|error| error.contains("IS IN PLACE")),
            "{records:?}"
        );
        let (_, way_back) = said.split_once("to go back: kluis ").unwrap();
        let way_back = way_back.lines().next().unwrap();
        fs::write(site.house.path("kluis.toml"), "").unwrap();
        let mut command = site.house.kluis();
        command.args(way_back.split(' ')).arg("--yes");
        command.env("DATABASE_URL", site.cluster.url("shop"));
        let back = command.output().unwrap();
        assert!(back.status.success(), "{way_back}: {back:?}");
        assert_eq!(site.holds("shop"), "old");
    }
}

/// A role under its own row-level security cannot dump what it has restored.
#[test]
fn rows_that_the_role_may_not_see_again_are_in_place_all_the_same() {
    let Some(site) = Site::new() else { return };
    let cluster = &site.cluster;
    cluster.psql(
        "postgres",
        "CREATE ROLE tenant LOGIN; CREATE DATABASE own TEMPLATE template0 OWNER tenant",
    );
    let as_tenant = "SET SESSION AUTHORIZATION tenant;";
    cluster.psql("own", &format!("{as_tenant} {CONTENT} ('new')"));
    cluster.psql(
        "own",
        "ALTER TABLE version ENABLE ROW LEVEL SECURITY; ALTER TABLE version FORCE ROW LEVEL \
         SECURITY; CREATE POLICY all_of_it ON version USING (true)",
    );
    site.house
        .run(&["backup", "db", "--url", &cluster.url("own")]);
    cluster.psql("own", "UPDATE version SET name = 'old'");
    let mut command = site.house.kluis();
    command.args(["restore", "latest:own", "--replace", "--in-place", "--yes"]);
    command.arg("--no-pre-restore-backup");
    let url = cluster.url("own").replace("postgres@", "tenant@");
    let output = command.env("DATABASE_URL", url).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("IS IN PLACE in database own"), "{said}");
    assert_eq!(site.holds("own"), "new");
}
