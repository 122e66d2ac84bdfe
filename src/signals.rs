//! Hears SIGINT, SIGTERM and SIGHUP (unless nohup had it ignored), on a thread of
//! its own. The first one asks the run to stop, ends the children and lets the run
//! tidy up; the second ends the process at once. `kluis serve` hears them by
//! [`tell`] instead. Nothing else in kluis handles signals.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{fs, io, process, thread};

use rustix::process::getppid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::cancel::{Cancel, LIMIT};

/// A process with many threads is dead by then.
const REPEATED: Duration = Duration::from_secs(5);

/// A stall is seen so much later than it is one, at most: a part of its limit.
const LOOKS: u32 = 20;
const LOOK_MAX: Duration = Duration::from_secs(5);

/// A write beyond the largest size that a file may have here (RLIMIT_FSIZE) becomes an
/// error: the signal would end the process in the middle of it, without a word.
pub fn outlive_size_limit() -> io::Result<()> {
    let heard = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGXFSZ, heard).map(|_| ())
}

/// Starts listening. `end_children` runs once, after the request to stop is
/// set, so that a child's death is understood as ours; `tell` hears what an end at
/// once leaves.
pub fn listen(
    cancel: Cancel,
    end_children: impl FnOnce() + Send + 'static,
    tell: fn(&str),
) -> io::Result<()> {
    // Apart from the thread that hears: it may wait for the children, and the second
    // signal must be heard meanwhile. Made now, while a thread can be had.
    let (first_signal, heard) = mpsc::channel::<()>();
    spawn("end_children", move || {
        if heard.recv().is_ok() {
            end_children();
        }
    })?;
    let mut first_signal = Some(first_signal);
    let (parent, mut first) = (getppid(), Instant::now());
    hear(move |signal| {
        cancel.request(signal);
        match first_signal.take() {
            Some(first_signal) => {
                first = Instant::now();
                // It waits for this alone.
                let _ = first_signal.send(());
            }
            // The kernel tells of a parent's death once for each of its threads: that
            // is nobody who asks again.
            None if signal == SIGTERM && getppid() != parent && first.elapsed() < REPEATED => {}
            None => {
                if let Some(left) = cancel.left_behind() {
                    tell(&left);
                }
                process::exit(128 + signal)
            }
        }
    })
}

/// Stops the run after `limit` as a signal would, by the one that alarms have; zero
/// is never. Nothing else sends it.
pub fn stop_after(
    limit: Duration,
    cancel: Cancel,
    end_children: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    if limit.is_zero() {
        return Ok(());
    }
    spawn("run_limit", move || {
        thread::sleep(limit);
        cancel.request(LIMIT);
        end_children();
    })
}

/// Stops each pass of bytes that stands still for `limit`, and nothing else of the
/// run; zero is never. `end_children` gets the first of the pass.
pub fn stop_stalled(
    limit: Duration,
    cancel: Cancel,
    end_children: impl Fn(u64) + Send + 'static,
) -> io::Result<()> {
    if limit.is_zero() {
        return Ok(());
    }
    spawn("stall_limit", move || {
        let mut seen = (cancel.pulse(), Instant::now());
        loop {
            thread::sleep((limit / LOOKS).min(LOOK_MAX));
            match cancel.pulse() {
                pulse if seen.0 != pulse => seen = (pulse, Instant::now()),
                Some(pulse) if seen.1.elapsed() >= limit => {
                    cancel.stall(pulse).map(&end_children);
                    // What tidies up behind it has as long again.
                    seen.1 = Instant::now();
                }
                _ => {}
            }
        }
    })
}

/// What a process that runs for years is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// SIGHUP: read the configuration anew.
    Reload,
    /// SIGINT or SIGTERM.
    Stop(i32),
}

/// Starts listening, for a process that decides itself what a signal means. The
/// second request to stop ends the process at once; its children end with it.
pub fn tell(cancel: Cancel, to: impl Fn(Heard) + Send + 'static) -> io::Result<()> {
    hear(move |signal| match (signal, cancel.requested()) {
        (SIGHUP, _) => to(Heard::Reload),
        (_, Some(_)) => process::exit(128 + signal),
        (_, None) => {
            cancel.request(signal);
            to(Heard::Stop(signal));
        }
    })
}

/// Calls `each` for every signal, on the thread that hears them.
fn hear(mut each: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    if !is_ignored(SIGHUP) {
        signals.handle().add_signal(SIGHUP)?;
    }
    spawn("signals", move || signals.forever().for_each(&mut each))
}

/// A run that nobody could stop does not begin.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    let spawned = thread.spawn(work).map(drop);
    spawned.map_err(|error| {
        let what = format!("there is no thread to hear signals by: {error}");
        io::Error::new(error.kind(), format!("{what}; see ulimit -u and TasksMax"))
    })
}

/// As it was when we started: bit n-1 of proc(5)'s `SigIgn` is signal n.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
