//! A child that is talked with: a line in, a line out. It ends with its input,
//! so also with us.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};

use super::child::Child;
use super::{ProcessError, Tool};

/// Its stdin and stdout are ours. Dropping it kills the child.
pub struct ChildDialog {
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    child: Child,
}

impl ChildDialog {
    pub fn spawn(tool: &Tool) -> Result<Self, ProcessError> {
        let mut child = Child::spawn(tool, Stdio::piped(), Stdio::piped())?;
        Ok(Self {
            stdin: child.take_stdin(),
            stdout: child.take_stdout().map(BufReader::new),
            child,
        })
    }

    /// Says `text` and waits for one line, given without its newline. A child
    /// that ends instead is an error with its words.
    pub fn ask(&mut self, text: &str) -> Result<String, ProcessError> {
        let answer = self.ask_bytes(text)?;
        String::from_utf8(answer).map_err(|error| ProcessError::Pipe {
            program: self.child.tool().name(),
            source: io::Error::new(io::ErrorKind::InvalidData, error),
        })
    }

    /// The same for an answer that need not be UTF-8.
    pub fn ask_bytes(&mut self, text: &str) -> Result<Vec<u8>, ProcessError> {
        let mut answer = Vec::new();
        match self.exchange(text, &mut answer) {
            Ok(()) if answer.ends_with(b"\n") => {
                answer.pop();
                Ok(answer)
            }
            told => Err(self.gone(told)),
        }
    }

    fn exchange(&mut self, text: &str, answer: &mut Vec<u8>) -> io::Result<()> {
        let (Some(stdin), Some(stdout)) = (&mut self.stdin, &mut self.stdout) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        stdin.write_all(text.as_bytes())?;
        stdout.read_until(b'\n', answer).map(drop)
    }

    fn gone(&mut self, told: io::Result<()>) -> ProcessError {
        self.stdin = None;
        self.stdout = None;
        let ended = || io::Error::other("it ended without an answer");
        match self.child.finish() {
            Err(error) => error,
            Ok(()) => ProcessError::Pipe {
                program: self.child.tool().name(),
                source: told.err().unwrap_or_else(ended),
            },
        }
    }
}

impl fmt::Debug for ChildDialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildDialog")
            .field(&self.child.tool().name())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{ChildDialog, Tool};

    #[test]
    fn it_answers_each_line_and_tells_why_it_went() {
        let script = "while read -r line; do [ \"$line\" = bye ] && { echo tired >&2; exit 1; }; \
                      echo \"you said $line\"; done";
        let mut child = ChildDialog::spawn(&Tool::new("/bin/sh").args(["-c", script])).unwrap();
        assert_eq!(child.ask("one\n").unwrap(), "you said one");
        assert_eq!(child.ask("two\n").unwrap(), "you said two");
        let error = child.ask("bye\n").unwrap_err().to_string();
        assert!(error.contains("tired"), "{error}");
        assert!(child.ask("again\n").is_err());
    }

    #[test]
    fn one_that_ends_well_without_an_answer_is_an_error_too() {
        let mut child = ChildDialog::spawn(&Tool::new("true")).unwrap();
        assert!(child.ask("anybody\n").is_err());
    }
}
