//! Hears SIGINT, SIGTERM and SIGHUP (unless nohup had it ignored), on a thread of
//! its own. The first one asks the run to stop, ends the children and lets the run
//! tidy up; the second ends the process at once. `kluis serve` hears them by
//! [`tell`] instead. Nothing else in kluis handles signals.

use std::{fs, io, process, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cancel::Cancel;

/// Starts listening. `end_children` runs once, after the request to stop is
/// set, so that a child's death is understood as ours.
pub fn listen(cancel: Cancel, end_children: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut end_children = Some(end_children);
    hear(move |signal| {
        cancel.request(signal);
        match end_children.take() {
            // Apart from this thread: it may wait for the children, and the
            // second signal must be heard meanwhile.
            Some(end_children) => drop(thread::spawn(end_children)),
            None => process::exit(128 + signal),
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
    let thread = thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || signals.forever().for_each(&mut each))?;
    Ok(())
}

/// As it was when we started: bit n-1 of proc(5)'s `SigIgn` is signal n.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
