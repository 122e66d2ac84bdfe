//! Clusters of every major that kluis is tested on: 15 is Debian's, the others
//! are those that tests/prepare-postgresql brings into a cache.

use std::path::{Path, PathBuf};

use crate::support::{Cluster, ClusterOptions};

impl Cluster {
    /// `None`: this major is not here; the reason has been told. With CI=true
    /// it fails instead.
    pub fn of_major(major: u32) -> Option<Self> {
        let options = ClusterOptions {
            bin: Some(programs(major)?),
            // Publications are written about without a warning.
            settings: vec!["wal_level=logical".to_owned()],
            ..ClusterOptions::default()
        };
        Self::start_with(options)
    }
}

/// The directory of a major's server and client programs, for `client_bin_dir`.
pub fn programs(major: u32) -> Option<PathBuf> {
    let installed = Path::new("/usr/lib/postgresql").join(format!("{major}/bin"));
    let brought = cache().join(format!("{major}/bin"));
    let found = [installed, brought];
    let found = found.into_iter().find(|bin| bin.join("initdb").is_file());
    if found.is_none() {
        let reason = format!("no PostgreSQL {major} (tests/prepare-postgresql brings it)");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}");
        eprintln!("skipped: {reason}");
    }
    found
}

/// As tests/prepare-postgresql has it.
fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = if rustix::process::geteuid().is_root() {
        PathBuf::from("/var/cache")
    } else if let Some(cache) = variable("XDG_CACHE_HOME") {
        PathBuf::from(cache)
    } else {
        PathBuf::from(variable("HOME").unwrap_or_default()).join(".cache")
    };
    base.join("kluis-tests/postgresql")
}
