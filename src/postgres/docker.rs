//! The way into a container: the client programs are those of the container,
//! run there by `docker exec` over the server's local socket.
//!
//! Owns what is known of the container, and what docker's own failures mean.
//! Refuses a terminal and a shell. A password stands in no argument: its value
//! goes through the environment of the docker client.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::clients::parse_version;
use super::quote::quote_conninfo;
use super::server::NOT_INHERITED;
use super::{Client, PostgresError};
use crate::process::{ProcessError, Runner, Tool, run_captured};

/// What the image of PostgreSQL takes where it is told nothing.
const DEFAULT_USER: &str = "postgres";

/// Variables of the container that would lead its clients astray.
const LEADING_ASTRAY: &[&str] = &[
    "PGCLIENTENCODING",
    "PGHOST",
    "PGHOSTADDR",
    "PGOPTIONS",
    "PGSERVICE",
];

/// Why a container could not be found or used.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    #[error(
        "`{command}` cannot be run: {detail}; install docker, set docker_command (such as \
         [\"podman\"]), or reach the server directly: --mode direct --url URL"
    )]
    NoProgram { command: String, detail: String },
    #[error(
        "`{command}` cannot reach its daemon: {detail}; start it (systemctl start docker), or \
         correct DOCKER_HOST"
    )]
    NoDaemon { command: String, detail: String },
    #[error(
        "`{command}` may not be used by this user: {detail}; join the group docker, or set \
         docker_command = [\"sudo\", \"docker\"] with a rule that asks for no password"
    )]
    NotAllowed { command: String, detail: String },
    #[error("`{command}` failed: {detail}")]
    Failed { command: String, detail: String },
    #[error("the container's {what} {value:?} is not usable: {why}")]
    Setting {
        what: &'static str,
        value: String,
        why: String,
    },
    #[error("no container {wanted} is running; {running}")]
    NotRunning { wanted: String, running: String },
    #[error(
        "several containers {wanted} are running: {matching}; name one with --container, or \
         choose a narrower {what}"
    )]
    Several {
        wanted: String,
        what: &'static str,
        matching: String,
    },
    #[error(
        "the container {container} went away: {detail}; start it again (`{command} ps -a` tells \
         why it ended)"
    )]
    Gone {
        command: String,
        container: String,
        detail: String,
    },
    #[error(
        "the container {container} has no `{program}`: its image {image} lacks PostgreSQL's \
         client programs; name the container of the server itself, or reach the server \
         directly: --mode direct --url URL"
    )]
    NoClient {
        container: String,
        image: String,
        program: String,
    },
}

impl DockerError {
    /// Whether the configuration is to blame, not what runs.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Setting { .. })
    }

    /// Reads a failure of the docker client itself.
    pub(super) fn of_client(error: ProcessError, runner: &Runner) -> Self {
        let command = runner.text();
        let detail = match error {
            ProcessError::Failed(failure) => failure.stderr.trim().to_owned(),
            other => {
                let detail = other.to_string();
                return Self::NoProgram { command, detail };
            }
        };
        let says = |signs: &[&str]| signs.iter().any(|sign| detail.contains(sign));
        if says(&["permission denied", "password is required", "not allowed"]) {
            Self::NotAllowed { command, detail }
        } else if says(&[
            "Cannot connect to",
            "daemon running",
            "error during connect",
        ]) {
            Self::NoDaemon { command, detail }
        } else {
            Self::Failed { command, detail }
        }
    }
}

/// A running container and how its server is asked. Its `Debug` shows no
/// password.
#[derive(Clone)]
pub struct Container {
    runner: Runner,
    name: String,
    image: String,
    /// `NAME=value`, as it was started with.
    environment: Vec<(String, String)>,
    user: String,
    password: Option<Zeroizing<String>>,
}

