//! Hears SIGINT and SIGTERM, on a thread of its own. The first one asks the run
//! to stop, ends the children and lets the run tidy up; the second ends the
//! process at once. Nothing else in kluis handles signals.

use std::{io, process, thread};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cancel::Cancel;

/// Starts listening. `end_children` runs once, after the request to stop is
/// set, so that a child's death is understood as ours.
pub fn listen(cancel: Cancel, end_children: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut end_children = Some(end_children);
            for signal in signals.forever() {
                cancel.request(signal);
                match end_children.take() {
                    // Apart from this thread: it may wait for the children, and
                    // the second signal must be heard meanwhile.
                    Some(end_children) => drop(thread::spawn(end_children)),
                    None => process::exit(128 + signal),
                }
            }
        })?;
    Ok(())
}
