//! Decides what of a tree is left out. Owns the default excludes and the
//! meaning of a pattern; touches no file but to see whether it is there.
//!
//! A pattern without `/` fits a name at any depth. One with `/` fits the path
//! relative to the root, where `*` stays within a name and `**` does not. A `/` at
//! the end fits directories only, a `!` at the start takes back what an earlier
//! pattern left out: the last one that fits counts, as in .gitignore. What is below a
//! directory that is left out is left out too.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use super::{TreeError, TreeOptions};
use crate::glob::{Globs, Reach, of_paths};

/// Left out unless asked otherwise: what is built or fetched again, and what
/// must not travel, such as local secrets.
pub const DEFAULT_EXCLUDES: [&str; 10] = [
    "node_modules",
    ".git",
    ".turbo",
    "dist",
    ".next",
    "*.log",
    ".env.local",
    ".DS_Store",
    "coverage",
    ".nyc_output",
];

/// The compiled patterns; by default none.
#[derive(Default)]
pub(super) struct Selection {
    globs: Globs,
    rules: Vec<Rule>,
}

/// What becomes of what a glob fits.
#[derive(Clone, Copy)]
struct Rule {
    is_kept: bool,
    directories_only: bool,
}

impl Selection {
    pub fn new(options: &TreeOptions) -> Result<Self, TreeError> {
        Self::of(&patterns(options).collect::<Vec<_>>())
    }

    fn of(patterns: &[String]) -> Result<Self, TreeError> {
        let (mut globs, mut rules) = (Vec::new(), Vec::new());
        for pattern in patterns {
            let (glob, rule) = understood(pattern)?;
            globs.push(glob);
            rules.push(rule);
        }
        let globs = Globs::new(globs).map_err(|error| invalid(&error.glob, &error.why))?;
        Ok(Self { globs, rules })
    }

    /// Whether the object at `path`, relative to the root, is left out.
    pub fn excludes(&self, path: &[u8], is_directory: bool) -> bool {
        let mut fitting = self.globs.matches(path).map(|at| self.rules[at]);
        let last = fitting.find(|rule| is_directory || !rule.directories_only);
        last.is_some_and(|rule| !rule.is_kept)
    }
}

/// All patterns that count, the defaults first.
pub(super) fn patterns(options: &TreeOptions) -> impl Iterator<Item = String> {
    let defaults = options.default_excludes.then_some(DEFAULT_EXCLUDES);
    let defaults = defaults.into_iter().flatten().map(str::to_owned);
    defaults.chain(options.excludes.iter().cloned())
}

/// The patterns as they count for the tree whose root has the paths `roots`: one
/// that is absolute and lies below it is taken as such. One below another tree of
/// the run, whose roots are `others`, is no matter of this one. Any other is an
/// error, unless it is meant from the root on: something in the root is called so.
pub fn excludes_below(
    patterns: &[String],
    roots: &[&Path],
    others: &[&Path],
) -> Result<Vec<String>, TreeError> {
    let mut all = Vec::new();
    for pattern in patterns {
        let (mark, path) = split_mark(pattern);
        let below = |root: &&Path| relative_to(path, root);
        if let Some(relative) = roots.iter().find_map(below) {
            let relative = relative?;
            all.push(format!("{mark}/{relative}"));
        } else if others.iter().find_map(below).is_some() {
        } else if roots.iter().any(|root| is_elsewhere(path, root)) {
            return Err(TreeError::Elsewhere {
                pattern: pattern.clone(),
                root: roots[0].display().to_string(),
            });
        } else {
            all.push(pattern.clone());
        }
    }
    Selection::of(&all)?;
    Ok(all)
}

/// What of an absolute pattern is left below `root`.
fn relative_to(pattern: &str, root: &Path) -> Option<Result<String, TreeError>> {
    let mut left = pattern.strip_prefix('/')?;
    for part in names_of(root) {
        let (first, rest) = left.split_once('/').unwrap_or((left, ""));
        if first == "**" {
            return Some(Ok(left.to_owned()));
        }
        let fits = Globs::new([(first, Reach::Path)]);
        match fits.map_err(|error| invalid(pattern, &error.why)) {
            Ok(fits) if fits.is_match(part.as_bytes()) => left = rest,
            Ok(_) => return None,
            Err(error) => return Some(Err(error)),
        }
    }
    // One name alone is more likely one in the root.
    match left.trim_matches('/').is_empty() {
        false => Some(Ok(left.to_owned())),
        true if names_of(root).count() < 2 => None,
        true => Some(Err(invalid(pattern, "it is the tree itself"))),
    }
}

/// Whether an absolute pattern can only be meant as such: nothing in the root is
/// called as its first name, and it leads where the root lies or to what is there.
fn is_elsewhere(pattern: &str, root: &Path) -> bool {
    const SPECIAL: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];
    let Some(path) = pattern.strip_prefix('/') else {
        return false;
    };
    let parts = path.split('/').filter(|part| !part.is_empty());
    let literal: Vec<&str> = parts.take_while(|it| !it.contains(SPECIAL)).collect();
    let Some(first) = literal.first().filter(|_| literal.len() > 1) else {
        return false;
    };
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    let beside = names_of(root).next() == Some(OsStr::new(first));
    !is_there(&root.join(first)) && (beside || is_there(&Path::new("/").join(literal.join("/"))))
}

