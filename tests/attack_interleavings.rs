//! Another user renames, links and moves while root restores, cleans up and
//! walks: at every system call that touches a name, each of his steps.
//!
//! Succeeds on 861f450. There the staging directory lies in his own directory:
//! renamed away while it was cleaned up, what took its name was removed; a link
//! in its place had what it led to changed; a directory moved out of it led the
//! removal to what lay above; and a walk that came back from a moved directory
//! left out what it had still to read of others.
//!
//! The process is stopped by strace at the n-th call of a kind, the attacker
//! takes his step as his own user, and the process goes on. 2,000 rounds in a soak.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::house;
use crate::support::house::House;
use crate::support::soak::is_soak;
use crate::support::stopping;

const ATTACKER: u32 = 65534;
const SECRET: &str = "nobody else is to read this";
const BOBS: &str = "bob's letter, which must be in every backup";
const ROUNDS: usize = 120;
const SOAK_ROUNDS: usize = 2_000;
/// Levels of the attacker's deep directory: more than are held open.
const DEEP: usize = 150;
const DEEP_NAME: &str = "d";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Operation {
    Restore,
    /// Of an archive that turns out to be damaged at its end.
    CleanUp,
    /// The destination is filled before the tree gets there.
    Refused,
    Walk,
}

const RESTORING: [&str; 8] = [
    "openat",
    "mkdirat",
    "unlinkat",
    "renameat,renameat2",
    "fchmod",
    "fchmodat",
    "newfstatat",
    "getdents64",
];
const WALKING: [&str; 3] = ["openat", "getdents64", "newfstatat"];

/// What the attacker does in `alice/work`, where `out` is to come and where a
/// directory `keep` of root's lies.
const IN_HIS_DIRECTORY: [&str; 8] = [
    "s=$(echo .out.kluis-*); mv $s moved; mv keep $s",
    "s=$(echo .out.kluis-*); mv $s moved; ln -s ../../outside/precious $s",
    "s=$(echo .out.kluis-*); mv $s/*/a/b/c/d . || mv $s/a/b/c/d .",
    "s=$(echo .out.kluis-*); cd $s && mv a a2 && ln -s ../../../outside/precious a",
    "mv out gone; ln -s ../../outside/precious out",
    "mv out gone; mv keep out",
    "cd ..; mv work away; ln -s ../outside work",
    "cd ..; mv work away; mkdir -p work/out",
];

/// What he does in `home/alice` while `home` is read.
const WHILE_READ: [&str; 6] = [
    "mv deep/d/d deep/moved",
    "mv deep/d elsewhere; ln -s ../../outside/precious deep/d",
    "mv deep z; mkdir -p deep/d/d/d",
    "mv files f; ln -s ../../outside/precious files",
    "mv files/a x; ln -s ../../../outside/precious/secret files/a",
    "d=deep; for i in $(seq 70); do d=$d/d; done; mv $d pit",
];

#[derive(Clone, Copy, Debug)]
struct Round {
    operation: Operation,
    call: &'static str,
    number: usize,
    step: &'static str,
}

/// A place of root's with the attacker's directory in it, and what is not his.
struct Place(tempfile::TempDir);

