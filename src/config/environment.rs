//! The process's environment and an env file, as one map. The only place that
//! reads `std::env`; everything after it works on [`Environment`].
//!
//! Invariant: the real environment beats the env file, and an empty variable
//! counts as unset, except where [`Environment::present`] is asked.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::{ConfigError, Origin};
use crate::process;
use crate::series::host_label;

/// Variables, and the facts about this machine that defaults depend on.
pub struct Environment {
    variables: BTreeMap<String, Variable>,
    /// Cores this process may use.
    pub cores: usize,
    /// The machine's own time zone; UTC where that is not known.
    pub time_zone: TimeZone,
    /// Why it is not known.
    pub no_time_zone: Option<String>,
    /// The machine's own name, or what stands for it: see `series`.
    pub host: String,
}

struct Variable {
    value: OsString,
    env_file: Option<PathBuf>,
}

impl Environment {
    /// What this process was started with. Variables whose names are not UTF-8
    /// are nobody's here and left out.
    pub fn of_process() -> Self {
        let linked = match std::env::var_os("TZ") {
            None => process::linked_time_zone(),
            Some(_) => None,
        };
        let (time_zone, no_time_zone) = match linked.map_or_else(TimeZone::try_system, Ok) {
            Ok(zone) => (zone, None),
            Err(error) => (TimeZone::UTC, Some(error.to_string())),
        };
        let real =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self {
            variables: real
                .map(|(name, value)| {
                    (
                        name,
                        Variable {
                            value,
                            env_file: None,
                        },
                    )
                })
                .collect(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            time_zone,
            no_time_zone,
            host: host_label(&process::host(), process::is_in_container()).to_owned(),
        }
    }

    /// An environment of given variables, on a machine of 2 cores in UTC.
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let variables = variables.map(|(name, value)| {
            let variable = Variable {
                value: value.into(),
                env_file: None,
            };
            (name.to_owned(), variable)
        });
        Self {
            variables: BTreeMap::from(variables),
            cores: 2,
            time_zone: TimeZone::UTC,
            no_time_zone: None,
            host: "web1".to_owned(),
        }
    }

    /// Adds what an env file says, where the environment says nothing.
    pub fn add_file(&mut self, path: &Path, assignments: Vec<(String, String)>) {
        for (name, value) in assignments {
            let real = self
                .variables
                .get(&name)
                .is_some_and(|v| v.env_file.is_none());
            if !real {
                let variable = Variable {
                    value: value.into(),
                    env_file: Some(path.to_owned()),
                };
                self.variables.insert(name, variable);
            }
        }
    }

    /// The names of what is set to something, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let set = self.variables.iter().filter(|(_, it)| !it.value.is_empty());
        set.map(|(name, _)| name.as_str())
    }

    /// The value if the variable is set, even if it is empty.
    pub fn present(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(name).map(|v| v.value.as_os_str())
    }

    /// The value, or `None` where it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.present(name).filter(|value| !value.is_empty())
    }

    /// [`Environment::get`] as text.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, ConfigError> {
        self.get(name).map_or(Ok(None), |value| {
            value
                .to_str()
                .map(Some)
                .ok_or(ConfigError::NotUtf8 { name })
        })
    }

    /// The first variable of ours whose value has a blank and a `#` in it. Docker's
    /// --env-file hands on what every other reader of such files takes for a comment.
    pub fn with_a_comment(&self) -> Option<&str> {
        const OURS: [&str; 6] = [
            "BACKUP_",
            "DATABASE_URL",
            "KANBU_",
            "KLUIS_CONFIG",
            "KLUIS_HOST",
            "POSTGRES_",
        ];
        let is_ours = |name: &str| OURS.iter().any(|prefix| name.starts_with(prefix));
        let has_one = |value: &[u8]| {
            let mut pairs = value.windows(2);
            pairs.any(|pair| matches!(pair, [b' ' | b'\t', b'#']))
        };
        let mut variables = self.variables.iter();
        let found = variables.find(|(name, variable)| {
            let is_real = variable.env_file.is_none();
            is_real && is_ours(name) && has_one(variable.value.as_encoded_bytes())
        });
        found.map(|(name, _)| name.as_str())
    }

    /// Where a variable's value was written.
    pub fn origin(&self, name: &str) -> Origin {
        let env_file = self.variables.get(name).and_then(|v| v.env_file.clone());
        Origin::Environment {
            name: name.to_owned(),
            env_file,
        }
    }

    /// libpq's variables (`PG...`), to be passed on to its programs.
    pub fn libpq_variables(&self) -> BTreeMap<String, OsString> {
        self.variables
            .iter()
            .filter(|(name, _)| name.starts_with("PG"))
            .map(|(name, variable)| (name.clone(), variable.value.clone()))
            .collect()
    }
}

/// Whether the command line asks for JSON, also where clap cannot make sense of
/// the rest of it.
pub fn asks_for_json() -> bool {
    let arguments = std::env::args_os().skip(1);
    let mut flags = arguments.take_while(|argument| argument != "--");
    flags.any(|argument| argument == "--json")
}

/// Which stream is the journal's: needed before anything can be told.
pub fn journal_stream() -> Option<String> {
    std::env::var("JOURNAL_STREAM").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_environment_beats_the_env_file() {
        let mut environment = Environment::of([("A", "real")]);
        let lines = vec![
            ("A".to_owned(), "file".to_owned()),
            ("B".to_owned(), "file".to_owned()),
        ];
        environment.add_file(Path::new("x.env"), lines);
        assert_eq!(environment.get("A"), Some(OsStr::new("real")));
        assert_eq!(environment.get("B"), Some(OsStr::new("file")));
        assert_eq!(
            environment.origin("B").to_string(),
            "B in the env file x.env"
        );
    }

    #[test]
    fn the_last_of_two_lines_in_an_env_file_counts() {
        let mut environment = Environment::of([]);
        let lines = ["1", "2"].map(|value| ("A".to_owned(), value.to_owned()));
        environment.add_file(Path::new("x.env"), lines.to_vec());
        assert_eq!(environment.get("A"), Some(OsStr::new("2")));
    }

    #[test]
    fn an_empty_variable_is_unset_but_present() {
        let environment = Environment::of([("A", "")]);
        assert_eq!(environment.get("A"), None);
        assert_eq!(environment.present("A"), Some(OsStr::new("")));
    }

    #[test]
    fn a_comment_behind_a_value_is_found_in_our_variables_only() {
        let found = |name, value| {
            let environment = Environment::of([(name, value)]);
            environment.with_a_comment().map(str::to_owned)
        };
        let key = "BACKUP_ENCRYPTION_KEY";
        assert_eq!(found(key, "secret     # Enables it").as_deref(), Some(key));
        assert_eq!(found(key, "secret\t#"), Some(key.to_owned()));
        assert_eq!(found(key, "pa#ss word"), None);
        assert_eq!(found("PS1", "\\u #"), None);
        // There the comment was cut off, and quotes keep what is meant.
        let mut environment = Environment::of([]);
        let line = (key.to_owned(), "horse # battery".to_owned());
        environment.add_file(Path::new("x.env"), vec![line]);
        assert_eq!(environment.with_a_comment(), None);
    }

    #[test]
    fn only_libpqs_variables_are_passed_on() {
        let environment = Environment::of([("PGHOST", "db"), ("PATH", "/bin"), ("XPG", "1")]);
        let names: Vec<_> = environment.libpq_variables().into_keys().collect();
        assert_eq!(names, ["PGHOST"]);
    }
}
