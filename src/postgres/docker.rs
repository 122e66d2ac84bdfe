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
use super::container_environment::ContainerEnvironment;
use super::{Client, PostgresError};
use crate::process::{ProcessError, Runner, Tool, run_captured};

/// How long docker may take to say something small; one that never answers is down.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(60);

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
    #[error(
        "the container says what its {what} is called, and it cannot be known: {why}; say it \
         with database.{key}"
    )]
    NotKnown {
        what: &'static str,
        why: String,
        key: &'static str,
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
            ProcessError::TooLong { .. } => {
                let detail = error.to_string();
                return Self::NoDaemon { command, detail };
            }
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
    /// What docker is asked by: a name may be another container's a moment later.
    id: String,
    name: String,
    image: String,
    environment: ContainerEnvironment,
    login: Login,
}

/// What was said of the login; the container's own environment says the rest.
#[derive(Clone, Debug, Default)]
pub struct Login {
    pub user: Option<String>,
    /// For a user who is not the container's own, or whose password it does not tell.
    pub password: Option<Zeroizing<String>>,
    pub port: Option<u16>,
    /// The directory of the server's socket.
    pub socket: Option<String>,
}

impl Container {
    pub(super) fn new(
        runner: Runner,
        [id, name, image]: [String; 3],
        variables: Vec<(String, String)>,
    ) -> Self {
        let read = |path: &str| read_file(&runner, &id, path);
        let environment = ContainerEnvironment::new(variables, read);
        Self {
            runner,
            id,
            name,
            image,
            environment,
            login: Login::default(),
        }
    }

    /// Logs in so. Refused where the user is to be the container's own, and that is
    /// not known.
    pub fn logging_in(mut self, login: Login) -> Result<Self, DockerError> {
        let user = match login.user {
            Some(user) => user,
            None => self.environment.user()?.to_owned(),
        };
        let is_own = self.environment.user().is_ok_and(|own| own == user);
        let own = self.environment.password().filter(|_| is_own).cloned();
        self.login = Login {
            password: own.or(login.password),
            user: Some(user),
            ..login
        };
        Ok(self)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The database that the container was made for.
    pub fn database(&self) -> Result<&str, DockerError> {
        self.environment.database()
    }

    /// Whether it says so itself.
    pub fn names_database(&self) -> bool {
        self.environment.names_database()
    }

    /// A program of the container on its way to its server.
    pub(super) fn client_tool(&self, program: &Path) -> Tool {
        let mut tool = self.program(program).env("PGAPPNAME", "kluis");
        if let Some(user) = &self.login.user {
            tool = tool.env("PGUSER", user);
        }
        for name in LEADING_ASTRAY {
            // A directory is the local socket's, and only the container knows it.
            let found = self.environment.variable(name);
            if found.is_some_and(|value| !value.starts_with('/')) {
                tool = tool.env(*name, "");
            }
        }
        if let Some(port) = self.login.port {
            tool = tool.env("PGPORT", port.to_string());
        }
        if let Some(socket) = &self.login.socket {
            tool = tool.env("PGHOST", socket);
        }
        match &self.login.password {
            Some(password) => tool.secret_env("PGPASSWORD", password.clone()),
            None => tool,
        }
    }

    /// A program of the container that asks no server.
    pub(super) fn program(&self, program: &Path) -> Tool {
        Tool::new(program)
            .env("LC_ALL", "C")
            .in_container(&self.runner, &self.id)
    }

    /// The container's own program of this name, for a server of `major`.
    pub(super) fn client(&self, program: &str, major: u32) -> Result<Client, PostgresError> {
        let path = PathBuf::from(program);
        let tool = self.program(&path).arg("--version");
        let tool = tool.answers_within(ANSWER_MAX);
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
            .arg(&self.id)
            .answers_within(ANSWER_MAX);
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

/// With the container's own `cat`, as the images read it themselves.
fn read_file(runner: &Runner, id: &str, path: &str) -> Result<String, String> {
    let cat = Tool::new("cat").env("LC_ALL", "C").arg("--").arg(path);
    let content = run_captured(
        &cat.in_container(runner, id).answers_within(ANSWER_MAX),
        b"",
    );
    let content = content.map_err(|error| error.to_string())?;
    String::from_utf8(content).map_err(|_| "it is not UTF-8 text".to_owned())
}

impl std::fmt::Debug for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Container")
            .field("runner", &self.runner)
            .field("name", &self.name)
            .field("image", &self.image)
            .field("user", &self.login.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use zeroize::Zeroizing;

    use super::{Container, Login};
    use crate::process::Runner;

    fn container(environment: &[(&str, &str)]) -> Container {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let words = ["0123456789abcdef", "shop-db", "postgres:15"].map(str::to_owned);
        let runner = Runner::new(&["docker".to_owned()]).unwrap();
        Container::new(runner, words, environment.iter().map(owned).collect())
    }

    fn logged_in(container: Container, user: Option<&str>, password: Option<&str>) -> Container {
        let login = Login {
            user: user.map(str::to_owned),
            password: password.map(|text| Zeroizing::new(text.to_owned())),
            ..Login::default()
        };
        container.logging_in(login).unwrap()
    }

    #[test]
    fn the_containers_password_goes_to_its_own_user_only() {
        let made = [("POSTGRES_USER", "ann"), ("POSTGRES_PASSWORD", "hers")];
        let password = |user, given| {
            let container = logged_in(container(&made), user, given);
            container
                .login
                .password
                .map(|text| text.as_str().to_owned())
        };
        assert_eq!(password(None, Some("given")).unwrap(), "hers");
        assert_eq!(password(Some("ann"), None).unwrap(), "hers");
        assert_eq!(password(Some("bob"), Some("given")).unwrap(), "given");
        assert_eq!(password(Some("bob"), None), None);
    }

    #[test]
    fn neither_an_argument_nor_debug_shows_the_password() {
        let container = logged_in(container(&[("POSTGRES_PASSWORD", "hunter2")]), None, None);
        let tool = container.client_tool(Path::new("psql"));
        assert!(!format!("{container:?} {tool:?}").contains("hunter2"));
    }

    #[test]
    fn a_host_that_the_container_names_does_not_lead_elsewhere() {
        let shown = |host| {
            let container = container(&[("PGHOST", host), ("PGOPTIONS", "-c work_mem=1")]);
            format!("{:?}", container.client_tool(Path::new("psql")))
        };
        assert!(shown("other.example").contains("\"PGHOST\": \"\""));
        assert!(!shown("/run/sockets").contains("PGHOST"));
        assert!(shown("").contains("\"PGOPTIONS\": \"\""));
        let said = Login {
            port: Some(5433),
            socket: Some("/run/here".to_owned()),
            ..Login::default()
        };
        let container = container(&[("PGHOST", "/run/sockets")])
            .logging_in(said)
            .unwrap();
        let tool = format!("{:?}", container.client_tool(Path::new("psql")));
        assert!(tool.contains("\"PGHOST\": \"/run/here\"") && tool.contains("5433"));
    }
}
