//! Backup, prune, verify, delete, keep, restore and list at once on one storage,
//! started at random, each third of them killed at random (SIGKILL): 300 rounds.
//! After each round nothing may be gone that nobody was allowed to take, all that
//! is shown must be whole, and after one more run nothing may lie about.
//!
//! The choices come from a seed, which a failure prints; KLUIS_TEST_SEED repeats
//! them. What the scheduler makes of them differs each time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Output, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::house::House;
use crate::support::noise::noise;
use crate::support::soak::{is_soak, rounds};

/// Four tests share the 300, so that they run beside each other.
/// In a soak.
const ROUNDS: usize = 75;
const SIGKILL: i32 = 9;
/// A run takes about so long: starts and kills are spread over it.
const SPREAD_MICROS: u64 = 40_000;

/// Each tree's name, bytes, and how many of its newest backups the policy keeps;
/// the floor of 3 holds above that.
const TREES: [(&str, usize, usize); 3] = [("app", 3_000, 3), ("big", 900_000, 3), ("wiki", 50, 5)];

const POLICY: &str = "\
[retention]
keep_last = 1
keep_daily = 0
keep_weekly = 0
keep_monthly = 0

[[retention.policy]]
name = \"wiki\"
keep_last = 5
";

fn micros(dice: &mut Dice) -> Duration {
    Duration::from_micros(dice.below(SPREAD_MICROS as usize) as u64)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    Backup(&'static str),
    Prune,
    /// An archive's name.
    Verify(String),
    VerifyAll,
    VerifyQuick,
    Delete(String),
    Keep(String),
    Release(String),
    /// An archive, and the directory that it goes to.
    Restore(String, String),
    List,
}

impl Act {
    fn arguments(&self) -> Vec<&str> {
        match self {
            Self::Backup(name) => vec!["backup", "source", name],
            Self::Prune => vec!["prune"],
            Self::Verify(archive) => vec!["verify", archive],
            Self::VerifyAll => vec!["verify", "--all"],
            Self::VerifyQuick => vec!["verify", "--all", "--quick"],
            Self::Delete(archive) => vec!["delete", "--yes", archive],
            Self::Keep(archive) => vec!["keep", archive],
            Self::Release(archive) => vec!["keep", "--release", archive],
            Self::Restore(archive, to) => vec!["restore", archive, "--to", to, "--yes"],
            Self::List => vec!["list"],
        }
    }

    /// What an exit code other than 0 and 6 must have said.
    fn may_say(&self) -> &'static [(i32, &'static str)] {
        const GONE: (i32, &str) = (1, "is gone");
        const NO_FILE: (i32, &str) = (2, "there is no file");
        const NOT_FOUND: (i32, &str) = (2, "no backup is called");
        match self {
            Self::Verify(_) | Self::Keep(_) | Self::Release(_) | Self::Restore(..) => {
                &[GONE, NO_FILE, NOT_FOUND]
            }
            Self::Delete(_) => &[
                GONE,
                NO_FILE,
                NOT_FOUND,
                (1, "is kept"),
                (1, "is the last good backup"),
            ],
            Self::Prune => &[(3, "another run proves or restores it")],
            _ => &[],
        }
    }
}

/// One run that was started, and how it ended.
struct Ended {
    act: Act,
    waits: bool,
    pid: u32,
    output: Output,
}

impl Ended {
    fn was_killed(&self) -> bool {
        self.output.status.signal() == Some(SIGKILL)
    }

    fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    fn said(&self) -> String {
        let [out, err] = [&self.output.stdout, &self.output.stderr];
        String::from_utf8_lossy(&[&out[..], &err[..]].concat()).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap()
    }

    /// It did what it was to do, or nobody knows.
    fn may_have(&self, act: &Act) -> bool {
        // A prune that leaves what another run holds has removed the others.
        self.act == *act && (self.was_killed() || matches!(self.code(), Some(0 | 3)))
    }

    fn has(&self, act: &Act) -> bool {
        self.act == *act && self.code() == Some(0)
    }
}

/// A backup that `list` shows.
#[derive(Clone, Debug)]
struct Seen {
    file: String,
    name: String,
    created: Timestamp,
    kept: bool,
    verified: bool,
}

/// By id.
type State = BTreeMap<String, Seen>;

struct Storage {
    house: House,
    dice: Dice,
    state: State,
    /// What happened, for the line at the end.
    told: BTreeMap<&'static str, u32>,
}

