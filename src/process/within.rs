//! A program that is run for what it does, not for what it prints, and not for
//! longer than it was given.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::child::Child;
use super::{ProcessError, Tool};

/// A longer line is told in pieces.
const LINE_BYTES_MAX: u64 = 4096;
const LINES_WAITING: usize = 64;
const LINES_TOLD_MAX: u32 = 1000;
/// How often it is looked whether the child has ended while it says nothing.
const LOOK: Duration = Duration::from_millis(20);
/// What it printed last may still be on its way when it has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs `tool` to its end. Each line that it prints is told at once; what it
/// says on stderr is the error's, if it fails. After `limit` it is killed, with
/// all that it started.
pub fn run_within(
    tool: &Tool,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<(), ProcessError> {
    let mut child = Child::spawn(tool, Stdio::null(), Stdio::piped())?;
    let (send, lines) = bounded(LINES_WAITING);
    if let Some(stdout) = child.take_stdout() {
        let thread = thread::Builder::new().name("lines".to_owned());
        let reading = thread.spawn(move || read_lines(stdout, &send));
        reading.map_err(|source| ProcessError::Pipe {
            program: tool.name(),
            source,
        })?;
    }
    let begun = Instant::now();
    while !child.has_ended() {
        if begun.elapsed() >= limit {
            return Err(ProcessError::TooLong {
                program: tool.name(),
                limit,
            });
        }
        tell(&lines, LOOK, &mut on_line);
    }
    let finished = child.finish_within(LAST_WORDS);
    while tell(&lines, LAST_WORDS, &mut on_line) {}
    finished
}

/// Tells the next line if one comes in time.
fn tell(lines: &Receiver<String>, patience: Duration, on_line: &mut impl FnMut(&str)) -> bool {
    match lines.recv_timeout(patience) {
        Ok(line) => {
            on_line(&line);
            true
        }
        Err(RecvTimeoutError::Timeout) => false,
        // It has closed its stdout and runs on.
        Err(RecvTimeoutError::Disconnected) => {
            thread::sleep(patience.min(LOOK));
            false
        }
    }
}

/// Tells so many lines; the rest goes nowhere, as fast as it comes.
fn read_lines(stdout: ChildStdout, lines: &Sender<String>) {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    let mut left = LINES_TOLD_MAX;
    while let Ok(1..) = reader
        .by_ref()
        .take(LINE_BYTES_MAX)
        .read_until(b'\n', &mut line)
    {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if lines.send(text).is_err() {
            return;
        }
        line.clear();
        left -= 1;
        if left == 0 {
            let _ = lines.send("(what it prints from here on is not told)".to_owned());
            break;
        }
    }
    // Without a reader it would stop, or die of a broken pipe.
    let _ = io::copy(&mut reader, &mut io::sink());
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Tool {
        Tool::new("/bin/sh").args(["-c", script])
    }

    fn said(script: &str, limit: Duration) -> (Vec<String>, Result<(), ProcessError>) {
        let mut said = Vec::new();
        let result = run_within(&shell(script), limit, |line| said.push(line.to_owned()));
        (said, result)
    }

    #[test]
    fn every_line_is_told_also_the_last_without_an_end() {
        let (said, result) = said("echo one; echo two; printf three", LONG);
        assert!(result.is_ok());
        assert_eq!(said, ["one", "two", "three"]);
    }

    #[test]
    fn a_failure_brings_the_programs_own_words() {
        let (said, result) = said("echo one; echo why >&2; exit 3", LONG);
        assert_eq!(said, ["one"]);
        let error = result.unwrap_err().to_string();
        assert_eq!(error, "`sh` failed (exit status: 3): why");
    }

    #[test]
    fn one_that_does_not_end_is_killed_and_that_is_told() {
        let (_, result) = said("sleep 600 & wait", Duration::from_millis(50));
        let error = result.unwrap_err().to_string();
        assert_eq!(error, "`sh` did not end within 50ms, and was killed");
    }

    #[test]
    fn a_background_program_that_holds_the_output_open_is_not_waited_for() {
        let begun = Instant::now();
        let (said, result) = said("sleep 600 & echo started", LONG);
        assert!(result.is_ok());
        assert_eq!(said, ["started"]);
        assert!(begun.elapsed() < LONG / 2);
    }

    #[test]
    fn a_daemon_that_it_leaves_behind_is_not_waited_for() {
        let begun = Instant::now();
        let script = "setsid sleep 20 & echo started; echo why >&2; exit 3";
        let (said, result) = said(script, LONG);
        assert_eq!(said, ["started"]);
        assert!(result.unwrap_err().to_string().contains("why"));
        assert!(begun.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn one_that_prints_much_is_not_held_up_and_not_told_to_the_end() {
        let (said, result) = said("yes | head -c 20000000", LONG);
        assert!(result.is_ok());
        assert_eq!(said.len(), 1001);
        assert!(said[1000].contains("not told"));
    }

    #[test]
    fn one_that_closes_its_output_is_waited_for_all_the_same() {
        let (_, result) = said("exec >&-; sleep 0.2; exit 4", LONG);
        assert!(result.unwrap_err().to_string().contains("exit status: 4"));
    }
}
