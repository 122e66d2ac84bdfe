//! The children that live now, for whoever hears the signal to stop.
//!
//! Invariant: an entry's process id is not yet reaped, so a signal sent under
//! the lock never hits a stranger that got the number later.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

/// How long children have to end by themselves before they are killed.
pub const GRACE: Duration = Duration::from_secs(5);

static LIVING: Mutex<Living> = Mutex::new(Living {
    next: 0,
    leaders: BTreeMap::new(),
});
static ENDED: Condvar = Condvar::new();
static STOPPING: AtomicBool = AtomicBool::new(false);

/// Leaders of process groups by a number that is never used twice, each with
/// the signal that asks it to end.
struct Living {
    next: u64,
    leaders: BTreeMap<u64, (Pid, Signal)>,
}

fn living() -> MutexGuard<'static, Living> {
    // The map is whole between any two statements, so a panic elsewhere
    // leaves nothing to distrust.
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `was_stopping`: what [`is_stopping`] said before the child was started. Where that
/// has changed, the child was not among those that were asked to end, and is asked now.
pub(super) fn enter(leader: Pid, ends_by: Signal, was_stopping: bool) -> u64 {
    let mut living = living();
    let ticket = living.next;
    living.next += 1;
    living.leaders.insert(ticket, (leader, ends_by));
    if is_stopping() && !was_stopping {
        let _ = kill_process_group(leader, ends_by);
    }
    ticket
}

/// Forgets a child. `reap` runs under the lock: only there may the process id
/// become free.
pub(super) fn leave<T>(ticket: u64, reap: impl FnOnce() -> T) -> T {
    let mut living = living();
    let reaped = reap();
    living.leaders.remove(&ticket);
    ENDED.notify_all();
    reaped
}

/// Signals one child's group, if the child is still ours to signal.
pub(super) fn signal(ticket: u64, signal: Signal) {
    if let Some((leader, _)) = living().leaders.get(&ticket) {
        // ESRCH: the group is gone already, which is what was wanted.
        let _ = kill_process_group(*leader, signal);
    }
}

/// Whether every child was asked to end: who waits for something waits no longer.
pub fn is_stopping() -> bool {
    STOPPING.load(Ordering::Relaxed)
}

/// Asks every living child to end (SIGTERM to its group, or what its tool ends
/// by), and kills those that are still there after `grace`. Children spawned meanwhile, such as the
/// `psql` that cleans up, are left alone. Callable from any thread; not from
/// within a signal handler, because it takes a lock.
pub fn terminate_all(grace: Duration) {
    STOPPING.store(true, Ordering::Relaxed);
    terminate_from(0, grace);
}

/// The number of the next child.
pub fn next_child() -> u64 {
    living().next
}

/// [`terminate_all`] of the child of that number and those behind it.
pub fn terminate_from(first: u64, grace: Duration) {
    let mut living = living();
    let asked: Vec<u64> = living.leaders.range(first..).map(|(t, _)| *t).collect();
    for (leader, ends_by) in living.leaders.range(first..).map(|(_, child)| child) {
        let _ = kill_process_group(*leader, *ends_by);
    }
    let mine = |living: &mut Living| asked.iter().any(|t| living.leaders.contains_key(t));
    living = ENDED
        .wait_timeout_while(living, grace, mine)
        .unwrap_or_else(PoisonError::into_inner)
        .0;
    for (leader, _) in asked.iter().filter_map(|t| living.leaders.get(t)) {
        let _ = kill_process_group(*leader, Signal::KILL);
    }
}