fn make(path: &Path, content: Option<&str>, mode: u32, owner: u32) {
    match content {
        Some(content) => fs::write(path, content).unwrap(),
        None => fs::create_dir(path).unwrap(),
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    chown(path, Some(owner), Some(owner)).unwrap();
}

impl Place {
    fn new(operation: Operation) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let at = |path: &str| place.0.path().join(path);
        fs::set_permissions(place.0.path(), Permissions::from_mode(0o755)).unwrap();
        make(&at("outside"), None, 0o755, 0);
        make(&at("outside/precious"), None, 0o755, 0);
        make(&at("outside/precious/secret"), Some(SECRET), 0o600, 0);
        make(&at("outside/precious/empty"), None, 0o750, 0);
        match operation {
            Operation::Walk => place.make_homes(),
            _ => {
                make(&at("alice"), None, 0o755, ATTACKER);
                make(&at("alice/work"), None, 0o755, ATTACKER);
                make(&at("alice/work/keep"), None, 0o755, 0);
                make(&at("alice/work/keep/sub"), None, 0o755, 0);
                make(&at("alice/work/keep/sub/file"), Some(SECRET), 0o644, 0);
            }
        }
        place
    }

    fn make_homes(&self) {
        let home = self.0.path().join("home");
        make(&home, None, 0o755, 0);
        for (name, owner) in [("alice", ATTACKER), ("bob", 0)] {
            make(&home.join(name), None, 0o755, owner);
            make(&home.join(name).join("files"), None, 0o755, owner);
            make(&home.join(name).join("files/a"), Some("a"), 0o644, owner);
        }
        make(&home.join("bob/letter"), Some(BOBS), 0o600, 0);
        let mut deep = home.join("alice/deep");
        make(&deep, None, 0o755, ATTACKER);
        for _ in 0..DEEP {
            deep.push(DEEP_NAME);
            make(&deep, None, 0o755, ATTACKER);
        }
    }

    /// All that the attacker cannot change himself, wherever it is by now: by
    /// inode, with mode, owner and content.
    fn guarded(&self) -> BTreeMap<u64, String> {
        let mut seen = BTreeMap::new();
        let mut left = vec![self.0.path().to_owned()];
        while let Some(path) = left.pop() {
            let Ok(entries) = fs::read_dir(&path) else {
                continue;
            };
            for entry in entries.flatten() {
                let path = entry.path();
                let Ok(stat) = fs::symlink_metadata(&path) else {
                    continue;
                };
                let name = entry.file_name().to_string_lossy().into_owned();
                if stat.is_dir() && name != DEEP_NAME {
                    left.push(path.clone());
                }
                let content = fs::read(&path).unwrap_or_default();
                let what = format!("{:o} {} {content:?}", stat.mode(), stat.uid());
                seen.insert(stat.ino(), what);
            }
        }
        seen
    }

    fn owned_by_root(&self) -> BTreeMap<u64, String> {
        let guarded = self.guarded().into_iter();
        guarded
            .filter(|(_, what)| what.split(' ').nth(1) == Some("0"))
            .collect()
    }
}

/// What came of one round.
struct Attacked {
    /// Whether kluis was met at its call, or passed it by in another thread.
    stopped: bool,
    /// What the attacker reached.
    wrong: Option<String>,
}

/// A storage with a backup, and with one that is damaged at its end.
struct Prepared {
    house: House,
    counts: BTreeMap<(Operation, &'static str), usize>,
}

impl Prepared {
    fn new() -> Self {
        let house = House::new();
        fs::create_dir_all(house.path("tree/a/b/c/d")).unwrap();
        for file in ["tree/1", "tree/a/2", "tree/a/b/3", "tree/a/b/c/d/4"] {
            fs::write(house.path(file), file).unwrap();
        }
        let tree = house.path("tree");
        for part in ["", "a", "a/b", "a/b/c", "a/b/c/d"] {
            chown(tree.join(part), Some(ATTACKER), Some(ATTACKER)).unwrap();
        }
        house.run(&["backup", "source", "tree", "--codec", "none"]);
        let archive = house.listed().remove(0);
        fs::copy(house.storage().join(&archive), house.path("whole")).unwrap();
        let mut bytes = fs::read(house.path("whole")).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(house.path("damaged"), bytes).unwrap();
        fs::rename(house.storage().join(&archive), house.path("archive")).unwrap();
        let manifest = house.storage().join(format!("{archive}.json"));
        fs::copy(manifest, house.path("manifest")).unwrap();
        fs::write(house.path("archive-name"), archive).unwrap();
        Self {
            house,
            counts: BTreeMap::new(),
        }
    }

    fn arguments(&self, operation: Operation, place: &Place) -> Vec<String> {
        let archive = fs::read_to_string(self.house.path("archive-name")).unwrap();
        let content = match operation {
            Operation::CleanUp => "damaged",
            _ => "whole",
        };
        let stored = self.house.storage().join(&archive);
        fs::copy(self.house.path(content), &stored).unwrap();
        // A run before may have noted the damage, and each leaves a record.
        let manifest = self.house.storage().join(format!("{archive}.json"));
        fs::copy(self.house.path("manifest"), manifest).unwrap();
        let _ = fs::remove_dir_all(self.house.storage().join("runs"));
        let at = |path: &str| place.0.path().join(path).display().to_string();
        match operation {
            Operation::Walk => vec![
                "backup".into(),
                "source".into(),
                at("home"),
                "--codec".into(),
                "none".into(),
                "--no-encrypt".into(),
            ],
            _ => vec![
                "restore".into(),
                "latest:tree".into(),
                "--to".into(),
                at("alice/work/out"),
            ],
        }
    }