impl Storage {
    fn new(seed: u64) -> Self {
        let house = House::new();
        fs::write(house.path("kluis.toml"), POLICY).unwrap();
        for (name, bytes, _) in TREES {
            fs::create_dir(house.path(name)).unwrap();
            fs::write(house.path(name).join("file"), noise(bytes)).unwrap();
        }
        let mut storage = Self {
            house,
            dice: Dice(seed),
            state: State::new(),
            told: BTreeMap::new(),
        };
        for (name, ..) in TREES {
            for _ in 0..3 {
                storage.house.run(&["backup", "source", name]);
            }
        }
        storage.state = storage.look();
        storage
    }

    fn count(&mut self, what: &'static str, by: usize) {
        *self.told.entry(what).or_default() += by as u32;
    }

    /// What `list` shows; each must be whole.
    fn look(&self) -> State {
        let output = self.house.run(&["list", "--json"]);
        state_of(&serde_json::from_slice(&output.stdout).unwrap())
    }

    fn any_act(&mut self, number: usize) -> Act {
        let files: Vec<String> = self.state.values().map(|it| it.file.clone()).collect();
        let kept = self.state.values().filter(|it| it.kept);
        let kept: Vec<String> = kept.map(|it| it.file.clone()).collect();
        let dice = &mut self.dice;
        let any = dice.one_of(&files).clone();
        match dice.below(20) {
            0..6 => Act::Backup(dice.one_of(&TREES).0),
            6..10 => Act::Prune,
            10 | 11 => Act::Verify(any),
            12 => Act::VerifyAll,
            13 => Act::VerifyQuick,
            14 | 15 => Act::Delete(any),
            16 => Act::Keep(any),
            17 if kept.is_empty() => Act::List,
            17 => Act::Release(dice.one_of(&kept).clone()),
            18 => Act::Restore(any, format!("restored/{number}")),
            _ => Act::List,
        }
    }

    /// Three to six runs at once.
    fn round(&mut self) -> Vec<Ended> {
        let runs = 3 + self.dice.below(4);
        let mut planned = Vec::new();
        for number in 0..runs {
            let act = self.any_act(number);
            let dice = &mut self.dice;
            let waits = dice.below(3) == 0;
            let kill = (dice.below(3) == 0).then(|| micros(dice));
            planned.push((act, waits, micros(dice), kill));
        }
        let _ = fs::remove_dir_all(self.house.path("restored"));
        fs::create_dir(self.house.path("restored")).unwrap();
        let house = &self.house;
        std::thread::scope(|scope| {
            let started = planned
                .into_iter()
                .map(|(act, waits, delay, kill)| {
                    scope.spawn(move || run_one(house, act, waits, delay, kill))
                })
                .collect::<Vec<_>>();
            let ended = started.into_iter().map(|run| run.join().unwrap());
            ended.collect()
        })
    }

    /// The state after `runs`, which must be one that they may lead to.
    fn judge(&mut self, runs: &[Ended]) {
        let pids: BTreeSet<u32> = runs.iter().map(|run| run.pid).collect();
        for run in runs {
            judge_end(run, &pids);
            self.count("kills", usize::from(run.was_killed()));
            self.count("conflicts", usize::from(run.code() == Some(6)));
            self.count("done", usize::from(run.code() == Some(0)));
        }
        let after = self.look();
        let change = Change {
            before: &self.state,
            after: &after,
            runs,
        };
        change.losses_are_allowed();
        change.deeds_are_seen(&self.house);
        let lost = self.state.keys().filter(|id| !after.contains_key(*id));
        let lost = lost.count();
        self.count("removed", lost);
        self.state = after;
    }

    /// One more run by itself clears up what the kills left.
    fn clear_up(&mut self) {
        let left = self.house.leftovers().len();
        self.count("left", left);
        let act = match self.dice.below(2) {
            0 => Act::Prune,
            _ => Act::Backup(self.dice.one_of(&TREES).0),
        };
        let none = Duration::ZERO;
        let run = run_one(&self.house, act, false, none, None);
        assert_eq!(run.code(), Some(0), "{:?}: {}", run.act, run.said());
        self.judge(&[run]);
        let left = self.house.leftovers();
        let records = self.house.records();
        let of_left = records.iter().filter(|(name, _)| left.contains(name));
        let records: Vec<_> = of_left.collect();
        assert!(left.is_empty(), "after one more run: {left:?} {records:?}");
        self.house.run(&["verify", "--all", "--quick"]);
    }
}

fn state_of(listed: &Value) -> State {
    let rows = listed["backups"].as_array().unwrap().iter();
    let seen = rows.map(|row| {
        let proof = row["proof"].as_str().unwrap();
        assert!(
            matches!(proof, "stored" | "verified"),
            "not a whole backup: {row}"
        );
        let text = |field: &str| row[field].as_str().unwrap().to_owned();
        let seen = Seen {
            file: text("file"),
            name: text("name"),
            created: text("created_at").parse().unwrap(),
            kept: row["kept"].as_bool().unwrap(),
            verified: proof == "verified",
        };
        (text("id"), seen)
    });
    seen.collect()
}

