//! Finds the container of the server: by its name, else by a label, else by a
//! pattern over names, else by the name it has by default.
//!
//! Refuses to choose: what matches none or several is an error that lists
//! them. A name is checked before docker sees it, so that it is never taken
//! for an option.

use super::docker::{ANSWER_MAX, Container, DockerError};
use crate::glob::{Globs, Reach};
use crate::process::{ProcessError, Runner, Tool, run_captured};

/// The container that is meant where nobody says one.
const DEFAULT_NAME: &str = "kanbu-postgres";

/// A pattern without any of them is what docker's own filter takes: found anywhere.
const GLOB_CHARACTERS: [char; 6] = ['*', '?', '[', ']', '{', '}'];

/// The shortest piece of an id that docker itself prints.
const ID_CHARS_MIN: usize = 12;

/// Which container, as the operator says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Its name, or its id.
    Name(String),
    /// `key` or `key=value`; it alone has it.
    Label(String),
    /// A glob that its name alone matches; without glob characters, a part of it.
    Pattern(String),
    /// Nothing was said.
    Default,
}

impl Wanted {
    /// The name, label or pattern.
    pub fn text(&self) -> &str {
        match self {
            Self::Name(text) | Self::Label(text) | Self::Pattern(text) => text,
            Self::Default => DEFAULT_NAME,
        }
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?}"),
            Self::Label(label) => write!(f, "with the label {label:?}"),
            Self::Pattern(pattern) => write!(f, "whose name matches {pattern:?}"),
            Self::Default => write!(f, "{DEFAULT_NAME:?}"),
        }
    }
}

/// A line of `docker ps`.
struct Running {
    id: String,
    name: String,
    image: String,
}

/// Finds the one running container that is wanted, and asks how it was made.
pub fn find_container(runner: &Runner, wanted: &Wanted) -> Result<Container, DockerError> {
    let matches = matcher(wanted)?;
    let mut found = running(runner, labelled(wanted))?;
    found.retain(|container| matches(container));
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(container), None) => describe(runner, &container),
        (None, _) => Err(DockerError::NotRunning {
            wanted: wanted.to_string(),
            running: all_running(runner)?,
        }),
        (Some(first), Some(second)) => {
            let all: Vec<Running> = [first, second].into_iter().chain(found).collect();
            Err(DockerError::Several {
                wanted: wanted.to_string(),
                what: match wanted {
                    Wanted::Label(_) => "label",
                    _ => "pattern",
                },
                matching: listed(&all),
            })
        }
    }
}

/// What docker tells of itself and of the servers in it.
#[derive(Debug)]
pub struct Engine {
    /// Of the daemon: "26.1.5".
    pub version: String,
    /// Running containers with PostgreSQL in them, as far as their image's name
    /// or environment tells: "shop-db (postgres:15)", in order.
    pub servers: Vec<String>,
}

/// Looks at the engine and what runs in it.
pub fn look_at_engine(runner: &Runner) -> Result<Engine, DockerError> {
    let tool = client(runner).args(["version", "--format", "{{.Server.Version}}"]);
    let version = ask(runner, &tool)?.trim().to_owned();
    let all = running(runner, None)?.into_iter();
    let with_server = all.filter(|container| {
        // The images of PostgreSQL set it; one that has just ended is none.
        let is_set = |(name, value): &(String, String)| name == "PGDATA" && !value.is_empty();
        let has_data = || variables(runner, container).is_ok_and(|all| all.iter().any(is_set));
        container.image.contains("postgres") || has_data()
    });
    let servers: Vec<Running> = with_server.collect();
    Ok(Engine {
        version,
        servers: sorted(&servers),
    })
}

type Matcher = Box<dyn Fn(&Running) -> bool>;

/// Checks what was said, before anything runs.
fn matcher(wanted: &Wanted) -> Result<Matcher, DockerError> {
    match wanted {
        Wanted::Default => Ok(Box::new(|container| container.name == DEFAULT_NAME)),
        Wanted::Label(label) => {
            check_label(label)?;
            Ok(Box::new(|_| true))
        }
        Wanted::Name(name) => {
            check_name(name)?;
            let name = name.clone();
            Ok(Box::new(move |container| {
                let is_id = name.len() >= ID_CHARS_MIN && container.id.starts_with(&name);
                container.name == name || is_id
            }))
        }
        Wanted::Pattern(pattern) => {
            if !pattern.is_empty() && !pattern.contains(GLOB_CHARACTERS) {
                let part = pattern.clone();
                return Ok(Box::new(move |container| container.name.contains(&part)));
            }
            let glob = Globs::new([(pattern.as_str(), Reach::Text)]);
            let glob = glob.map_err(|error| DockerError::Setting {
                what: "name pattern",
                value: pattern.clone(),
                why: error.why,
            })?;
            Ok(Box::new(move |container| {
                glob.is_match(container.name.as_bytes())
            }))
        }
    }
}

/// Docker's own rule: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
fn check_name(name: &str) -> Result<(), DockerError> {
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let known = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if begins && name.chars().all(known) {
        return Ok(());
    }
    Err(DockerError::Setting {
        what: "name",
        value: name.to_owned(),
        why: "a name has letters, digits, _ . and -, and begins with a letter or digit".to_owned(),
    })
}

fn check_label(label: &str) -> Result<(), DockerError> {
    let key = label.split_once('=').map_or(label, |(key, _)| key);
    if !key.is_empty() && !label.contains(char::is_control) {
        return Ok(());
    }
    Err(DockerError::Setting {
        what: "label",
        value: label.to_owned(),
        why: "write key=value".to_owned(),
    })
}

