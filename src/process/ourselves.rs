//! kluis as a child of itself: what `kluis serve` starts.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::Signal;

use super::child::Child;
use super::environment::Given;
use super::{Failure, ProcessError, Tool};

/// A result's JSON is some kilobytes for each backup.
const STDOUT_BYTES_MAX: u64 = 16 << 20;
/// Always the program that this process runs, also once its file was replaced.
const OUR_PROGRAM: &str = "/proc/self/exe";
impl Tool {
    /// This program. Alone of all children it is given our own secrets, but not
    /// the key of the HTTP trigger; its messages go where ours go; SIGTERM stops
    /// it in order.
    pub fn ourselves() -> Self {
        let path = std::env::current_exe().ok().filter(|path| path.exists());
        let mut tool = Self::new(path.unwrap_or_else(|| PathBuf::from(OUR_PROGRAM)));
        tool.given = Given::ToOurselves;
        tool.stderr_is_ours = true;
        tool.ends_by(Signal::TERM)
    }

    /// Keeps what the child says, instead of letting it through.
    #[must_use]
    pub fn keep_stderr(mut self) -> Self {
        self.stderr_is_ours = false;
        self
    }
}

/// A child that runs to its end, whatever its exit code. Dropping it ends it.
pub struct ChildRun(Child);

/// How it ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// As a shell tells it: 128 and the signal's number for one that was killed.
    pub exit_code: i32,
    pub stdout: Vec<u8>,
    /// The end of what it said, where that was kept.
    pub stderr: String,
}

impl ChildRun {
    pub fn spawn(tool: &Tool) -> Result<Self, ProcessError> {
        Child::spawn(tool, Stdio::null(), Stdio::piped()).map(Self)
    }

    pub fn wait(mut self) -> Result<Ended, ProcessError> {
        let mut output = Vec::new();
        let read = self.0.take_stdout().map_or(Ok(()), |mut stdout| {
            (&mut stdout)
                .take(STDOUT_BYTES_MAX)
                .read_to_end(&mut output)?;
            // What is too much is read all the same, so that it can end.
            io::copy(&mut stdout, &mut io::sink()).map(drop)
        });
        let (exit_code, stderr) = match self.0.finish() {
            Ok(()) => (0, String::new()),
            Err(ProcessError::Failed(failure)) => (exit_code(&failure), failure.stderr),
            Err(error) => return Err(error),
        };
        read.map_err(|source| ProcessError::Pipe {
            program: self.0.tool().name(),
            source,
        })?;
        Ok(Ended {
            exit_code,
            stdout: output,
            stderr,
        })
    }
}

fn exit_code(failure: &Failure) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    let status = failure.status;
    let by_signal = status.signal().map(|signal| 128 + signal);
    status.code().or(by_signal).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::{ChildRun, Tool};

    #[test]
    fn any_end_is_told_with_what_was_printed() {
        let run = |script: &str| {
            let tool = Tool::new("/bin/sh").args(["-c", script]);
            ChildRun::spawn(&tool).unwrap().wait().unwrap()
        };
        let ended = run("printf all; echo why >&2; exit 3");
        assert_eq!((ended.exit_code, &ended.stdout[..]), (3, &b"all"[..]));
        assert_eq!(ended.stderr, "why\n");
        assert_eq!(run("kill -9 $$").exit_code, 137);
        let flood = run("head -c 20000000 /dev/zero");
        assert_eq!((flood.exit_code, flood.stdout.len()), (0, 16 << 20));
    }
}
