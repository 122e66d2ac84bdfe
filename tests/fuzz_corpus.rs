//! Replays every input that the fuzzer's runs left behind, through the same
//! properties: `tests/fuzz` finds, this keeps.

#[path = "../fuzz/src/lib.rs"]
mod properties;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// So that a clone stays small; `tests/fuzz` keeps only what reaches new places.
const KEPT_BYTES_MAX: u64 = 1_000_000;

fn kept(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(directory)
}

/// The files of a directory, sorted; none where it is not there.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(target: &str) {
    let (_, run) = properties::TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("a target");
    let corpus = files(&kept("corpus").join(target));
    assert!(!corpus.is_empty(), "no corpus of {target}");
    let broken: Vec<String> = corpus
        .into_iter()
        .chain(files(&kept("crashes").join(target)))
        .filter(|file| {
            let input = fs::read(file).unwrap();
            catch_unwind(AssertUnwindSafe(|| run(&input))).is_err()
        })
        .map(|file| file.display().to_string())
        .collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

macro_rules! replays {
    ($($test:ident: $target:literal,)*) => {
        $(#[test]
        fn $test() {
            replay($target);
        })*

        const REPLAYED: &[&str] = &[$($target),*];
    };
}

replays! {
    kept_restorations_hold: "restoration",
    kept_headers_hold: "header",
    kept_frames_hold: "frames",
    kept_legacy_files_hold: "legacy",
    kept_manifests_hold: "manifest",
    kept_names_hold: "names",
    kept_dumps_hold: "dump",
    kept_endless_dumps_hold: "endless",
    kept_globals_hold: "globals",
    kept_tars_hold: "tar",
    kept_archives_hold: "archive",
}

#[test]
fn every_target_is_replayed_and_nothing_else_is_kept() {
    let replayed: BTreeSet<&str> = REPLAYED.iter().copied().collect();
    let targets = properties::TARGETS.iter().map(|(name, _)| *name);
    assert_eq!(targets.collect::<BTreeSet<_>>(), replayed);
    for directory in ["corpus", "crashes", "dictionaries"] {
        for entry in files(&kept(directory)) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            assert!(replayed.contains(name.as_str()), "{}", entry.display());
        }
    }
}

#[test]
fn what_is_kept_stays_small() {
    let directories = ["corpus", "crashes"].map(kept);
    let files = directories
        .iter()
        .flat_map(|directory| files(directory))
        .flat_map(|target| files(&target));
    let bytes: u64 = files.map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(bytes < KEPT_BYTES_MAX, "{bytes} bytes in fuzz/");
}