    /// How often each kind of call comes in an undisturbed run.
    fn count(&mut self) {
        for operation in [
            Operation::Restore,
            Operation::CleanUp,
            Operation::Refused,
            Operation::Walk,
        ] {
            let place = Place::new(operation);
            let arguments = self.arguments(operation, &place);
            let calls: &[&str] = match operation {
                Operation::Walk => &WALKING,
                _ => &RESTORING,
            };
            let counted = stopping::count(&self.house, &arguments, calls);
            for (call, number) in counted {
                self.counts.insert((operation, call), number);
            }
            self.forget_walk(operation);
        }
    }

    fn forget_walk(&self, operation: Operation) {
        if operation == Operation::Walk {
            for name in house::names(&self.house.storage()) {
                if name.starts_with("home") {
                    fs::remove_file(self.house.storage().join(name)).unwrap();
                }
            }
        }
    }

    /// As many of each operation, the same each time.
    fn rounds(&self, wanted: usize) -> Vec<Round> {
        let mut all: BTreeMap<Operation, Vec<Round>> = BTreeMap::new();
        for (&(operation, call), &count) in &self.counts {
            let steps: &[&str] = match operation {
                Operation::Walk => &WHILE_READ,
                _ => &IN_HIS_DIRECTORY,
            };
            for number in 1..=count {
                all.entry(operation)
                    .or_default()
                    .extend(steps.iter().map(|step| Round {
                        operation,
                        call,
                        number,
                        step,
                    }));
            }
        }
        let mut state = 1_u64;
        for rounds in all.values_mut() {
            for at in (1..rounds.len()).rev() {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                rounds.swap(at, (state >> 33) as usize % (at + 1));
            }
        }
        let of_each = wanted.div_ceil(all.len());
        println!(
            "possible: {:?}",
            all.values().map(Vec::len).collect::<Vec<_>>()
        );
        let each = all.into_values();
        each.flat_map(|rounds| rounds.into_iter().cycle().take(of_each))
            .collect()
    }

    /// What went wrong, in words.
    fn attack(&self, round: &Round) -> Attacked {
        let place = Place::new(round.operation);
        let arguments = self.arguments(round.operation, &place);
        let before = place.owned_by_root();
        let directory = match round.operation {
            Operation::Walk => place.0.path().join("home/alice"),
            _ => place.0.path().join("alice/work"),
        };
        let more: &[&str] = match round.operation {
            Operation::Refused => &["syncfs"],
            _ => &[],
        };
        let at = (round.call, round.number);
        let mut syncs = 0;
        let ran = stopping::run(&self.house, &arguments, at, more, |trace| {
            let seen = trace.matches("syncfs(").count();
            match seen > syncs {
                true => stopping::as_nobody(&directory, "mkdir -p out; touch out/his"),
                false => stopping::as_nobody(&directory, round.step),
            }
            syncs = seen;
        });
        let after = place.guarded();
        let touched = before
            .iter()
            .filter(|(inode, what)| after.get(inode) != Some(what))
            .count();
        let added = fs::read_dir(place.0.path().join("outside"))
            .unwrap()
            .count()
            + fs::read_dir(place.0.path().join("outside/precious")).map_or(0, Iterator::count);
        let wrong = if touched > 0 {
            Some(format!(
                "{touched} of root's objects were changed or removed"
            ))
        } else if added != 3 {
            Some("something was made outside".to_owned())
        } else if ran.hung {
            Some("it hung".to_owned())
        } else if round.operation == Operation::Walk {
            self.judge_walk(&ran)
        } else {
            None
        };
        self.forget_walk(round.operation);
        let stopped = ran.stops > 0;
        Attacked { stopped, wrong }
    }

