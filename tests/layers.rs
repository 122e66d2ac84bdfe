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

/// One that `suite.rs` forgets would never run.
#[test]
fn every_file_of_tests_is_in_the_suite() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let suite = fs::read_to_string(tests.join("suite.rs")).unwrap();
    let files = fs::read_dir(tests)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let rust = files.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let names = rust.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    let forgotten: Vec<String> = names
        .filter(|name| name != "suite" && !suite.contains(&format!("\nmod {name};")))
        .collect();
    assert_eq!(forgotten, [""; 0], "name them in tests/suite.rs");
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
fn psql_is_started_in_one_place() {
    let words = [
        "\"psql\"",
        "psql.path",
        "tool(server.psql",
        "tool(self.psql",
    ];
    none(
        hits_outside(&["postgres/psql.rs"], &words),
        "only postgres/psql starts psql: restricted, without start-up files",
    );
    let sessions = hits_outside(&["postgres/psql.rs"], &["Psql::", "psql::ask("]);
    let known = ["postgres/watch.rs", "postgres/server.rs"];
    let known = |hit: &String| known.iter().any(|path| hit.starts_with(path));
    none(
        sessions.into_iter().filter(|hit| !known(hit)).collect(),
        "a psql is had from a Server",
    );
}

#[test]
fn sql_is_made_of_fixed_text_and_quoted_values() {
    none(
        hits_outside(&["postgres/sql.rs"], &["Sql::of_parts"]),
        "only sql! puts text together",
    );
}

#[test]
fn settings_and_children_alone_read_the_environment() {
    let words = ["env::var", "env::args", "env::temp_dir", "env::home_dir"];
    let readers = ["config/environment.rs", "process/environment.rs", "main.rs"];
    none(
        hits_outside(&readers, &words),
        "only the two environment modules and main read the environment",
    );
}

/// What a person named is opened by src/strict.rs; these open what is the
/// machine's or kluis' own.
#[test]
fn files_that_a_person_names_are_opened_in_one_place() {
    let own = [
        "strict.rs",
        "process",
        "signals.rs",
        "source/directory/attributes.rs",
        "source/pg_dump/flat_tar.rs",
        "target/dump_files.rs",
        "postgres/throwaway.rs",
    ];
    let words = [
        "fs::read(",
        "read_to_string(\"",
        "fs::read_to_string(",
        "File::open(",
        ".read(true)",
    ];
    none(
        hits_outside(&own, &words),
        "files that a person names are opened by src/strict.rs",
    );
}

#[test]
fn directories_are_worked_on_through_held_descriptors_only() {
    let rooms = [
        "paths/",
        "source/directory/",
        "target/directory/",
        "scratch",
    ];
    let ours = |file: &SourceFile| rooms.iter().any(|room| file.path.starts_with(room));
    let files: Vec<_> = source_files().into_iter().filter(ours).collect();
    assert!(files.len() > 12, "the rooms were not found");
    let words = [
        "\"..\"",
        "remove_dir",
        "remove_file",
        "canonicalize",
        "fs::rename(",
        "set_permissions",
        "lchown(",
        "unix::fs::chown",
    ];
    let mut found: Vec<String> = files.iter().flat_map(|file| file.hits(&words)).collect();
    // The one that leaves a directory's parent out of its listing.
    found.retain(|hit| !hit.starts_with("paths/dir.rs: if name == c\".\" ||"));
    none(found, "no path twice, no way up: see src/paths");
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

/// The short ways panic where no thread can be had.
#[test]
fn a_thread_that_cannot_be_had_is_an_error() {
    let words = ["thread::spawn(", "scope.spawn("];
    none(hits_outside(&[], &words), "by thread::Builder");
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
