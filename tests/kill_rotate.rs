//! kill -9 at 250 points of `key rotate`, spread over all its system calls.
//! After each, every archive opens with the old key or with the new one, its
//! manifest's seal holds and no backup is missing; the next rotation ends it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use kluis::catalog::{Catalog, Trust};
use kluis::format::age::AgeIdentity;
use kluis::format::keyring::Keyring;
use kluis::operations::{Encryption, Vault};
use kluis::storage::LocalStorage;

use crate::support::house::{House, names as names_in};
use crate::support::in_process::{Witness, at, back_up, tree_of, vault};
use crate::support::rings::{healthy, hex_key, is_whole, names, opened, ring};
use crate::support::soak::{rounds, step};
use crate::support::tracing::{can_trace, kluis_meeting};

const PASSPHRASE: &str = "correct horse";
const SIGKILL: i32 = 9;

/// A storage whose archives open with the old key, some with a recovery key too.
struct Trial {
    house: House,
    old: String,
    new: String,
    /// Each derives its passphrase once.
    old_ring: Keyring,
    new_ring: Keyring,
    recovery: String,
    ids: BTreeSet<String>,
    points: usize,
    /// Archives that were seen with the old key, between both, and with the new.
    seen: [usize; 3],
}

impl Trial {
    fn new(old: &str, archives: i64) -> Self {
        let house = House::new();
        let recovery = AgeIdentity::generate().recipient().to_string();
        let mut trial = Self {
            house,
            old: old.to_owned(),
            new: hex_key(2),
            old_ring: ring(&[], &[old]),
            new_ring: ring(&[&hex_key(2)], &[]),
            recovery,
            ids: BTreeSet::new(),
            points: 0,
            seen: [0; 3],
        };
        let tree = tree_of(3_000);
        let pristine = trial.house.path("pristine");
        let storage = LocalStorage::open(&pristine, false).unwrap();
        // Every other one has the recovery key beside.
        for (first, keys) in [(0, vec![old]), (1, vec![old, &trial.recovery])] {
            let reporter = Witness::default();
            let vault = Vault {
                ring: ring(&keys, &[]),
                ..vault(&storage, &reporter, "backup source")
            };
            for hour in (first..archives).step_by(2) {
                back_up(&vault, tree.path(), Encryption::Kluis1, at(hour)).unwrap();
            }
        }
        trial.write_key("old", &trial.old);
        trial.write_key("new", &trial.new);
        trial.reset();
        trial.ids = trial.ids();
        assert_eq!(trial.ids.len() as i64, archives);
        trial
    }

    fn write_key(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.house.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The storage as it was before anything was rotated.
    fn reset(&self) {
        let _ = fs::remove_dir_all(self.house.storage());
        copy(&self.house.path("pristine"), &self.house.storage());
    }

    fn storage(&self) -> LocalStorage {
        LocalStorage::open(&self.house.storage(), false).unwrap()
    }

    fn ids(&self) -> BTreeSet<String> {
        let catalog = Catalog::load(&self.storage(), Trust::NoKey).unwrap();
        assert!(catalog.unreadable.is_empty());
        let backups = catalog.backups.iter().filter_map(|b| b.file.as_ref());
        let ids: Vec<String> = backups.map(|file| file.manifest.id.to_string()).collect();
        let set: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(ids.len(), set.len(), "a backup is there twice");
        set
    }

    /// `key rotate` whose `call` is met by a kill at its `number`th occurrence.
    fn kill(&mut self, arguments: &[&str], call: &str, number: usize) -> bool {
        let mut command = kluis_meeting(&self.house, call, "signal=KILL", number);
        let output = self.rotating(&mut command, arguments).output().unwrap();
        let killed = output.status.signal() == Some(SIGKILL);
        assert!(killed || output.status.success(), "{output:?}");
        self.points += usize::from(killed);
        killed
    }

    fn rotating<'a>(&self, command: &'a mut Command, arguments: &[&str]) -> &'a mut Command {
        command
            .env_remove("BACKUP_ENCRYPTION_KEY")
            .env("BACKUP_ENCRYPTION_KEY_FILE", self.house.path("new"))
            .args(["key", "rotate", "--from", "old"])
            .args(arguments)
    }

    fn judge(&mut self, point: &str) {
        assert_eq!(self.ids(), self.ids, "{point}");
        let storage = self.storage();
        let catalog = Catalog::load(&storage, Trust::NoKey).unwrap();
        for backup in &catalog.backups {
            let old = is_whole(&storage, backup, &self.old_ring);
            let new = is_whole(&storage, backup, &self.new_ring);
            assert!(old || new, "{point}: {} is lost", backup.archive);
            self.seen[usize::from(new) + usize::from(new && !old)] += 1;
        }
    }

    /// The next rotation ends what the killed one began.
    fn finish(&self, arguments: &[&str], point: &str) {
        let mut command = self.house.kluis();
        let output = self.rotating(&mut command, arguments).output().unwrap();
        assert!(output.status.success(), "{point}: {output:?}");
        assert_eq!(self.ids(), self.ids, "{point}");
        let storage = self.storage();
        for backup in Catalog::load(&storage, Trust::NoKey).unwrap().backups {
            let header = healthy(&storage, &backup.archive, &self.new_ring);
            let named = names(&header);
            let has_recovery = named.iter().any(|name| name.contains(&self.recovery));
            assert_eq!(named.len(), 1 + usize::from(has_recovery), "{point}");
            assert!(
                opened(&storage, &backup.archive, &self.old_ring).is_none(),
                "{point}"
            );
        }
        assert_eq!(self.house.leftovers(), [""; 0], "{point}");
    }
}