    fn judge_walk(&self, ran: &stopping::Ran) -> Option<String> {
        let names = house::names(&self.house.storage());
        let archive = names
            .iter()
            .find(|name| name.starts_with("home") && name.ends_with(".tar"));
        let Some(archive) = archive else {
            return Some(format!("no backup was made: {}", ran.said));
        };
        let bytes = fs::read(self.house.storage().join(archive)).unwrap();
        let holds = |text: &str| memchr_find(&bytes, text.as_bytes());
        match (holds(SECRET), holds(BOBS)) {
            (true, _) => Some("what lay outside was read".to_owned()),
            (_, false) => Some("another user's file is missing".to_owned()),
            _ => None,
        }
    }
}

fn memchr_find(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn whatever_another_user_does_meanwhile_nothing_outside_is_touched() {
    if !stopping::can_attack() {
        return;
    }
    let mut counted = Prepared::new();
    counted.count();
    let rounds = counted.rounds(match is_soak() {
        true => SOAK_ROUNDS,
        false => ROUNDS,
    });
    let (next, stopped) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let prepared = Prepared::new();
                while let Some(round) = rounds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let attacked = prepared.attack(round);
                    stopped.fetch_add(usize::from(attacked.stopped), Ordering::Relaxed);
                    if let Some(what) = attacked.wrong {
                        let kind = format!("{:?}: {what}", round.operation);
                        wrong.lock().unwrap().push((kind, format!("{round:?}")));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let stopped = stopped.into_inner();
    println!(
        "{} interleavings, {stopped} of them met kluis at a stop, {} wrong",
        rounds.len(),
        wrong.len()
    );
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (kind, round) in &wrong {
        kinds.entry(kind).or_default().push(round);
    }
    for (kind, rounds) in &kinds {
        println!("{} times {kind}; such as {}", rounds.len(), rounds[0]);
    }
    assert!(kinds.is_empty(), "{} of {}", wrong.len(), rounds.len());
    // An attacker who never meets kluis proves nothing. Where another thread made
    // the calls of a round this time, it may pass by.
    assert!(stopped * 10 >= rounds.len() * 9, "{stopped} stops only");
}

/// The attacker's directory with bob's files in it, a part that is read before it
/// and a link that is read after it.
fn place_to_move_in() -> Place {
    let place = Place(tempfile::tempdir().unwrap());
    let at = |path: &str| place.0.path().join(path);
    fs::set_permissions(place.0.path(), Permissions::from_mode(0o755)).unwrap();
    make(&at("home"), None, 0o755, 0);
    for part in ["", "/early", "/late", "/late/work"] {
        make(&at(&format!("home/alice{part}")), None, 0o755, ATTACKER);
    }
    make(&at("home/alice/late/work/bobs"), None, 0o755, 0);
    make(
        &at("home/alice/late/work/bobs/letter"),
        Some(BOBS),
        0o600,
        0,
    );
    std::os::unix::fs::symlink("x", at("home/alice/link")).unwrap();
    place
}

/// At each listing the attacker moves what is still to come to where was read;
/// back after his directory was left, or never.
#[test]
fn what_is_moved_to_where_was_read_is_in_the_archive_or_missed_aloud() {
    if !stopping::can_attack() {
        return;
    }
    let prepared = Prepared::new();
    let arguments = prepared.arguments(Operation::Walk, &place_to_move_in());
    let listings = stopping::count(&prepared.house, &arguments, &["getdents64"]);
    prepared.forget_walk(Operation::Walk);
    let mut stops = 0;
    for number in 1..=listings["getdents64"] {
        for comes_back in [true, false] {
            let place = place_to_move_in();
            let arguments = prepared.arguments(Operation::Walk, &place);
            let alices = place.0.path().join("home/alice");
            let at = ("getdents64", number);
            let ran =
                stopping::run(
                    &prepared.house,
                    &arguments,
                    at,
                    &["readlinkat"],
                    |trace| match trace.contains("readlinkat(") {
                        true if comes_back => {
                            stopping::as_nobody(&alices, "mv early/work late/work")
                        }
                        true => {}
                        false => stopping::as_nobody(&alices, "mv late/work early/work"),
                    },
                );
            stops += ran.stops;
            let wrong = prepared.judge_walk(&ran).filter(|_| ran.code == Some(0));
            assert_eq!(wrong, None, "listing {number}, {comes_back}: {}", ran.said);
            prepared.forget_walk(Operation::Walk);
        }
    }
    assert!(stops > 4, "{stops} stops only");
}
