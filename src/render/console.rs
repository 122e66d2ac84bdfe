//! stdout and stderr of the run: results, messages, progress.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::style::{Style, line, lines};
use super::units::{duration, size};
use super::{Report, View};
use crate::cli::{ColorWhen, GlobalFlags};
use crate::operations::Reporter;
use crate::systemd::{self, Priority};

/// With the longest message they fit 80 columns.
const WITH_TOTAL: &str = "{msg}  {percent:>3}%  {done} of {total}  {speed}  {left}";
/// A dump tells nobody how long it will be: no percentage is better than a guess.
const WITHOUT_TOTAL: &str = "{msg}  {done}  {speed}  {so_far} so far";
const MESSAGE_COLUMNS: usize = 24;
const TICK: Duration = Duration::from_millis(120);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    Quiet,
    Normal,
    Verbose,
    /// Each step, too.
    Steps,
}

/// Nobody reads stdout any more; whoever did has enough.
#[derive(Debug, thiserror::Error)]
#[error("stdout was closed")]
pub struct StdoutClosed;

/// The work is done, and somebody wanted to read of it, but cannot.
#[derive(Debug, thiserror::Error)]
#[error("it is done, but its result could not be written to stdout: {0}")]
pub struct StdoutFailed(#[source] io::Error);

pub struct Console {
    verbosity: Verbosity,
    json: bool,
    /// A result is on stdout.
    printed: AtomicBool,
    progress: bool,
    color: ColorChoice,
    /// stderr is a stream of systemd's journal.
    journal: bool,
    /// The bar that is drawn now; messages go above it.
    bar: Mutex<Option<ProgressBar>>,
}

impl Console {
    /// `journal`: the environment's JOURNAL_STREAM.
    pub fn new(flags: &GlobalFlags, journal: Option<&str>) -> Self {
        let verbosity = match (flags.quiet, flags.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, 0) => Verbosity::Normal,
            (_, 1) => Verbosity::Verbose,
            _ => Verbosity::Steps,
        };
        let progress = verbosity > Verbosity::Quiet && !flags.no_progress;
        Self {
            verbosity,
            json: flags.json,
            printed: AtomicBool::new(false),
            progress: progress && io::stderr().is_terminal(),
            color: match flags.color {
                // anstream asks the terminal and NO_COLOR.
                ColorWhen::Auto => ColorChoice::Auto,
                ColorWhen::Always => ColorChoice::AlwaysAnsi,
                ColorWhen::Never => ColorChoice::Never,
            },
            journal: systemd::is_journal(io::stderr(), journal),
            bar: Mutex::new(None),
        }
    }

    /// The view for reports on this stdout.
    pub fn view(&self, now: Timestamp, zone: TimeZone) -> View {
        let columns = rustix::termios::tcgetwinsize(io::stdout())
            .ok()
            .map(|size| usize::from(size.ws_col))
            .filter(|&columns| columns > 0);
        View { now, zone, columns }
    }

    /// A command's result: text, or one JSON document with `--json`.
    pub fn print<R: Report>(&self, report: &R, view: &View) -> io::Result<()> {
        self.printed.store(true, Ordering::Relaxed);
        if self.json {
            return self.print_json(report);
        }
        self.print_text(&report.text(view))
    }

    /// [`Console::print`] of a command that failed: the JSON document also has the
    /// fields that every error's has.
    pub fn print_failed<R: Report>(
        &self,
        report: &R,
        view: &View,
        exit_code: u8,
    ) -> io::Result<()> {
        if !self.json {
            return self.print(report, view);
        }
        self.printed.store(true, Ordering::Relaxed);
        let (error, hint) = report
            .failure()
            .map_or((None, None), |it| (Some(it.error), it.hint));
        self.print_json(&FailedReport {
            report,
            error,
            hint,
            exit_code,
        })
    }

    /// Whether the result is to be a JSON document.
    pub fn is_json(&self) -> bool {
        self.json
    }

    fn print_json(&self, document: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(document).map_err(io::Error::other)?;
        text.push('\n');
        self.print_text(&text)
    }

    /// stdout for a result of bytes. Refused on a terminal, which archives would
    /// only confuse.
    pub fn stdout(&self) -> io::Result<StdoutWriter> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(io::Error::other(
                "stdout is a terminal; send it to a file or a pipe",
            ));
        }
        self.printed.store(true, Ordering::Relaxed);
        Ok(StdoutWriter(stdout))
    }

    /// Text that is the result as it is, such as a completion script. A closed
    /// stdout is no failure: the work is done, and its exit code must count.
    pub fn print_text(&self, text: &str) -> io::Result<()> {
        let mut stdout = AutoStream::new(io::stdout(), self.color);
        let written = stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|e| io::Error::new(e.kind(), StdoutFailed(e))),
        }
    }

    /// The one error that ended the run, its causes, and what to do about it.
    /// With `--json` also as the document on stdout, unless a result is there.
    pub fn error(&self, error: &anyhow::Error, hint: Option<&str>, exit_code: u8) {
        let messages = messages(error);
        if self.json && !self.printed.load(Ordering::Relaxed) {
            let document = ErrorDocument {
                error: whole(error),
                hint,
                exit_code,
            };
            // Who has closed stdout is told on stderr.
            let _ = self.print_json(&document);
        }
        let mut text = String::new();
        for (index, message) in messages.iter().enumerate() {
            match index {
                0 => text = format!("{} {}\n", Style::Red.paint("error:"), behind(message)),
                _ => text.push_str(&format!("  because: {}\n", behind(message))),
            }
        }
        if let Some(hint) = hint {
            text.push_str(&format!(
                "{} {}\n",
                Style::Cyan.paint("hint:"),
                behind(hint)
            ));
        }
        self.print_at(Priority::Error, &text);
    }

    /// How it goes, unless `--quiet`: what is no result but worth a line.
    pub fn info(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            self.print_aside(&format!("{}\n", behind(text)));
        }
    }

    /// To stderr, and where systemd's journal listens there with its priority.
    pub(super) fn print_at(&self, priority: Priority, text: &str) {
        match self.journal {
            true => self.print_aside(&priority.before_each_line(text)),
            false => self.print_aside(text),
        }
    }

    /// To stderr, above the progress bar. Where even stderr fails, nobody is
    /// left to be told.
    pub(super) fn print_aside(&self, text: &str) {
        let write = || {
            let mut stderr = AutoStream::new(io::stderr(), self.color);
            let _ = stderr.write_all(text.as_bytes());
        };
        match self.bar().as_ref() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of whatever goes to stderr, tamed, and later ones indented: a newline
/// in a name cannot make a line that looks like one of ours.
fn behind(message: &str) -> String {
    lines(message).replace('\n', "\n  ")
}

/// A result, and what an error's document has.
#[derive(Serialize)]
struct FailedReport<'a, R> {
    #[serde(flatten)]
    report: &'a R,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    exit_code: u8,
}