impl Container {
    pub(super) fn new(
        runner: Runner,
        name: String,
        image: String,
        environment: Vec<(String, String)>,
    ) -> Self {
        let mut container = Self {
            runner,
            name,
            image,
            environment,
            user: String::new(),
            password: None,
        };
        container.user = container
            .variable("POSTGRES_USER")
            .unwrap_or(DEFAULT_USER)
            .to_owned();
        container.password = container.variable("POSTGRES_PASSWORD").map(secret);
        container
    }

    /// Logs in as `user`. The container's own password is its own user's: for
    /// another one, or where it tells none, it is `password`.
    #[must_use]
    pub fn logging_in(mut self, user: Option<&str>, password: Option<&str>) -> Self {
        if let Some(user) = user.filter(|user| *user != self.user) {
            self.user = user.to_owned();
            self.password = None;
        }
        self.password = self.password.or(password.map(secret));
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The database that the container was made for.
    pub fn database(&self) -> &str {
        self.variable("POSTGRES_DB")
            .or(self.variable("POSTGRES_USER"))
            .unwrap_or(DEFAULT_USER)
    }

    /// Whether its environment says where a server's data lies.
    pub(super) fn has_data(&self) -> bool {
        self.variable("PGDATA").is_some()
    }

    /// Empty ones are as if they were not there: so the images take them.
    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A program of the container on its way to a database.
    pub(super) fn tool(&self, program: &Path, database: &str) -> Tool {
        let mut tool = self
            .program(program)
            .arg("--no-password")
            .arg(format!("--dbname=dbname={}", quote_conninfo(database)))
            .env("PGAPPNAME", "kluis")
            .env("PGUSER", &self.user);
        for name in LEADING_ASTRAY {
            // A directory is the local socket's, and only the container knows it.
            if self.variable(name).is_some_and(|v| !v.starts_with('/')) {
                tool = tool.env(*name, "");
            }
        }
        match &self.password {
            Some(password) => tool.secret_env("PGPASSWORD", password.clone()),
            None => tool,
        }
    }

    /// A program of the container that asks no server.
    pub(super) fn program(&self, program: &Path) -> Tool {
        let mut tool = Tool::new(program)
            .env("LC_ALL", "C")
            .in_container(&self.runner, &self.name);
        for name in NOT_INHERITED {
            tool = tool.env_remove(*name);
        }
        tool
    }

    /// The container's own program of this name, for a server of `major`.
    pub(super) fn client(&self, program: &str, major: u32) -> Result<Client, PostgresError> {
        let path = PathBuf::from(program);
        let tool = self.program(&path).arg("--version");
        let answer = run_captured(&tool, b"").map_err(|error| match self.explain(error) {
            Ok(error) => error.into(),
            Err(error) => PostgresError::Process(error),
        })?;
        let text = String::from_utf8_lossy(&answer);
        let client = parse_version(&path, &text).ok_or_else(|| PostgresError::Answer {
            action: format!("{program} --version"),
            detail: text.trim().to_owned(),
        })?;
        if client.major < major {
            return Err(PostgresError::ClientMissing {
                program: program.to_owned(),
                major,
                package: format!("postgresql-client-{major}"),
                looked: format!("in the container {} it is {}", self.name, client.version),
            });
        }
        Ok(client)
    }

    /// Whether docker still says so.
    fn runs(&self) -> bool {
        let tool = self
            .runner
            .tool()
            .args(["inspect", "--type", "container"])
            .args(["--format", "{{.State.Running}}"])
            .arg(&self.name);
        run_captured(&tool, b"").is_ok_and(|answer| answer.trim_ascii() == b"true")
    }

    /// Docker learns of a container's end later than the programs in it.
    fn ends_soon(&self) -> bool {
        let patience = Instant::now();
        while self.runs() {
            if patience.elapsed() > END_MAX {
                return false;
            }
            std::thread::sleep(POLL_PAUSE);
        }
        true
    }

    /// What docker, and not the program in the container, said. Gives back
    /// what it did not say.
    pub(super) fn explain(&self, error: ProcessError) -> Result<DockerError, ProcessError> {
        let ProcessError::Failed(failure) = &error else {
            return Ok(DockerError::of_client(error, &self.runner));
        };
        let said = failure.stderr.trim();
        let says = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
        let detail = said.to_owned();
        let (container, image) = (self.name.clone(), self.image.clone());
        // Older dockers say on stdout why a program was not started: also that
        // of a container that has just ended.
        let silent = said.is_empty() || says(&["executable file not found"]);
        let ended = says(&["o such container", "is not running"]);
        let not_started = [Some(126), Some(127)].contains(&failure.status.code());
        let killed = failure.status.code() == Some(KILLED);
        let broke_off = says(&["terminating connection", "closed the connection"]);
        let was_cut = broke_off || silent && killed;
        if ended || was_cut && self.ends_soon() || silent && not_started && !self.runs() {
            let command = self.runner.text();
            let detail = match detail.is_empty() {
                true => "its programs were killed".to_owned(),
                false => detail,
            };
            return Ok(DockerError::Gone {
                command,
                container,
                detail,
            });
        }
        if silent && not_started {
            let program = failure.program.clone();
            return Ok(DockerError::NoClient {
                container,
                image,
                program,
            });
        }
        if says(&[
            "Cannot connect to the Docker daemon",
            "error during connect",
        ]) {
            return Ok(DockerError::of_client(error, &self.runner));
        }
        Err(error)
    }
}

/// How long a container goes on after its programs were killed, at most.
const END_MAX: Duration = Duration::from_secs(3);
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// What docker exec ends with when SIGKILL ended its program.
const KILLED: i32 = 137;

fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container")
            .field("runner", &self.runner)
            .field("name", &self.name)
            .field("image", &self.image)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Container;
    use crate::process::Runner;

