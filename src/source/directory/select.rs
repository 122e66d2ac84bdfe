//! Decides what of a tree is left out. Owns the default excludes and the
//! meaning of a pattern; touches no file.
//!
//! A pattern without `/` matches a name at any depth. One with `/` matches the
//! path relative to the root, where `*` stays within a name and `**` does not.
//! A `/` at the end matches directories only. What is below a directory that is
//! left out is left out too.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::{TreeError, TreeOptions};

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

/// The compiled patterns.
pub(super) struct Selection {
    names: GlobSet,
    directory_names: GlobSet,
    paths: GlobSet,
    directory_paths: GlobSet,
}

impl Selection {
    pub fn new(options: &TreeOptions) -> Result<Self, TreeError> {
        let mut sets: [GlobSetBuilder; 4] = std::array::from_fn(|_| GlobSetBuilder::new());
        for pattern in patterns(options) {
            let plain = pattern.trim_end_matches('/');
            let directories_only = usize::from(plain.len() < pattern.len());
            let with_path = if plain.contains('/') { 2 } else { 0 };
            sets[with_path + directories_only].add(compile(&pattern, plain)?);
        }
        let [names, directory_names, paths, directory_paths] = sets.map(|set| set.build());
        let failed = |source| TreeError::Pattern {
            pattern: "all together".into(),
            source,
        };
        Ok(Self {
            names: names.map_err(failed)?,
            directory_names: directory_names.map_err(failed)?,
            paths: paths.map_err(failed)?,
            directory_paths: directory_paths.map_err(failed)?,
        })
    }

    /// Whether the object at `path` (relative, its last part `name`) is left out.
    pub fn excludes(&self, path: &[u8], name: &[u8], is_directory: bool) -> bool {
        let matches = |set: &GlobSet, bytes: &[u8]| {
            !set.is_empty() && set.is_match(Path::new(OsStr::from_bytes(bytes)))
        };
        matches(&self.names, name)
            || matches(&self.paths, path)
            || is_directory
                && (matches(&self.directory_names, name) || matches(&self.directory_paths, path))
    }
}

/// All patterns that count, the defaults first.
pub(super) fn patterns(options: &TreeOptions) -> impl Iterator<Item = String> {
    let defaults = options.default_excludes.then_some(DEFAULT_EXCLUDES);
    let defaults = defaults.into_iter().flatten().map(str::to_owned);
    defaults.chain(options.excludes.iter().cloned())
}

fn compile(pattern: &str, plain: &str) -> Result<Glob, TreeError> {
    // A `/` or `./` at the start only says "from the root".
    let anchored = plain.strip_prefix('.').filter(|rest| rest.starts_with('/'));
    let relative = anchored.unwrap_or(plain).trim_start_matches('/');
    GlobBuilder::new(relative)
        .literal_separator(true)
        .backslash_escape(true)
        .build()
        .map_err(|source| TreeError::Pattern {
            pattern: pattern.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::Selection;
    use crate::source::{TreeError, TreeOptions};

    fn selection(patterns: &[&str]) -> Selection {
        Selection::new(&TreeOptions {
            excludes: patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
            default_excludes: false,
            ..TreeOptions::default()
        })
        .expect("valid patterns")
    }

    fn excludes(selection: &Selection, path: &str, is_directory: bool) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        selection.excludes(path.as_bytes(), name.as_bytes(), is_directory)
    }

    #[test]
    fn a_name_matches_at_any_depth_and_a_path_only_from_the_root() {
        let chosen = selection(&["*.log", "/build/out", "docs/*.tmp", "a/**/z"]);
        for (path, left_out) in [
            ("x.log", true),
            ("a/b/x.log", true),
            ("build/out", true),
            ("x/build/out", false),
            ("docs/a.tmp", true),
            ("docs/a/b.tmp", false),
            ("a/b/c/z", true),
            ("x.logs", false),
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
    fn names_that_are_no_utf8_match_too() {
        let chosen = selection(&["*.log"]);
        assert!(chosen.excludes(b"\xff.log", b"\xff.log", false));
    }

    #[test]
    fn a_broken_pattern_is_named() {
        let options = TreeOptions {
            excludes: vec!["a[".into()],
            ..TreeOptions::default()
        };
        let Err(TreeError::Pattern { pattern, .. }) = Selection::new(&options) else {
            panic!("accepted");
        };
        assert_eq!(pattern, "a[");
    }
}