/// What a run that failed prints with `--json`.
#[derive(Serialize)]
pub(super) struct ErrorDocument<'a> {
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'a str>,
    pub exit_code: u8,
}

/// The error and its causes. Many errors say their source themselves: then it is
/// not said again.
pub(super) fn messages(error: &anyhow::Error) -> Vec<String> {
    let mut messages: Vec<String> = vec![error.to_string()];
    for cause in error.chain().skip(1).map(<dyn StdError>::to_string) {
        if messages.last().is_none_or(|said| !said.contains(&cause)) {
            messages.push(cause);
        }
    }
    messages
}

/// The error and its causes in one line, for records and messages.
pub fn whole(error: &anyhow::Error) -> String {
    messages(error).join(": ")
}

impl Reporter for Console {
    fn phase(&self, what: &str, total_bytes: Option<u64>) {
        if self.verbosity >= Verbosity::Steps {
            let about = total_bytes.map_or_else(String::new, |total| format!(": {}", size(total)));
            self.print_aside(&format!("{}{about}\n", line(what)));
        }
        if !self.progress {
            return;
        }
        let bar = ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::stderr());
        let template = match total_bytes {
            Some(_) => WITH_TOTAL,
            None => WITHOUT_TOTAL,
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(with_our_units(style));
        }
        bar.set_message(shortened(&line(what)));
        bar.enable_steady_tick(TICK);
        if let Some(previous) = self.bar().replace(bar) {
            previous.finish_and_clear();
        }
    }

    fn advance(&self, bytes: u64) {
        if let Some(bar) = self.bar().as_ref() {
            bar.inc(bytes);
        }
    }

    fn phase_done(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    fn detail(&self, text: &str) {
        if self.verbosity >= Verbosity::Verbose {
            self.print_aside(&format!("{}\n", behind(text)));
        }
    }

    fn warn(&self, text: &str) {
        let warning = Style::Yellow.paint("warning:");
        self.print_at(Priority::Warning, &format!("{warning} {}\n", behind(text)));
    }
}

/// The numbers as every report shows them.
fn with_our_units(style: ProgressStyle) -> ProgressStyle {
    // Where writing into the line fails, there is nothing to draw on.
    let key = |text: fn(&ProgressState) -> String| {
        move |state: &ProgressState, line: &mut dyn fmt::Write| {
            let _ = line.write_str(&text(state));
        }
    };
    style
        .with_key("done", key(|state| size(state.pos())))
        .with_key("total", key(|state| size(state.len().unwrap_or_default())))
        .with_key(
            "speed",
            key(|state| format!("{}/s", size(state.per_sec() as u64))),
        )
        .with_key("left", key(left))
        .with_key("so_far", key(|state| seconds(state.elapsed())))
}

/// Of a restore the bytes are through long before the server has made the
/// indexes; then nobody knows how long it takes.
fn left(state: &ProgressState) -> String {
    match state.len() {
        Some(total) if state.pos() >= total => "finishing".to_owned(),
        _ => format!("{} left", seconds(state.eta())),
    }
}

/// A time without fractions, which only flicker.
fn seconds(time: Duration) -> String {
    match time.as_secs() {
        short @ 0..60 => format!("{short} s"),
        long => duration(Duration::from_secs(long)),
    }
}

fn shortened(message: &str) -> String {
    if message.chars().count() <= MESSAGE_COLUMNS {
        return message.to_owned();
    }
    let mut short: String = message.chars().take(MESSAGE_COLUMNS - 1).collect();
    short.push('…');
    short
}

/// stdout for bytes, such as a decrypted archive. That nobody reads any more is
/// an error here, so that the work stops, but a quiet one.
pub struct StdoutWriter(io::Stdout);

impl Write for StdoutWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(quiet_if_closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(quiet_if_closed)
    }
}

fn quiet_if_closed(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, StdoutClosed),
        _ => error,
    }
}
