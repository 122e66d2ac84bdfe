//! What is known of extensions beyond the server: the packages that bring them,
//! and which of them the server must load when it starts. Pure; Debian's names.

/// Those whose CREATE EXTENSION fails unless the server has preloaded them.
pub(super) const NEED_PRELOADING: [&str; 4] = ["citus", "pg_cron", "pgaudit", "timescaledb"];

/// In the server's own package.
const CONTRIB: [&str; 44] = [
    "adminpack",
    "amcheck",
    "autoinc",
    "bloom",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dblink",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "file_fdw",
    "fuzzystrmatch",
    "hstore",
    "insert_username",
    "intagg",
    "intarray",
    "isn",
    "lo",
    "ltree",
    "moddatetime",
    "old_snapshot",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_surgery",
    "pg_trgm",
    "pg_visibility",
    "pg_walinspect",
    "pgcrypto",
    "pgrowlocks",
    "pgstattuple",
    "postgres_fdw",
    "refint",
    "seg",
    "sslinfo",
    "tablefunc",
    "tcn",
    "unaccent",
    "uuid-ossp",
    "xml2",
];

/// The Debian package that most likely brings an extension.
pub(super) fn package_of(extension: &str, major: u32) -> String {
    if CONTRIB.contains(&extension) || extension.starts_with("tsm_") {
        return format!("postgresql-{major}");
    }
    if let Some(language) = extension.strip_prefix("pl") {
        for name in ["python3", "perl", "tcl"] {
            if language.starts_with(name) {
                return format!("postgresql-pl{name}-{major}");
            }
        }
    }
    let name = match extension {
        "vector" => "pgvector",
        "pg_cron" => "cron",
        "pg_partman" => "partman",
        "pg_repack" => "repack",
        _ if extension.starts_with("postgis") => "postgis-3",
        other => other,
    };
    format!("postgresql-{major}-{}", name.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::package_of;

    #[test]
    fn packages_are_named_as_debian_names_them() {
        for (extension, package) in [
            ("hstore", "postgresql-15"),
            ("plpython3u", "postgresql-plpython3-15"),
            ("vector", "postgresql-15-pgvector"),
            ("postgis_topology", "postgresql-15-postgis-3"),
            ("some_thing", "postgresql-15-some-thing"),
        ] {
            assert_eq!(package_of(extension, 15), package);
        }
    }
}