/// A storage's files, and those of its records.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("runs")).unwrap();
    for below in ["", "runs"] {
        for name in names_in(&from.join(below)) {
            let path = from.join(below).join(&name);
            if path.is_file() {
                fs::copy(path, to.join(below).join(name)).unwrap();
            }
        }
    }
}

/// Kills at each of `calls` in turn, at every `stride`th occurrence in a soak.
fn kill_all(trial: &mut Trial, arguments: &[&str], calls: &[(&str, usize)]) {
    let begun = Instant::now();
    for &(call, stride) in calls {
        for number in (1..).step_by(stride * step()) {
            trial.reset();
            if !trial.kill(arguments, call, number) {
                break;
            }
            let point = format!("{call} {number}");
            trial.judge(&point);
            trial.finish(arguments, &point);
        }
    }
    let [old, between, new] = trial.seen;
    eprintln!(
        "{} kills in {:.0} s; archives seen: {old} old, {between} between, {new} new",
        trial.points,
        begun.elapsed().as_secs_f64()
    );
}

#[test]
fn a_rotation_from_key_to_key_is_killed_at_each_point() {
    if !can_trace() {
        return;
    }
    let mut trial = Trial::new(&hex_key(1), 6);
    let calls = [
        ("pwrite64", 1),
        ("fdatasync", 1),
        ("renameat2,renameat", 1),
        ("fsync", 1),
        ("write", 1),
        ("read", 3),
        ("openat", 1),
    ];
    kill_all(&mut trial, &[], &calls);
    assert!(trial.points >= rounds(150), "only {} points", trial.points);
    assert!(trial.seen.iter().all(|seen| *seen > 0), "{:?}", trial.seen);
}

#[test]
fn a_rotation_from_a_passphrase_is_killed_at_many_points() {
    if !can_trace() {
        return;
    }
    let mut trial = Trial::new(PASSPHRASE, 5);
    let calls = [("pwrite64", 1), ("fdatasync", 1), ("openat", 3)];
    kill_all(&mut trial, &[], &calls);
    assert!(trial.points >= rounds(50), "only {} points", trial.points);
}

#[test]
fn writing_anew_is_killed_at_many_points() {
    if !can_trace() {
        return;
    }
    let mut trial = Trial::new(&hex_key(1), 3);
    let calls = [
        ("unlinkat", 1),
        ("renameat2,renameat", 1),
        ("fsync", 1),
        ("write", 1),
        ("openat", 4),
    ];
    kill_all(&mut trial, &["--reencrypt"], &calls);
    assert!(trial.points >= rounds(50), "only {} points", trial.points);
    assert!(trial.seen[0] > 0 && trial.seen[2] > 0, "{:?}", trial.seen);
}
