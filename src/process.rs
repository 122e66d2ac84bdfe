//! The only place that spawns children: PostgreSQL's clients, and later docker
//! and hooks. Owns their pipes, their process groups and their end; knows
//! nothing of what they say.
//!
//! Refuses shells: a [`Tool`] is a program and an argument array. Invariant: a
//! child that did not exit 0 is an error that tells why, and none outlives us,
//! whether we return, are told to stop, or are killed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::process::{ExitStatus, Stdio};
use std::thread;

use zeroize::Zeroizing;

mod child;
mod identity;
mod registry;
mod streams;

pub use identity::{current, host, uid};
pub use registry::terminate_all;
pub use streams::{ChildReader, ChildWriter};

use child::Child;

/// A program to run: where it is, what it gets. Its `Debug` and its errors
/// never show the value of a secret.
#[derive(Clone)]
pub struct Tool {
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    secret_env: BTreeMap<OsString, Zeroizing<String>>,
    env_remove: Vec<OsString>,
    install: Option<String>,
}

impl Tool {
    /// `program` is a path, or a name to be looked up in PATH.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            secret_env: BTreeMap::new(),
            env_remove: Vec::new(),
            install: None,
        }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    #[must_use]
    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// A variable whose value must appear nowhere: it goes into the child's
    /// environment, and is masked in what the child says on stderr.
    #[must_use]
    pub fn secret_env(mut self, name: impl Into<OsString>, value: Zeroizing<String>) -> Self {
        self.secret_env.insert(name.into(), value);
        self
    }

    /// Keeps a variable of our own environment from the child.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.env_remove.push(name.into());
        self
    }

    /// What to do if the program is not there: "install the package ...".
    #[must_use]
    pub fn install_hint(mut self, hint: impl Into<String>) -> Self {
        self.install = Some(hint.into());
        self
    }

    /// The program as messages name it: without its directory.
    pub fn name(&self) -> String {
        let path = std::path::Path::new(&self.program);
        let name = path.file_name().unwrap_or(OsStr::new("?"));
        name.to_string_lossy().into_owned()
    }

    fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args);
        for name in &self.env_remove {
            command.env_remove(name);
        }
        command.envs(&self.env);
        for (name, value) in &self.secret_env {
            command.env(name, value.as_str());
        }
        command
    }

    /// Secrets of fewer than 4 bytes are left: masking them would only make
    /// the message unreadable.
    fn masked(&self, text: &str) -> String {
        let secrets = self.secret_env.values().filter(|value| value.len() >= 4);
        secrets.fold(text.to_owned(), |text, secret| {
            text.replace(secret.as_str(), "****")
        })
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env)
            .field("secret_env", &self.secret_env.keys())
            .finish_non_exhaustive()
    }
}

/// Why a child gave no good result.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("the program `{program}` was not found; {remedy}")]
    Missing { program: String, remedy: String },
    #[error("cannot start `{program}`: {source}")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot exchange data with `{program}`: {source}")]
    Pipe {
        program: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl ProcessError {
    /// Takes the error out of what a [`ChildReader`] or [`ChildWriter`] gave
    /// as an [`std::io::Error`]; gives that back where it is none of ours.
    pub fn from_io(error: std::io::Error) -> Result<Self, std::io::Error> {
        error.downcast::<Self>()
    }
}

/// A child that ended, but not with exit status 0.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{program}` failed ({status}){}", after_colon(.stderr))]
pub struct Failure {
    pub program: String,
    pub status: ExitStatus,
    /// The last 4 KiB of what it said, secrets masked.
    pub stderr: String,
}

fn after_colon(stderr: &str) -> String {
    match stderr.trim() {
        "" => "; it said nothing on stderr".to_owned(),
        text => format!(": {text}"),
    }
}

/// Runs `tool` with `input` on its stdin and gives its whole stdout. For
/// answers that are small by nature: a query, a version.
pub fn run_captured(tool: &Tool, input: &[u8]) -> Result<Vec<u8>, ProcessError> {
    let mut child = Child::spawn(tool, Stdio::piped(), Stdio::piped())?;
    let (stdin, stdout) = (child.take_stdin(), child.take_stdout());
    let mut output = Vec::new();
    let read = thread::scope(|scope| {
        // A child that stops reading early says why by its exit status.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut output))
    });
    child.finish()?;
    read.map_err(|source| ProcessError::Pipe {
        program: tool.name(),
        source,
    })?;
    Ok(output)
}
