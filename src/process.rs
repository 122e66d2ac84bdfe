//! The only place that spawns children: PostgreSQL's clients, here or inside a
//! container, and hooks. Owns their pipes, their process groups and their
//! end; knows nothing of what they say.
//!
//! Refuses shells: a [`Tool`] is a program and an argument array. Invariant: a
//! child that did not exit 0 is an error that tells why, and none outlives us,
//! whether we return, are told to stop, or are killed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use rustix::process::Signal;
use zeroize::Zeroizing;

mod background;
mod call_walls;
mod child;
mod confine;
mod container;
mod core_dump;
mod dialog;
mod environment;
mod identity;
mod orphans;
mod ourselves;
mod pid_namespace;
mod programs;
mod registry;
mod streams;
mod within;

pub use background::ChildServer;
pub use child::Said;
pub use confine::{Confinement, ReachableFiles, knows_file_walls};
pub use container::Runner;
pub use core_dump::forbid_core_dumps;
pub use dialog::ChildDialog;
pub use identity::{
    User, current, effective_user, host, is_home, is_in_container, is_private_group, is_root,
    is_running, linked_time_zone, unused_user, user, user_name,
};
pub use orphans::reap_as_first_process;
pub use ourselves::{ChildRun, Ended};
pub use programs::{programs_in, search_path};
pub use registry::{GRACE, is_stopping, next_child, terminate_all, terminate_from};
pub use streams::{ChildReader, ChildWriter, FilterInput, spawn_filter};
pub use within::run_within;

use child::Child;
use container::Container;
use environment::{ENGINE, Given};

type CutShort = Arc<dyn Fn() + Send + Sync>;

/// A program to run: where it is, what it gets. Its `Debug` and its errors
/// never show the value of a secret.
#[derive(Clone)]
pub struct Tool {
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    secret_env: BTreeMap<OsString, Zeroizing<String>>,
    given: Given,
    confinement: Option<Confinement>,
    ends_by: Option<Signal>,
    install: Option<String>,
    container: Option<Container>,
    when_cut_short: Option<CutShort>,
    /// How long its answer may take, where it is captured.
    limit: Option<Duration>,
    /// What it says goes where our own words go.
    stderr_is_ours: bool,
}

impl Tool {
    /// `program` is a path, or a name to be looked up in PATH.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            secret_env: BTreeMap::new(),
            given: Given::Listed(Vec::new()),
            confinement: None,
            ends_by: None,
            install: None,
            container: None,
            when_cut_short: None,
            limit: None,
            stderr_is_ours: false,
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

