//! Libraries that a server loads when it starts, and without which some extensions do
//! nothing: those of the server that was backed up are wanted where its dump is proven.
//!
//! Refuses a name that leads out of the server's own directory of libraries: a manifest
//! may hold any.

use std::path::{Path, PathBuf};

use super::extensions::NEED_PRELOADING;
use super::sql::sql;
use super::{PostgresError, Server};
use crate::format::manifest::DatabaseContent;
use crate::process::{Tool, run_captured};

/// The server's own directory, as its setting may say it.
const OWN_DIRECTORY: &str = "$libdir/";
const NAME_MAX_BYTES: usize = 63;

/// A JSON list; empty where the role may not see the setting.
pub(super) const PRELOADED: &str = "(SELECT coalesce(json_agg(trim(both ' \"' from library)), '[]')
    FROM pg_settings, unnest(string_to_array(setting, ',')) AS library
   WHERE name = 'shared_preload_libraries' AND trim(library) <> '')";

/// What the dump may want loaded, in the order in which its server loads it.
pub fn wanted(content: &DatabaseContent) -> Vec<String> {
    let named = content.preloads.iter();
    let mut wanted: Vec<String> = named.map(|it| plain(it).to_owned()).collect();
    for extension in NEED_PRELOADING {
        let is_used = content.extensions.keys().any(|it| it == extension);
        if is_used && !wanted.iter().any(|it| it == extension) {
            wanted.push(extension.to_owned());
        }
    }
    wanted
}

/// Those that are beside this program, and those that are not.
pub(super) fn found(postgres: &Path, wanted: &[String]) -> (Vec<String>, Vec<String>) {
    let directory = directory(postgres);
    let is_there = |name: &&String| is_name(name) && directory.join(format!("{name}.so")).is_file();
    let (there, missing): (Vec<_>, Vec<_>) = wanted.iter().partition(is_there);
    let owned = |names: Vec<&String>| names.into_iter().cloned().collect();
    (owned(there), owned(missing))
}

fn is_name(name: &str) -> bool {
    let is_of_one = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=NAME_MAX_BYTES).contains(&name.len())
        && name.bytes().all(is_of_one)
        && !name.starts_with('.')
}

fn plain(name: &str) -> &str {
    name.strip_prefix(OWN_DIRECTORY).unwrap_or(name)
}

/// As the installation tells it; else where most have it.
fn directory(postgres: &Path) -> PathBuf {
    let tool = Tool::new(postgres.with_file_name("pg_config")).arg("--pkglibdir");
    let told = run_captured(&tool, b"").ok();
    let told = told.and_then(|told| String::from_utf8(told).ok());
    let told = told.filter(|told| !told.trim().is_empty());
    match told {
        Some(told) => PathBuf::from(told.trim()),
        None => postgres.with_file_name("../lib"),
    }
}

impl Server {
    /// Those of `wanted` that this server has not loaded, as far as the role may see it.
    pub fn not_preloaded(
        &self,
        ask_in: &str,
        wanted: &[String],
    ) -> Result<Vec<String>, PostgresError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let sql = sql!("SELECT {preloaded};", preloaded = PRELOADED);
        let loaded: Vec<String> = self.query_json(ask_in, "tell what it preloads", &sql)?;
        let loads = |name: &&String| !loaded.iter().any(|it| plain(it) == name.as_str());
        Ok(wanted.iter().filter(loads).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_the_directory() {
        for name in ["", "../x", "a/b", ".x", "a,b", "a'b", "a\nb"] {
            assert!(!is_name(name), "{name}");
            let (there, missing) = found(Path::new("/nowhere/postgres"), &[name.to_owned()]);
            assert_eq!((there.len(), missing.len()), (0, 1), "{name}");
        }
        assert!(is_name("pg_stat_statements"));
        assert_eq!(plain("$libdir/pg_cron"), "pg_cron");
    }
}