fn labelled(wanted: &Wanted) -> Option<&str> {
    match wanted {
        Wanted::Label(label) => Some(label),
        _ => None,
    }
}

fn running(runner: &Runner, label: Option<&str>) -> Result<Vec<Running>, DockerError> {
    let mut tool = client(runner)
        .args(["ps", "--no-trunc"])
        .args(["--format", "{{.ID}} {{.Names}} {{.Image}}"]);
    if let Some(label) = label {
        // One argument: whatever the label begins with, it is the option's.
        tool = tool.arg(format!("--filter=label={label}"));
    }
    let answer = ask(runner, &tool)?;
    Ok(answer.lines().filter_map(parse_running).collect())
}

/// A container may have further names, of its links: those have a slash.
fn parse_running(line: &str) -> Option<Running> {
    let mut words = line.split_whitespace();
    let (id, names) = (words.next()?, words.next()?);
    let name = names.split(',').find(|name| !name.contains('/'))?;
    Some(Running {
        id: id.to_owned(),
        name: name.to_owned(),
        image: words.next().unwrap_or("-").to_owned(),
    })
}

fn all_running(runner: &Runner) -> Result<String, DockerError> {
    let all = running(runner, None)?;
    Ok(match all.as_slice() {
        [] => "none is running at all; start it, or say which with --container NAME".to_owned(),
        all => format!(
            "running are {}; say which with --container NAME",
            listed(all)
        ),
    })
}

fn listed(containers: &[Running]) -> String {
    sorted(containers).join(", ")
}

fn sorted(containers: &[Running]) -> Vec<String> {
    let mut shown: Vec<String> = containers
        .iter()
        .map(|container| format!("{} ({})", container.name, container.image))
        .collect();
    shown.sort();
    shown
}

/// The name is for the manifest, where the id would say nothing.
fn describe(runner: &Runner, container: &Running) -> Result<Container, DockerError> {
    let variables = variables(runner, container)?;
    let Running { id, name, image } = container;
    let words = [id, name, image].map(String::clone);
    Ok(Container::new(runner.clone(), words, variables))
}

/// As it was started with.
fn variables(runner: &Runner, container: &Running) -> Result<Vec<(String, String)>, DockerError> {
    // Both are docker's own words by now.
    check_name(&container.name)?;
    check_name(&container.id)?;
    let tool = client(runner)
        .args(["inspect", "--type", "container"])
        .args(["--format", "{{json .Config.Env}}"])
        .arg(&container.id);
    let answer = ask(runner, &tool)?;
    let lines: Option<Vec<String>> =
        serde_json::from_str(answer.trim()).map_err(|error| DockerError::Failed {
            command: runner.text(),
            // Not the answer: it holds passwords.
            detail: format!("its description of the container was not understood: {error}"),
        })?;
    let pair = |line: &String| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    Ok(lines.iter().flatten().filter_map(pair).collect())
}

fn client(runner: &Runner) -> Tool {
    let tool = runner.tool().env("LC_ALL", "C");
    tool.answers_within(ANSWER_MAX)
}

fn ask(runner: &Runner, tool: &Tool) -> Result<String, DockerError> {
    let explain = |error: ProcessError| DockerError::of_client(error, runner);
    let answer = run_captured(tool, b"").map_err(explain)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Wanted, matcher, parse_running};

    #[test]
    fn names_that_docker_could_not_have_are_refused_before_docker_is_asked() {
        let usable = |name: &str| matcher(&Wanted::Name(name.to_owned())).is_ok();
        for name in ["a", "shop-db", "0.x_y", "Shop.DB-1"] {
            assert!(usable(name), "{name}");
        }
        for name in [
            "", "-it", "--help", ".a", "_a", "a b", "a;b", "a/b", "ä", "a\n",
        ] {
            assert!(!usable(name), "{name:?}");
        }
    }

    #[test]
    fn labels_and_patterns_are_looked_at_too() {
        assert!(matcher(&Wanted::Label("backup=yes".to_owned())).is_ok());
        assert!(matcher(&Wanted::Label("=yes".to_owned())).is_err());
        assert!(matcher(&Wanted::Pattern("shop-*".to_owned())).is_ok());
        assert!(matcher(&Wanted::Pattern("shop-[".to_owned())).is_err());
    }

    #[test]
    fn a_pattern_without_glob_characters_is_found_anywhere_in_the_name() {
        let container = parse_running("0123456789abcdef my-postgres-x7k2 postgres:15").unwrap();
        let matches = |pattern: &str| {
            let pattern = Wanted::Pattern(pattern.to_owned());
            matcher(&pattern).unwrap()(&container)
        };
        assert!(matches("postgres-") && matches("my-") && matches("*-x7k2"));
        assert!(!matches("postgres-?") && !matches("mysql") && !matches(""));
    }

    #[test]
    fn a_container_is_told_by_its_own_name_not_by_its_links() {
        let line = "0123456789abcdef web/db,db postgres:15";
        let container = parse_running(line).unwrap();
        assert_eq!(container.name, "db");
        assert_eq!(container.image, "postgres:15");
        let wanted = |name: &str| matcher(&Wanted::Name(name.to_owned())).unwrap()(&container);
        assert!(wanted("db") && wanted("0123456789ab"));
        assert!(!wanted("0123") && !wanted("web"));
    }
}