fn run_one(house: &House, act: Act, waits: bool, delay: Duration, kill: Option<Duration>) -> Ended {
    std::thread::sleep(delay);
    let mut command = house.kluis();
    command.args(act.arguments()).arg("--json");
    if waits {
        // Far longer than any round.
        command.args(["--lock-wait", "5m"]);
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let pid = child.id();
    if let Some(after) = kill {
        std::thread::sleep(after);
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    Ended {
        act,
        waits,
        pid,
        output,
    }
}

/// A run ends well, or is killed, or says a good reason; never with exit code 4.
fn judge_end(run: &Ended, pids: &BTreeSet<u32>) {
    let (act, said) = (&run.act, run.said());
    match run.code() {
        None => assert!(run.was_killed(), "{act:?}: {:?}", run.output.status),
        Some(0) => assert!(!said.contains("warning:"), "{act:?}: {said}"),
        Some(6) if said.contains("is being proven or restored by another run") => {
            assert!(!run.waits, "{act:?} did not wait: {said}");
        }
        Some(6) => {
            assert!(!run.waits, "{act:?} did not wait: {said}");
            let holders = holders(&said);
            assert!(!holders.is_empty(), "{act:?} names no holder: {said}");
            assert!(holders.is_subset(pids), "{act:?} names a stranger: {said}");
            assert!(said.contains("held by kluis ") && said.contains(" since 2"));
        }
        Some(code) => {
            let known = act.may_say().iter();
            let mut known = known.filter(|(of, text)| *of == code && said.contains(text));
            assert!(known.next().is_some(), "{act:?}: exit code {code}: {said}");
        }
    }
}

/// The pids in "held by kluis prune (pid 17 on host) since ...".
fn holders(said: &str) -> BTreeSet<u32> {
    let parts = said.split("(pid ").skip(1);
    let pid = |part: &str| part.split(' ').next()?.parse().ok();
    parts.filter_map(pid).collect()
}

struct Change<'a> {
    before: &'a State,
    after: &'a State,
    runs: &'a [Ended],
}

impl Change<'_> {
    fn may_have(&self, act: &Act) -> bool {
        self.runs.iter().any(|run| run.may_have(act))
    }

    fn has(&self, act: &Act) -> bool {
        self.runs.iter().any(|run| run.has(act))
    }

    /// Backups of the same name that are newer, in either state.
    fn newer<'s>(&'s self, id: &'s str, of: &'s Seen) -> BTreeMap<&'s String, &'s Seen> {
        let all = self.before.iter().chain(self.after);
        let is_newer = |(other, it): &(&String, &Seen)| {
            it.name == of.name && (it.created, other.as_str()) > (of.created, id)
        };
        all.filter(is_newer).collect()
    }

    fn losses_are_allowed(&self) {
        let lost = |(id, _): &(&String, &Seen)| !self.after.contains_key(*id);
        for (id, backup) in self.before.iter().filter(lost) {
            let file = &backup.file;
            let released = self.may_have(&Act::Release(file.clone()));
            assert!(!backup.kept || released, "a kept one is lost: {backup:?}");
            if !self.may_have(&Act::Delete(file.clone())) {
                self.was_pruned_rightly(id, backup, released);
            }
        }
        for (name, ..) in TREES {
            let left = self.after.values().filter(|it| it.name == name).count();
            assert!(left > 0, "the last one of {name} is lost");
        }
    }

    fn was_pruned_rightly(&self, id: &str, backup: &Seen, released: bool) {
        assert!(self.may_have(&Act::Prune), "nobody took it: {backup:?}");
        let kept = self.has(&Act::Keep(backup.file.clone()));
        assert!(!kept || released, "kept in time, and lost: {backup:?}");
        let newer = self.newer(id, backup);
        let (_, _, keeps) = TREES.iter().find(|tree| tree.0 == backup.name).unwrap();
        assert!(newer.len() >= *keeps, "one of the newest: {backup:?}");
        let proven = |(id, it): (&&String, &&Seen)| {
            let now = self.after.get(*id).is_some_and(|it| it.verified);
            it.verified
                || now
                || self.may_have(&Act::Verify(it.file.clone()))
                || self.may_have(&Act::VerifyAll)
        };
        assert!(
            !backup.verified || newer.iter().any(proven),
            "the newest proof is lost: {backup:?}"
        );
        // Whoever took it says so, unless it was killed.
        let says = |run: &Ended| {
            let rows = run.json()["backups"].as_array().unwrap().clone();
            let removed = |row: &Value| row["id"] == id && row["keep"] == false;
            rows.iter().any(removed)
        };
        let prunes = self.runs.iter().filter(|run| run.may_have(&Act::Prune));
        let mut prunes = prunes.map(|run| run.was_killed() || says(run));
        assert!(prunes.any(|took| took), "no prune says it: {backup:?}");
    }

    fn deeds_are_seen(&self, house: &House) {
        for run in self.runs.iter().filter(|run| run.code() == Some(0)) {
            // Also after it waited for the lock while others began.
            let is_prune = run.act == Act::Prune;
            assert!(!is_prune || !run.said().contains("clock"), "{}", run.said());
            let by_file = |file: &String| self.after.values().find(|it| it.file == *file);
            match &run.act {
                Act::Backup(name) => {
                    let made = run.json()["backups"][0].clone();
                    let [id, file] = ["id", "file"].map(|key| made[key].as_str().unwrap());
                    // In the second in which the old one went, it has its name.
                    let deleted = self.may_have(&Act::Delete(file.to_owned()));
                    let there = self.after.contains_key(id);
                    assert!(
                        there || deleted,
                        "the new backup of {name} is not there: {id}"
                    );
                }
                Act::Delete(file) => {
                    // One that is made in the same second may have its name.
                    let was = self.before.iter().find(|(_, it)| it.file == *file);
                    let there = was.is_some_and(|(id, _)| self.after.contains_key(id));
                    assert!(!there, "{file} is still there");
                }
                Act::Keep(file) if !self.may_have(&Act::Release(file.clone())) => {
                    assert!(by_file(file).unwrap().kept, "{file} is not kept");
                }
                Act::Release(file) if !self.may_have(&Act::Keep(file.clone())) => {
                    assert!(by_file(file).is_none_or(|it| !it.kept), "{file} is kept");
                }
                Act::List => {
                    state_of(&run.json());
                }
                _ => {}
            }
        }
        for run in self.runs {
            if let Act::Restore(archive, to) = &run.act {
                judge_restored(house, run, archive, to);
            }
        }
        let lost_proof = |(id, was): &(&String, &Seen)| {
            let now = self.after.get(*id);
            was.verified && now.is_some_and(|now| !now.verified)
        };
        assert!(
            !self.before.iter().any(|it| lost_proof(&it)),
            "a proof is lost: {:?} -> {:?}",
            self.before,
            self.after
        );
    }
}