    /// Gives it these variables of our own environment too, where they are set.
    #[must_use]
    pub fn pass_env<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, names: I) -> Self {
        self.given.list(names.into_iter().map(Into::into));
        self
    }

    /// Keeps the whole of our environment from the child, PATH included.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.given = Given::Nothing;
        self
    }

    /// The signal by which it ends at once and tidies up. It gets this one when
    /// we are done with it, are told to stop, or die; others get SIGKILL.
    #[must_use]
    pub fn ends_by(mut self, signal: Signal) -> Self {
        self.ends_by = Some(signal);
        self
    }

    /// What to do if the program is not there: "install the package ...".
    #[must_use]
    pub fn install_hint(mut self, hint: impl Into<String>) -> Self {
        self.install = Some(hint.into());
        self
    }

    /// Runs it in a container instead of here. Its variables go along; of a
    /// secret one only the name stands in an argument.
    #[must_use]
    pub fn in_container(mut self, runner: &Runner, name: &str) -> Self {
        // What is started here is the engine's client.
        self.given.list(ENGINE.iter().map(OsString::from));
        self.container = Some(Container::new(runner, name));
        self
    }

    /// What to do when it did not end with status 0, or is dropped before its
    /// end: the child here is gone then, but what it runs elsewhere may go on.
    /// Called once, after the child was reaped.
    #[must_use]
    pub fn when_cut_short(mut self, act: impl Fn() + Send + Sync + 'static) -> Self {
        self.when_cut_short = Some(Arc::new(act));
        self
    }

    /// For [`run_captured`]: it is killed when it has not answered after so long.
    #[must_use]
    pub fn answers_within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Where it is, as far as it was said.
    pub fn program(&self) -> &std::path::Path {
        self.program.as_ref()
    }

    /// The file that would be started; `None` where PATH has none of that name.
    pub fn located(&self) -> Option<std::path::PathBuf> {
        let path = environment::path();
        programs::located(self.started(), path.as_deref()).map(Into::into)
    }

    /// The program as messages name it: without its directory.
    pub fn name(&self) -> String {
        let path = std::path::Path::new(&self.program);
        let name = path.file_name().unwrap_or(OsStr::new("?"));
        name.to_string_lossy().into_owned()
    }

    fn command(&self) -> Result<std::process::Command, ProcessError> {
        let path = environment::path();
        let started = programs::located(self.started(), path.as_deref());
        let started = started.ok_or_else(|| self.missing())?;
        let mut command = match &self.container {
            None => std::process::Command::new(started),
            Some(container) => container.command(&started, self),
        };
        command.args(&self.args);
        if self.confinement.is_some() {
            command.current_dir("/");
        }
        self.given.apply(&mut command);
        if self.container.is_none() {
            command.envs(&self.env);
        }
        for (name, value) in &self.secret_env {
            command.env(name, value.as_str());
        }
        Ok(command)
    }

    fn missing(&self) -> ProcessError {
        let remedy = self.install.clone();
        ProcessError::Missing {
            program: self.started().to_string_lossy().into_owned(),
            remedy: remedy.unwrap_or_else(|| "install it or correct its path".to_owned()),
        }
    }

    /// What is started here: the program, or what runs it in its container.
    fn started(&self) -> &OsStr {
        match &self.container {
            None => &self.program,
            Some(container) => container.program(),
        }
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
            .field("container", &self.container)
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
    #[error("`{program}` did not end within {limit:?}, and was killed")]
    TooLong { program: String, limit: Duration },
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl ProcessError {
    /// Takes the error out of what a [`ChildReader`] or [`ChildWriter`] gave
    /// as an [`std::io::Error`]; gives that back where it is none of ours.
    pub fn from_io(error: std::io::Error) -> Result<Self, std::io::Error> {
        error.downcast::<Self>()
    }

    /// The end of what a child that failed said.
    pub fn stderr(&self) -> &str {
        match self {
            Self::Failed(failure) => &failure.stderr,
            _ => "",
        }
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

/// Runs `tool`, which prints nothing, to its end; gives what it said on stderr.
pub fn run_telling(tool: &Tool) -> Result<Said, ProcessError> {
    let mut child = Child::spawn(tool, Stdio::null(), Stdio::null())?;
    child.finish_telling(Duration::MAX)
}

/// Runs `tool` with `input` on its stdin and gives its whole stdout. For
/// answers that are small by nature: a query, a version.
pub fn run_captured(tool: &Tool, input: &[u8]) -> Result<Vec<u8>, ProcessError> {
    let mut child = Child::spawn(tool, Stdio::piped(), Stdio::piped())?;
    let (stdin, stdout) = (child.take_stdin(), child.take_stdout());
    let mut output = Vec::new();
    let (answered, waiting) = bounded::<()>(0);
    let (killer, end) = (child.killer(), child.killer());
    let no_thread = |source| ProcessError::Pipe {
        program: tool.name(),
        source,
    };
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    let (read, too_long) = thread::scope(|scope| {
        // A child that stops reading early says why by its exit status.
        let write = move || stdin.map(|mut stdin| stdin.write_all(input));
        let writer = named("input").spawn_scoped(scope, write);
        writer.map_err(no_thread)?;
        let watch = tool.limit.map(|limit| {
            let watch = move || {
                let is_late = waiting.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
                if is_late {
                    killer();
                }
                is_late
            };
            named("limit").spawn_scoped(scope, watch)
        });
        let watch = watch.transpose().map_err(|error| {
            // Who writes to it must not wait for it.
            end();
            no_thread(error)
        })?;
        let read = stdout.map_or(Ok(0), |mut stdout| stdout.read_to_end(&mut output));
        drop(answered);
        Ok::<_, ProcessError>((
            read,
            watch.is_some_and(|watch| watch.join().unwrap_or(true)),
        ))
    })?;
    let finished = child.finish();
    if let (true, Some(limit)) = (too_long, tool.limit) {
        return Err(ProcessError::TooLong {
            program: tool.name(),
            limit,
        });
    }
    finished?;
    read.map_err(|source| ProcessError::Pipe {
        program: tool.name(),
        source,
    })?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Duration;

    use zeroize::Zeroizing;

    use rustix::process::Signal;

    use super::{
        ChildReader, ChildServer, ChildWriter, Confinement, ProcessError, Tool, User, run_captured,
        spawn_filter,
    };

    fn shell(script: &str) -> Tool {
        Tool::new("/bin/sh").args(["-c", script])
    }

    fn read_all(tool: &Tool) -> Result<Vec<u8>, ProcessError> {
        let mut output = Vec::new();
        match ChildReader::spawn(tool)?.read_to_end(&mut output) {
            Ok(_) => Ok(output),
            Err(error) => Err(ProcessError::from_io(error).expect("a process error")),
        }
    }

    /// Whether a process is there and not a zombie.
    fn runs(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
    }

    #[test]
    fn a_child_that_exits_0_ends_cleanly() {
        assert_eq!(read_all(&shell("printf all")).unwrap(), b"all");
    }

    #[test]
    fn a_child_that_exits_1_is_a_read_error() {
        let error = read_all(&shell("printf some; echo why >&2; exit 1")).unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed (exit status: 1): why");
    }

    #[test]
    fn a_child_that_is_killed_is_a_read_error() {
        let error = read_all(&shell("kill -9 $$")).unwrap_err();
        assert!(error.to_string().contains("signal: 9"), "{error}");
    }

    #[test]
    fn a_failed_reader_does_not_end_cleanly_later() {
        let mut reader = ChildReader::spawn(&shell("exit 1")).unwrap();
        assert!(reader.read(&mut [0; 1]).is_err());
        assert!(reader.read(&mut [0; 1]).is_err());
    }

    #[test]
    fn what_one_says_that_ends_well_is_kept_and_a_flood_of_it_is_cut_in_the_middle() {
        let said = |script: &str| {
            let mut reader = ChildReader::spawn(&shell(script)).unwrap();
            reader.read_to_end(&mut Vec::new()).unwrap();
            reader.take_said()
        };
        let few = said("echo one >&2; echo two >&2");
        assert_eq!((few.text.as_str(), few.is_cut), ("one\ntwo\n", false));
        let many = said("echo first >&2; yes line | head -c 3000000 >&2; echo last >&2");
        assert!(many.is_cut && many.text.len() == (64 << 10) + 4096);
        assert!(many.text.starts_with("first\n") && many.text.ends_with("line\nlast\n"));
    }

    #[test]
    fn only_the_end_of_a_flood_on_stderr_is_kept() {
        let script = "yes line | head -c 3000000 >&2; echo reason >&2; exit 3";
        let Err(ProcessError::Failed(failure)) = read_all(&shell(script)) else {
            panic!("exit 3 is a failure");
        };
        assert!(failure.stderr.ends_with("line\nreason\n"));
        assert_eq!(failure.stderr.len(), 4096);
    }

    #[test]
    fn a_missing_program_is_told_with_its_package() {
        let tool = Tool::new("/nonexistent/psql").install_hint("install the package p");
        let error = run_captured(&tool, b"").unwrap_err();
        let wanted = "the program `/nonexistent/psql` was not found; install the package p";
        assert_eq!(error.to_string(), wanted);
    }

    #[test]
    fn captured_output_may_be_larger_than_a_pipe_both_ways() {
        let input = vec![b'x'; 3_000_000];
        assert_eq!(run_captured(&shell("cat"), &input).unwrap(), input);
    }

    #[test]
    fn a_child_that_does_not_read_its_input_is_no_failure() {
        let input = vec![b'x'; 3_000_000];
        assert_eq!(run_captured(&shell("printf ok"), &input).unwrap(), b"ok");
    }

    #[test]
    fn one_that_never_answers_is_killed_with_what_it_started() {
        let tool = shell("sleep 600 & exec sleep 600").answers_within(Duration::from_millis(50));
        let error = run_captured(&tool, b"").unwrap_err();
        assert!(matches!(error, ProcessError::TooLong { .. }), "{error}");
        let tool = shell("printf ok").answers_within(Duration::from_secs(600));
        assert_eq!(run_captured(&tool, b"").unwrap(), b"ok");
    }

    #[test]
    fn a_writers_child_tells_why_it_went() {
        let mut writer = ChildWriter::spawn(&shell("echo full >&2; exit 7")).unwrap();
        let error = loop {
            if let Err(error) = writer.write_all(&[0; 65536]) {
                break error;
            }
        };
        let error = ProcessError::from_io(error).unwrap();
        assert_eq!(error.to_string(), "`sh` failed (exit status: 7): full");
    }

    #[test]
    fn a_filter_gives_back_more_than_a_pipe_holds() {
        let (mut input, mut output) = spawn_filter(&shell("cat")).unwrap();
        let sent = vec![b'x'; 5_000_000];
        let mut back = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                input.write_all(&sent).unwrap();
                drop(input);
            });
            output.read_to_end(&mut back).unwrap();
        });
        assert_eq!(back, sent);
    }

    #[test]
    fn a_filter_that_goes_is_a_broken_pipe_and_its_reader_tells_why() {
        let (mut input, mut output) = spawn_filter(&shell("echo full >&2; exit 7")).unwrap();
        let error = loop {
            if let Err(error) = input.write_all(&[0; 65536]) {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        let error = output.read(&mut [0; 1]).unwrap_err().to_string();
        assert_eq!(error, "`sh` failed (exit status: 7): full");
    }

    #[test]
    fn a_writers_finish_waits_for_the_exit_status() {
        let script = "cat >/dev/null; echo late >&2; exit 1";
        let mut writer = ChildWriter::spawn(&shell(script)).unwrap();
        writer.write_all(b"input").unwrap();
        let error = writer.finish().unwrap_err();
        assert_eq!(error.to_string(), "`sh` failed (exit status: 1): late");
    }

    #[test]
    fn a_secret_is_in_the_environment_and_in_no_message() {
        let secret = Zeroizing::new("hunter2".to_owned());
        let tool = shell("echo $PW; echo refused $PW >&2; exit 1").secret_env("PW", secret);
        let error = read_all(&tool).unwrap_err();
        assert!(error.to_string().contains("refused ****"), "{error}");
        assert!(!format!("{error:?} {tool:?}").contains("hunter2"));
        let printed = shell("printf %s $PW").secret_env("PW", Zeroizing::new("abc".to_owned()));
        assert_eq!(read_all(&printed).unwrap(), b"abc");
    }

    #[test]
    fn only_a_child_that_was_cut_short_is_told_of() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering};
        let count = Arc::new(AtomicU32::new(0));
        let counted = |script| {
            let count = Arc::clone(&count);
            shell(script).when_cut_short(move || {
                count.fetch_add(1, Ordering::SeqCst);
            })
        };
        read_all(&counted("echo done")).unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 0);
        read_all(&counted("exit 1")).unwrap_err();
        assert_eq!(count.load(Ordering::SeqCst), 1);
        drop(ChildReader::spawn(&counted("exec sleep 600")).unwrap());
        drop(ChildWriter::spawn(&counted("exec sleep 600")).unwrap());
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn dropping_a_reader_ends_the_child_and_what_it_started() {
        let script = "sleep 600 & echo $!; echo $$; wait";
        let mut reader = ChildReader::spawn(&shell(script)).unwrap();
        let mut said = Vec::new();
        while said.iter().filter(|b| **b == b'\n').count() < 2 {
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            said.push(byte[0]);
        }
        drop(reader);
        let said = String::from_utf8(said).unwrap();
        for pid in said.lines() {
            // The grandchild is killed, but reaped by whoever inherits it.
            while runs(pid) {}
        }
    }

    #[test]
    fn a_server_ends_by_its_own_signal_and_tidies_up() {
        let directory = tempfile::tempdir().unwrap();
        let [here, tidied] = ["here", "tidied"].map(|name| directory.path().join(name));
        let script = "trap 'echo > \"$0.tidied\"; exit' QUIT; echo > \"$0.here\"; \
                      while :; do sleep 0.01; done";
        let script = script.replace("$0.here", here.to_str().unwrap());
        let script = script.replace("$0.tidied", tidied.to_str().unwrap());
        let mut server = ChildServer::spawn(&shell(&script).ends_by(Signal::QUIT)).unwrap();
        while !here.exists() {
            server.check().unwrap();
        }
        drop(server);
        assert!(tidied.exists());
    }

    #[test]
    fn a_server_that_went_says_why() {
        let mut server = ChildServer::spawn(&shell("echo why >&2; exit 1")).unwrap();
        let error = loop {
            if let Err(error) = server.check() {
                break error;
            }
        };
        assert_eq!(error.to_string(), "`sh` failed (exit status: 1): why");
    }

    #[test]
    fn another_user_has_none_of_our_groups_nor_our_environment() {
        if !super::is_root() {
            eprintln!("skipped: only root may become another user");
            return;
        }
        let nobody = super::user("nobody").unwrap();
        let confinement = Confinement {
            user: Some(nobody),
            ..Confinement::default()
        };
        let tool = shell("pwd; /usr/bin/id -u; /usr/bin/id -G; /usr/bin/env");
        let tool = tool.confined(confinement).env_clear();
        let said = String::from_utf8(read_all(&tool).unwrap()).unwrap();
        let User { uid, gid } = nobody;
        assert!(said.starts_with(&format!("/\n{uid}\n{gid}\n")), "{said}");
        assert!(!said.contains("CARGO"), "{said}");
    }
}
