//! Processes of a program's own: what it starts, and what that starts, ends with
//! it, whatever it does against that. A PID namespace (pid_namespaces(7)).
//!
//! The program is the first process in there. Nobody inside can kill or stop that
//! one, and when it ends, the kernel kills everybody inside. A process of ours
//! stays in its place outside: it is what we have as our child, and it ends when
//! the last one inside is gone.
//! Invariant: all of it dies with us. We die, the one outside is killed, and with
//! it the first one inside.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions, getpgid, getppid, set_dumpable_behavior,
    set_parent_process_death_signal, setpgid, waitid,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Prepared before the fork, because nothing may be allocated behind it.
pub(super) struct OwnProcesses {
    /// What a plain user writes to be himself in a namespace of his own.
    maps: Option<[String; 2]>,
}

impl OwnProcesses {
    /// An error where the kernel is too old (5.9) for the one that stays outside.
    pub(super) fn prepare() -> io::Result<Self> {
        close_range(u32::MAX, u32::MAX)?;
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let map = |id: u32| format!("{id} {id} 1");
        let maps = (!uid.is_root()).then(|| [map(uid.as_raw()), map(gid.as_raw())]);
        Ok(Self { maps })
    }

    /// From here on children begin a namespace. Needs the rights of root, or those
    /// of a plain user in a user namespace, who gets an empty network as well.
    pub(super) fn ask(&self) -> io::Result<()> {
        let Some([uid_map, gid_map]) = &self.maps else {
            // SAFETY: the child of a fork has one thread, and shares nothing by then.
            return Ok(unsafe { unshare_unsafe(UnshareFlags::NEWPID) }?);
        };
        let all = UnshareFlags::NEWUSER
            | UnshareFlags::NEWPID
            | UnshareFlags::NEWNET
            | UnshareFlags::NEWIPC;
        // SAFETY: as above.
        unsafe { unshare_unsafe(all) }?;
        // The files are root's as long as nobody may look into us.
        set_dumpable_behavior(DumpableBehavior::Dumpable)?;
        let written = write(c"/proc/self/setgroups", "deny")
            .and_then(|()| write(c"/proc/self/uid_map", uid_map))
            .and_then(|()| write(c"/proc/self/gid_map", gid_map));
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        written
    }
}

/// Comes back inside, as the first one there; `ours` is who started us. The last
/// thing before the program: the one outside keeps the walls that were made.
pub(super) fn enter(ours: Pid) -> io::Result<()> {
    let (alive, life) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // A handler of ours would write into pipes that we share with our parent.
    set_signal_mask(libc::SIG_BLOCK)?;
    // SAFETY: without flags it is a fork; each of the two goes on with system
    // calls only, as behind the first fork.
    let first = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    match i32::try_from(first).ok().filter(|it| *it >= 0) {
        None => Err(io::Error::last_os_error()),
        Some(first) => match Pid::from_raw(first) {
            Some(first) => end(stay_outside(first, ours, &life)),
            None => begin_inside(&alive, life),
        },
    }
}

/// Nobody has a parent here whom it could ask for: whether the one outside lived
/// when its death began to be told is seen by the pipe that it holds.
fn begin_inside(alive: &OwnedFd, life: OwnedFd) -> io::Result<()> {
    drop(life);
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::io::read(alive, &mut [0; 1]) != Err(Errno::AGAIN) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    set_signal_mask(libc::SIG_UNBLOCK)
}

/// Holds nothing that anybody waits for, and is not in the group that is signalled:
/// who is killed there is the first one, and the last one ends it. Gives the exit
/// status as a shell does.
fn stay_outside(first: Pid, ours: Pid, life: &OwnedFd) -> Result<i32, Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(ours) {
        return Err(Errno::PIPE);
    }
    // Our memory is in it still.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let life = life.as_raw_fd().unsigned_abs();
    if let Some(below) = life.checked_sub(1) {
        close_range(0, below).map_err(|_| Errno::BADF)?;
    }
    close_range(life + 1, u32::MAX).map_err(|_| Errno::BADF)?;
    setpgid(None, Some(getpgid(Some(ours))?))?;
    loop {
        match waitid(WaitId::Pid(first), WaitIdOptions::EXITED) {
            Ok(Some(status)) => {
                let signal = status.terminating_signal().map(|signal| 128 + signal);
                return Ok(status.exit_status().or(signal).unwrap_or(1));
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Its own end is that of all inside, if there are any left.
fn end(status: Result<i32, Errno>) -> ! {
    // SAFETY: ends this process, and runs nothing of ours before.
    unsafe { libc::_exit(status.unwrap_or(126)) }
}

fn set_signal_mask(how: libc::c_int) -> io::Result<()> {
    // SAFETY: a set of signals is plain data, filled before it is read.
    let failed = unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(how, &raw const all, std::ptr::null_mut())
    };
    match failed {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: called where nothing uses these descriptors any more, or with numbers
    // that none has.
    match unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn write(file: &std::ffi::CStr, text: &str) -> io::Result<()> {
    let file = open(file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}
