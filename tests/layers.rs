//! Holds the house in order: imports point down only, one place prints, one
//! spawns, one reads the environment, files stay small. The order of the layers
//! is read from `src/lib.rs`, where people read it too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 400;

struct SourceFile {
    /// Below `src`: `config/file.rs`.
    path: String,
    /// Without comments and without the tests at the end.
    code: String,
    /// With comments, without the tests.
    text: String,
}

impl SourceFile {
    /// The crate's module that the file belongs to: `config`.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Lines of code that hold one of the words, as `path: line`.
    fn hits(&self, words: &[&str]) -> Vec<String> {
        let holds = |line: &&str| words.iter().any(|word| line.contains(word));
        let hits = self.code.lines().filter(holds);
        hits.map(|line| format!("{}: {}", self.path, line.trim()))
            .collect()
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn source_files() -> Vec<SourceFile> {
    let mut files = Vec::new();
    let mut directories = vec![src()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !is_tests(&path) {
                files.push(source_file(&path));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 20, "only {} source files", files.len());
    files
}

/// A module's tests may stand in a file of their own, or in a directory of them.
fn is_tests(path: &Path) -> bool {
    let below = path.strip_prefix(src()).unwrap_or(path);
    let mut parts = below.components().map(|part| part.as_os_str());
    parts.any(|part| part == "tests.rs" || part == "tests")
}

fn source_file(path: &Path) -> SourceFile {
    let whole = fs::read_to_string(path).unwrap();
    let tests = whole.find("#[cfg(test)]\nmod ").unwrap_or(whole.len());
    let text = whole[..tests].to_owned();
    let is_comment = |line: &&str| line.trim_start().starts_with("//");
    let code = text.lines().filter(|line| !is_comment(line));
    SourceFile {
        path: path.strip_prefix(src()).unwrap().display().to_string(),
        code: code.collect::<Vec<_>>().join("\n"),
        text,
    }
}

/// Each module's layer, 0 being the highest: a comment `// Name: ...` in
/// `lib.rs` opens a layer, `pub mod name;` stands in it.
fn layers() -> BTreeMap<String, (usize, String)> {
    let mut layers = BTreeMap::new();
    let mut current: Option<(usize, String)> = None;
    for line in fs::read_to_string(src().join("lib.rs")).unwrap().lines() {
        if let Some((name, _)) = line
            .strip_prefix("// ")
            .and_then(|text| text.split_once(':'))
        {
            let index = current.map_or(0, |(index, _)| index + 1);
            current = Some((index, name.to_lowercase()));
        } else if let Some(name) = line.strip_prefix("pub mod ") {
            let layer = current
                .clone()
                .expect("a layer's comment above its modules");
            layers.insert(name.trim_end_matches(';').to_owned(), layer);
        }
    }
    assert_eq!(layers.values().map(|(index, _)| index).max(), Some(&4));
    layers
}

/// The crate's modules that the code names: in `crate::a::b`, and in
/// `crate::{a, b::{c, d}}`.
fn imported(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for start in ["crate::", "kluis::"] {
        for (at, _) in code.match_indices(start) {
            let rest = &code[at + start.len()..];
            match rest.strip_prefix('{') {
                Some(group) => modules.extend(group_heads(group)),
                None => modules.push(name_at(rest)),
            }
        }
    }
    modules
}

fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut expected) = (0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expected = true,
            c if depth == 0 && expected && !c.is_whitespace() => {
                heads.push(name_at(&group[at..]));
                expected = false;
            }
            _ => {}
        }
    }
    heads
}

fn name_at(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

fn hits_outside(allowed: &[&str], words: &[&str]) -> Vec<String> {
    let files = source_files().into_iter();
    files
        .filter(|file| !allowed.iter().any(|path| file.path.starts_with(path)))
        .flat_map(|file| file.hits(words))
        .collect()
}

#[test]
fn groups_and_nested_groups_are_understood() {
    let code = "use crate::{a, b::{c, d},\n e};\nuse crate::f::g; kluis::h::run()";
    assert_eq!(imported(code), ["a", "b", "e", "f", "h"]);
}

#[test]
fn imports_point_down_only() {
    let layers = layers();
    let mut upward = Vec::new();
    for file in source_files() {
        let Some((own, own_name)) = layers.get(file.module()) else {
            let known = ["lib.rs", "main.rs"].contains(&file.path.as_str());
            assert!(known, "{} is not in lib.rs", file.path);
            continue;
        };
        for module in imported(&file.code) {
            if let Some((other, other_name)) = layers.get(&module)
                && other < own
            {
                let path = &file.path;
                upward.push(format!(
                    "{path} ({own_name}) imports {module} ({other_name})"
                ));
            }
        }
    }
    none(upward, "imports point down only");
}

#[test]
fn nobody_climbs_to_the_root_by_super() {
    // `super` past the own module would be an import that is not looked at.
    let mut climbing = Vec::new();
    for file in source_files() {
        let inside = file.path.matches('/').count() - usize::from(file.path.ends_with("mod.rs"));
        climbing.extend(file.hits(&[&"super::".repeat(inside + 1)]));
    }
    none(climbing, "write crate:: for what is outside the own module");
}

#[test]
fn only_render_and_main_print() {
    let words = ["println!", "print!", "dbg!", "io::stdout(", "io::stderr("];
    none(
        hits_outside(&["render/", "main.rs"], &words),
        "only render and main print",
    );
}

#[test]
fn only_process_spawns_children() {
    let words = ["process::Command", "process::{Command", "Command::new"];
    none(
        hits_outside(&["process.rs", "process/"], &words),
        "only process spawns children",
    );
}

#[test]
fn only_the_environment_module_reads_the_environment() {
    let words = ["env::var", "env::args", "env::temp_dir", "env::home_dir"];
    let found = hits_outside(&["config/environment.rs", "main.rs"], &words);
    none(
        found,
        "only config/environment and main read the environment",
    );
}

#[test]
fn pure_modules_touch_no_file_process_clock_or_environment() {
    let layers = layers();
    let words = [
        "std::fs",
        "std::net",
        "std::process",
        "Instant::now",
        "SystemTime",
        "Timestamp::now",
        "Zoned::now",
        "TimeZone::system",
        "getrandom",
        "rustix",
    ];
    let pure = |file: &SourceFile| {
        layers
            .get(file.module())
            .is_some_and(|(_, name)| name == "pure")
    };
    let files: Vec<_> = source_files().into_iter().filter(pure).collect();
    assert!(files.len() > 5, "the pure layer was not found");
    none(
        files.iter().flat_map(|file| file.hits(&words)).collect(),
        "pure modules stay pure",
    );
}

#[test]
fn no_globs_no_silenced_lints_and_no_bare_notes() {
    let words = ["::*;", "allow(dead_code)", "allow(unused"];
    none(
        hits_outside(&[], &words),
        "no glob imports, no silenced lints",
    );
    let notes = source_files()
        .into_iter()
        .filter(|file| file.text.contains("TODO"));
    none(notes.map(|file| file.path).collect(), "no bare TODO");
}

#[test]
fn files_stay_within_400_lines_before_their_tests() {
    let long = |file: SourceFile| {
        let lines = file.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines}", file.path))
    };
    none(
        source_files().into_iter().filter_map(long).collect(),
        "files stay small",
    );
}

#[test]
fn a_module_opens_with_what_it_owns() {
    let silent = |file: SourceFile| {
        let silent = !file.text.trim().is_empty() && !file.text.starts_with("//!");
        silent.then_some(file.path)
    };
    none(
        source_files().into_iter().filter_map(silent).collect(),
        "a module opens with //!",
    );
}