/// The whole tree is there, or nothing.
fn judge_restored(house: &House, run: &Ended, archive: &str, to: &str) {
    let to = house.path(to);
    let (name, _) = archive.split_once("_source_").unwrap();
    if to.exists() {
        let [restored, tree] = [to, house.path(name)].map(|it| fs::read(it.join("file")));
        assert!(
            restored.unwrap() == tree.unwrap(),
            "{archive} came back otherwise"
        );
    } else {
        assert_ne!(run.code(), Some(0), "{archive} did not come back");
    }
}

/// Prints the seed unless it is dropped in peace.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the same choices again: KLUIS_TEST_SEED={}", self.0);
        }
    }
}

fn interleave(number: u64) {
    let given = std::env::var("KLUIS_TEST_SEED").ok();
    let now = Timestamp::now().as_microsecond() as u64;
    let seed = given.map_or(now.wrapping_mul(4) + number, |it| it.parse().unwrap());
    let seed = Seed(seed);
    let mut storage = Storage::new(seed.0);
    let rounds = rounds(ROUNDS);
    for round in 0..rounds {
        let runs = storage.round();
        let acts = || runs.iter().map(|run| &run.act).collect::<Vec<_>>();
        eprintln!("round {round}: {:?}", acts());
        storage.judge(&runs);
        storage.clear_up();
    }
    storage.house.run(&["verify", "--all"]);
    eprintln!("{rounds} rounds: {:?}", storage.told);
    // How many kills left something is the machine's mood, and `kill_nine` has each point.
    for (what, least) in [("kills", 40), ("conflicts", 20), ("removed", 20)] {
        // Of a sample no more can be asked than that they come at all.
        let least = if is_soak() { least } else { 1 };
        let told = storage.told.get(what).copied().unwrap_or_default();
        assert!(told >= least, "only {:?}", storage.told);
    }
}

#[test]
fn runs_at_once_and_killed_lose_nothing_and_leave_nothing_1() {
    interleave(1);
}

#[test]
fn runs_at_once_and_killed_lose_nothing_and_leave_nothing_2() {
    interleave(2);
}

#[test]
fn runs_at_once_and_killed_lose_nothing_and_leave_nothing_3() {
    interleave(3);
}

#[test]
fn runs_at_once_and_killed_lose_nothing_and_leave_nothing_4() {
    interleave(4);
}