fn names_of(root: &Path) -> impl Iterator<Item = &OsStr> {
    root.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

/// A `!` at the start, and what is behind it.
fn split_mark(pattern: &str) -> (&str, &str) {
    pattern.split_at(usize::from(pattern.starts_with('!')))
}

fn understood(pattern: &str) -> Result<((&str, Reach), Rule), TreeError> {
    let (mark, path) = split_mark(pattern);
    let glob = path.trim_end_matches('/');
    let directories_only = glob.len() < path.len();
    let (glob, reach) = of_paths(glob);
    if glob.is_empty() {
        return Err(invalid(pattern, "it names nothing"));
    }
    let leads_nowhere = |part: &str| matches!(part.as_bytes(), [] | [b'.'] | [b'.', b'.']);
    if glob.split('/').any(leads_nowhere) {
        let why = "no path in a tree has \"//\", \".\" or \"..\" in it";
        return Err(invalid(pattern, why));
    }
    let rule = Rule {
        is_kept: !mark.is_empty(),
        directories_only,
    };
    Ok(((glob, reach), rule))
}

fn invalid(pattern: &str, why: &str) -> TreeError {
    TreeError::Pattern {
        pattern: pattern.to_owned(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|&pattern| pattern.to_owned()).collect()
    }

    fn selection(patterns: &[&str]) -> Selection {
        Selection::of(&strings(patterns)).expect("valid patterns")
    }

    fn excludes(selection: &Selection, path: &str, is_directory: bool) -> bool {
        selection.excludes(path.as_bytes(), is_directory)
    }

    #[test]
    fn a_name_matches_at_any_depth_and_a_path_only_from_the_root() {
        let chosen = selection(&["*.log", "/build/out", "docs/*.tmp", "a/**/z", "./top"]);
        for (path, left_out) in [
            ("x.log", true),
            ("a/b/x.log", true),
            ("build/out", true),
            ("x/build/out", false),
            ("docs/a.tmp", true),
            ("docs/a/b.tmp", false),
            ("a/b/c/z", true),
            ("x.logs", false),
            ("top", true),
            ("a/top", false),
        ] {
            assert_eq!(excludes(&chosen, path, false), left_out, "{path}");
        }
    }

    #[test]
    fn a_slash_at_the_end_matches_directories_only() {
        let chosen = selection(&["cache/", "/a/b/"]);
        assert!(excludes(&chosen, "x/cache", true));
        assert!(!excludes(&chosen, "x/cache", false));
        assert!(excludes(&chosen, "a/b", true));
        assert!(!excludes(&chosen, "a/b", false));
    }

    #[test]
    fn the_last_pattern_that_fits_counts_and_takes_back_what_those_before_left_out() {
        let chosen = selection(&["*.log", "!important.log", "secret/important.log", "!keep/"]);
        for (path, is_directory, left_out) in [
            ("a.log", false, true),
            ("a/important.log", false, false),
            ("secret/important.log", false, true),
            ("keep", true, false),
        ] {
            assert_eq!(excludes(&chosen, path, is_directory), left_out, "{path}");
        }
        assert!(excludes(&selection(&["\\!x"]), "!x", false));
        // A directory-only pattern takes back no file.
        assert!(excludes(&selection(&["x", "!x/"]), "x", false));
        assert!(!excludes(&selection(&["x", "!x/"]), "x", true));
    }

    #[test]
    fn names_that_are_no_utf8_match_too() {
        assert!(selection(&["*.log"]).excludes(b"\xff.log", false));
    }

    #[test]
    fn a_broken_pattern_is_named() {
        for broken in ["a[", "{a", "", "!", "/", "a//b", "../a", "a/./b", "a\\"] {
            let Err(TreeError::Pattern { .. }) = Selection::of(&strings(&[broken])) else {
                panic!("accepted: {broken}");
            };
        }
    }

    #[test]
    fn an_absolute_pattern_counts_below_its_tree_only_and_any_other_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let (root, other) = (place.join("src"), place.join("other"));
        std::fs::create_dir_all(root.join("etc")).unwrap();
        let at = |below: &str| format!("{}/{below}", place.display());
        let below = |pattern: &str| {
            let patterns = [pattern.to_owned()];
            excludes_below(&patterns, &[&root], &[&other]).map(|mut all| all.pop())
        };
        for (pattern, counts) in [
            (at("src/cache"), Some("/cache".to_owned())),
            (at("src/a/*.log"), Some("/a/*.log".to_owned())),
            (at("src/a/"), Some("/a/".to_owned())),
            (at("s*/a"), Some("/a".to_owned())),
            (format!("!{}", at("src/a")), Some("!/a".to_owned())),
            (at("**/a"), Some("/**/a".to_owned())),
            (at("other/a"), None),
            // From the root on.
            ("/cache".to_owned(), Some("/cache".to_owned())),
            ("/etc/passwd".to_owned(), Some("/etc/passwd".to_owned())),
            ("/no-such/x".to_owned(), Some("/no-such/x".to_owned())),
            ("cache".to_owned(), Some("cache".to_owned())),
        ] {
            assert_eq!(below(&pattern).unwrap(), counts, "{pattern}");
        }
        for pattern in [at("third/a"), "/usr/bin".to_owned()] {
            let Err(TreeError::Elsewhere { .. }) = below(&pattern) else {
                panic!("accepted: {pattern}");
            };
        }
        let Err(TreeError::Pattern { .. }) = below(&at("src")) else {
            panic!("accepted: the tree itself");
        };
    }
}
