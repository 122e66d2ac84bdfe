//! Variables that are called like ours, or like those of the service that kluis
//! replaces, and that nobody reads: who set one expects something of it.

use super::Environment;

/// What is read. A test compares it with the code.
const READ: [&str; 38] = [
    "BACKUP_AGE_RECIPIENTS",
    "BACKUP_ALLOW_READABLE_SECRETS",
    "BACKUP_CRON_TIMEZONE",
    "BACKUP_ENCRYPTION_KEY",
    "BACKUP_ENCRYPTION_KEY_COMMAND",
    "BACKUP_ENCRYPTION_KEY_COMMAND_ENV",
    "BACKUP_ENCRYPTION_KEY_FILE",
    "BACKUP_KEEP_DAILY",
    "BACKUP_KEEP_HOURLY",
    "BACKUP_KEEP_LAST",
    "BACKUP_KEEP_MONTHLY",
    "BACKUP_KEEP_WEEKLY",
    "BACKUP_KEEP_WITHIN",
    "BACKUP_KEEP_YEARLY",
    "BACKUP_LOCAL_PATH",
    "BACKUP_PG_MODE",
    "BACKUP_READ_KEY_FILES",
    // Told with every run that it does nothing.
    "BACKUP_REPLICAS",
    "BACKUP_RETENTION_DAYS",
    "BACKUP_SCHEDULER_MODE",
    "BACKUP_SIGNING_KEY_FILE",
    "BACKUP_SOURCE_PATH",
    "BACKUP_STORAGE",
    "BACKUP_TRIGGER_API_KEY",
    "BACKUP_TRIGGER_API_KEY_FILE",
    "BACKUP_WEBHOOK_SECRET",
    "BACKUP_WEBHOOK_SECRET_FILE",
    "BACKUP_WEBHOOK_URL",
    "BACKUP_WEBHOOK_URL_FILE",
    "KANBU_SOURCE_PATH",
    "KLUIS_CONFIG",
    "KLUIS_HOST",
    "POSTGRES_CONTAINER",
    "POSTGRES_CONTAINER_LABEL",
    "POSTGRES_CONTAINER_PATTERN",
    "POSTGRES_DB",
    "POSTGRES_USER",
    "DATABASE_URL",
];

const OURS: [&str; 3] = ["BACKUP_", "KANBU_", "POSTGRES_"];

/// By name, those that are set to something.
pub fn ignored(environment: &Environment) -> Vec<String> {
    let is_ours = |name: &&str| OURS.iter().any(|prefix| name.starts_with(prefix));
    let names = environment.names().filter(is_ours);
    let unread = names.filter(|name| !READ.contains(name));
    unread.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_nobody_reads_is_named_and_nothing_else() {
        let environment = Environment::of([
            ("BACKUP_GDRIVE_FOLDER", "x"),
            ("BACKUP_LOCAL_PATH", "/b"),
            ("BACKUP_COMPRESSION", ""),
            ("POSTGRES_PASSWORD", "x"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(
            ignored(&environment),
            ["BACKUP_GDRIVE_FOLDER", "POSTGRES_PASSWORD"]
        );
    }

    /// A new variable must not be called ignored.
    #[test]
    fn every_variable_that_the_code_names_counts_as_read() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
        let mut named = BTreeSet::new();
        for file in fs::read_dir(here).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() || path.ends_with("ignored.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let code = text
                .split("#[cfg(test)]\nmod tests")
                .next()
                .unwrap()
                .to_owned();
            let quoted = code.split('"').skip(1).step_by(2).map(str::to_owned);
            let is_name = |it: &String| {
                let rest = OURS.iter().find_map(|prefix| it.strip_prefix(prefix));
                rest.is_some_and(|rest| !rest.is_empty() && !it.contains(' '))
            };
            named.extend(quoted.filter(is_name));
        }
        assert!(named.len() > 25, "{named:?}");
        let unknown: Vec<_> = named
            .iter()
            .filter(|it| !READ.contains(&it.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