    fn container(environment: &[(&str, &str)]) -> Container {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Container::new(
            Runner::new(&["docker".to_owned()]).unwrap(),
            "shop-db".to_owned(),
            "postgres:15".to_owned(),
            environment.iter().map(owned).collect(),
        )
    }

    #[test]
    fn database_and_user_are_those_that_the_container_was_made_with() {
        let plain = container(&[]);
        assert_eq!(
            (plain.database(), plain.user.as_str()),
            ("postgres", "postgres")
        );
        let user = container(&[("POSTGRES_USER", "ann")]);
        assert_eq!((user.database(), user.user.as_str()), ("ann", "ann"));
        let both = container(&[("POSTGRES_USER", "ann"), ("POSTGRES_DB", "shop")]);
        assert_eq!((both.database(), both.user.as_str()), ("shop", "ann"));
    }

    #[test]
    fn the_containers_password_goes_to_its_own_user_only() {
        let made = [("POSTGRES_USER", "ann"), ("POSTGRES_PASSWORD", "hers")];
        let password = |user, given| {
            let container = container(&made).logging_in(user, given);
            container.password.map(|text| text.as_str().to_owned())
        };
        assert_eq!(password(None, Some("given")).unwrap(), "hers");
        assert_eq!(password(Some("ann"), None).unwrap(), "hers");
        assert_eq!(password(Some("bob"), Some("given")).unwrap(), "given");
        assert_eq!(password(Some("bob"), None), None);
    }

    #[test]
    fn neither_an_argument_nor_debug_shows_the_password() {
        let container = container(&[("POSTGRES_PASSWORD", "hunter2")]);
        let tool = container.tool(Path::new("psql"), "shop");
        assert!(!format!("{container:?} {tool:?}").contains("hunter2"));
    }

    #[test]
    fn a_host_that_the_container_names_does_not_lead_elsewhere() {
        let shown = |host| {
            let container = container(&[("PGHOST", host), ("PGOPTIONS", "-c work_mem=1")]);
            format!("{:?}", container.tool(Path::new("psql"), "shop"))
        };
        assert!(shown("other.example").contains("\"PGHOST\": \"\""));
        assert!(!shown("/run/sockets").contains("PGHOST"));
        assert!(shown("").contains("\"PGOPTIONS\": \"\""));
    }
}
