//! A storage with hostile manifests in it, and the commands that read them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::hostile::{Canaries, Planted, planted};
use crate::support::house::{House, names};
use crate::support::soak::{is_soak, step};

/// What takes long is done for one in so many.
fn one_in() -> usize {
    match is_soak() {
        true => 20,
        false => 1_597,
    }
}

/// A planted backup that is also restored.
pub struct Chosen {
    name: String,
    manifest: Vec<u8>,
}

/// A storage with backups of its own, and hostile ones that look newer.
pub struct Field {
    pub house: House,
    pub canaries: Canaries,
    /// Where the user of a throwaway server gets to.
    _work: TempDir,
}

impl Field {
    pub fn new(house: House) -> Self {
        let work = crate::support::open_directory(0o755);
        let config = format!("work_dir = \"{}\"\n", work.path().display());
        fs::write(house.path("kluis.toml"), config).unwrap();
        Self {
            house,
            canaries: Canaries::new(),
            _work: work,
        }
    }

    /// Whatever kluis answers, it is an answer: no panic, and nothing that a terminal
    /// obeys.
    pub fn try_to(&self, arguments: &[&str]) -> Output {
        let mut kluis: Command = self.house.kluis();
        let output = kluis.args(arguments).output().unwrap();
        let code = output.status.code();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            code.is_some_and(|code| code < 7),
            "{arguments:?}: {code:?}: {said}"
        );
        for text in [&output.stdout, &output.stderr] {
            assert!(
                !text.contains(&0x1b),
                "{arguments:?}: escape sequences reach the terminal"
            );
        }
        self.canaries.are_untouched(arguments);
        output
    }

    /// Archives and manifests.
    pub fn files(&self) -> Vec<String> {
        let names = names(&self.house.storage()).into_iter();
        names.filter(|name| name.contains("_20")).collect()
    }

    /// The archives with this beginning and end, the newest last, and the file of that
    /// one's manifest.
    pub fn genuine(&self, [begins, ends]: [&str; 2]) -> (Vec<String>, Value) {
        let mut archives = self.files();
        archives.retain(|name| {
            let is_of_kind = name.starts_with(begins) && name.contains(ends);
            is_of_kind && !name.ends_with(".json")
        });
        let file_of = |archive: &String| -> Value {
            let file = self.house.storage().join(format!("{archive}.json"));
            serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
        };
        // Of one second, the names do not tell.
        let time = |archive: &String| file_of(archive)["manifest"]["created_at"].to_string();
        archives.sort_by_key(time);
        let file = file_of(archives.last().unwrap());
        (archives, file)
    }

    /// Puts a copy of `archive` there, with a hostile manifest, under a name that
    /// nobody has.
    pub fn plant(&self, archive: &str, planted: &Planted, value: &[u8], id: usize) -> String {
        let at = archive.find("_20").unwrap() + 1;
        let (day, second) = (1 + id / 86_400, id % 86_400);
        let time = format!(
            "2027-01-{day:02}T{:02}-{:02}-{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        );
        let name = format!("{}{time}{}", &archive[..at], &archive[at + time.len()..]);
        let storage = self.house.storage();
        fs::hard_link(storage.join(archive), storage.join(&name)).unwrap();
        let manifest = storage.join(format!("{name}.json"));
        fs::write(manifest, planted.bytes(value, &name, id)).unwrap();
        name
    }

    /// All pairs of field and value for a copy of `archive`, put there: their number,
    /// and those that are to be restored. All in a soak, or else for each field a fourth
    /// of the values, by turns.
    pub fn plant_all(&self, archive: &str, file: &Value) -> (usize, Vec<Chosen>) {
        let (mut id, mut chosen) = (0, Vec::new());
        for (turn, planted) in planted(file).iter().enumerate() {
            let values = self.canaries.values().into_iter().skip(turn % step());
            for value in values.step_by(step()) {
                let name = self.plant(archive, planted, &value, id);
                if planted.is_sharp(&value) || id.is_multiple_of(one_in()) {
                    let manifest = planted.bytes(&value, &name, id);
                    chosen.push(Chosen { name, manifest });
                }
                id += 1;
            }
        }
        (id, chosen)
    }

    /// Takes away all that was planted, and puts each of `chosen` there alone: among
    /// thousands a command takes longer.
    pub fn one_by_one(&self, archive: &str, chosen: &[Chosen], act: &dyn Fn(&str)) {
        let storage = self.house.storage();
        let is_planted = |name: &String| name.contains("_2027-01-");
        for Chosen { name, manifest } in chosen {
            for planted in self.files().into_iter().filter(is_planted) {
                fs::remove_file(storage.join(planted)).unwrap();
            }
            fs::hard_link(storage.join(archive), storage.join(name)).unwrap();
            fs::write(storage.join(format!("{name}.json")), manifest).unwrap();
            act(name);
        }
    }

    /// Every command that reads all manifests and no archive.
    pub fn readings(&self) {
        for arguments in [
            &["list"][..],
            &["list", "--json"],
            &["status"],
            &["check"],
            &["verify", "--all", "--quick"],
            &["report", "--html", "report.html"],
            &["history"],
            &["prune", "--dry-run"],
        ] {
            self.try_to(arguments);
        }
    }
}

/// Everything in the house but what kluis is told to write: files that must not
/// appear.
pub fn around(field: &Field) -> Vec<String> {
    let mut found = Vec::new();
    let mut directories = vec![field.house.path("")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_ours = [field.house.storage(), field.house.path("report.html")];
            if is_ours.contains(&path) {
                continue;
            }
            if is_directory(&path) {
                directories.push(path.clone());
            }
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

/// A kind of backup, by the command that makes one.
pub struct Kind {
    pub backup: &'static [&'static str],
    /// How its archive's name begins, and what is in it.
    pub archive: [&'static str; 2],
}

pub const PLAIN: Kind = Kind {
    backup: &["backup", "db", "shop"],
    archive: ["shop_", ".sql"],
};
pub const CUSTOM: Kind = Kind {
    backup: &["backup", "db", "shop", "--format", "custom"],
    archive: ["shop_", ".dump"],
};
pub const DIRECTORY: Kind = Kind {
    backup: &["backup", "db", "shop", "--format", "directory"],
    archive: ["shop_", ".dir.tar"],
};
pub const GLOBALS: Kind = Kind {
    backup: &["backup", "db", "shop", "--globals"],
    archive: ["pg_globals_", ".sql"],
};
pub const TREE: Kind = Kind {
    backup: &["backup", "source", "tree"],
    archive: ["tree_", ".tar"],
};
