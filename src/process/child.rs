//! One child from its birth to its reaping, with a thread of its own for its
//! stderr, so that a chatty child never blocks on a full pipe.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded, unbounded};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::{Failure, ProcessError, Tool, pid_namespace, registry};

/// How much of a child's stderr is kept of its end, where the reason of a failure
/// stands.
const STDERR_TAIL_BYTES: usize = 4096;
/// And of its beginning, which holds all that one says which does not fail.
const STDERR_HEAD_BYTES: usize = 64 << 10;
/// How long a child has to end by the signal that it asked for.
const ORDERLY_END_MAX: Duration = Duration::from_secs(10);
const POLL_PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Child {
    tool: Tool,
    process: std::process::Child,
    /// Its entry in the registry; `None` once it is reaped.
    ticket: Option<u64>,
    stderr: Option<Stderr>,
}

/// What a child says on stderr, read by a thread of its own.
struct Stderr {
    kept: Arc<Mutex<Kept>>,
    reader: JoinHandle<()>,
}

/// Beginning and end of it.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Some of it, between the two, is not.
    is_cut: bool,
}

impl Kept {
    fn add(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        let kept_max = STDERR_HEAD_BYTES + STDERR_TAIL_BYTES;
        if let Some(surplus @ 1..) = self.bytes.len().checked_sub(kept_max) {
            self.is_cut = true;
            self.bytes
                .drain(STDERR_HEAD_BYTES..STDERR_HEAD_BYTES + surplus);
        }
    }

    fn end(&self) -> &[u8] {
        let surplus = self.bytes.len().saturating_sub(STDERR_TAIL_BYTES);
        &self.bytes[surplus..]
    }
}

/// What a child that ended with 0 said on stderr, secrets masked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its beginning and its end.
    pub text: String,
    /// It said more, between the two.
    pub is_cut: bool,
}

impl Child {
    pub(super) fn spawn(tool: &Tool, stdin: Stdio, stdout: Stdio) -> Result<Self, ProcessError> {
        let mut command = tool.command()?;
        let stderr = match tool.stderr_is_ours {
            true => Stdio::inherit(),
            false => Stdio::piped(),
        };
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        if let Some(confinement) = &tool.confinement {
            let walls = confinement.prepare(&command);
            before_the_program(
                &mut command,
                walls.map_err(|error| not_started(tool, error))?,
            );
        }
        let confinement = tool.confinement.as_ref();
        let has_namespace = confinement.is_some_and(|it| it.own_processes);
        let at_our_death = tool.ends_by.unwrap_or(Signal::KILL);
        die_with_parent(&mut command, at_our_death, has_namespace);
        if has_namespace {
            let ours = rustix::process::getpid();
            before_the_program(&mut command, move || pid_namespace::enter(ours));
        }
        let was_stopping = registry::is_stopping();
        let mut process =
            spawn_from_lasting_thread(command).map_err(|error| not_started(tool, error))?;
        let stderr = process.stderr.take();
        // A process id of 0 or below does not come from a successful spawn.
        let ticket = Pid::from_raw(process.id().cast_signed()).map(|leader| {
            let ends_by = tool.ends_by.unwrap_or(Signal::TERM);
            registry::enter(leader, ends_by, was_stopping)
        });
        let mut child = Self {
            tool: tool.clone(),
            process,
            ticket,
            stderr: None,
        };
        // Without a thread for it the child ends here.
        let drained = stderr.map(drain).transpose();
        child.stderr = drained.map_err(|error| not_started(tool, error))?;
        Ok(child)
    }

    pub(super) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.process.stdin.take()
    }

    pub(super) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    pub(super) fn tool(&self) -> &Tool {
        &self.tool
    }

    /// Waits for the end. Its pipes should be closed or drained by now.
    pub(super) fn finish(&mut self) -> Result<(), ProcessError> {
        self.finish_within(Duration::MAX)
    }

    /// The same of a child that may have left a program behind which holds its
    /// stderr: that one is waited for so long and no longer.
    pub(super) fn finish_within(&mut self, patience: Duration) -> Result<(), ProcessError> {
        self.finish_telling(patience).map(drop)
    }

    /// The same; gives what it said on stderr.
    pub(super) fn finish_telling(&mut self, patience: Duration) -> Result<Said, ProcessError> {
        let status = self.reap().map_err(|source| ProcessError::Pipe {
            program: self.tool.name(),
            source,
        })?;
        let stderr = self.stderr.take().map(|stderr| stderr.said(patience));
        let kept = stderr.unwrap_or_default();
        let masked = |bytes| self.tool.masked(&String::from_utf8_lossy(bytes));
        if status.success() {
            return Ok(Said {
                text: masked(&kept.bytes),
                is_cut: kept.is_cut,
            });
        }
        let stderr = masked(kept.end());
        self.tell_cut_short();
        Err(ProcessError::Failed(Failure {
            program: self.tool.name(),
            status,
            stderr,
        }))
    }

    /// Whether it ended; its number stays ours until it is reaped.
    pub(super) fn has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let pid = Pid::from_raw(self.process.id().cast_signed());
        let running = |pid| matches!(waitid(WaitId::Pid(pid), look), Ok(None) | Err(Errno::INTR));
        self.ticket.is_none() || !pid.is_some_and(running)
    }

    /// Kills it and what it has started, from any thread; what was reaped is left.
    pub(super) fn killer(&self) -> impl FnOnce() + Send + use<> {
        self.signaller(Signal::KILL)
    }

    /// The same by the signal that it asked for.
    pub(super) fn stopper(&self) -> impl FnOnce() + Send + use<> {
        self.signaller(self.tool.ends_by.unwrap_or(Signal::TERM))
    }

    fn signaller(&self, signal: Signal) -> impl FnOnce() + Send + use<> {
        let ticket = self.ticket;
        move || {
            if let Some(ticket) = ticket {
                registry::signal(ticket, signal);
            }
        }
    }

    /// Asks it to end by itself, and waits for that.
    fn end_in_order(&self, ticket: u64, signal: Signal) {
        registry::signal(ticket, signal);
        let patience = Instant::now();
        while !self.has_ended() && patience.elapsed() < ORDERLY_END_MAX {
            thread::sleep(POLL_PAUSE);
        }
    }

    fn tell_cut_short(&self) {
        if let Some(act) = &self.tool.when_cut_short {
            act();
        }
    }

    /// First sees the end without reaping, so that the number of the group is
    /// still ours; ends whatever the child left behind in it; reaps then.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        let Some(ticket) = self.ticket.take() else {
            return self.process.wait();
        };
        if let Some(pid) = Pid::from_raw(self.process.id().cast_signed()) {
            let seen_not_reaped = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(Errno::INTR) = waitid(WaitId::Pid(pid), seen_not_reaped) {}
        }
        registry::signal(ticket, Signal::KILL);
        registry::leave(ticket, || self.process.wait())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            if let Some(signal) = self.tool.ends_by {
                self.end_in_order(ticket, signal);
            }
            registry::signal(ticket, Signal::KILL);
            // Killed: it cannot fail to end, and nobody asks how.
            let _ = self.reap();
            self.tell_cut_short();
        }
    }
}

fn not_started(tool: &Tool, source: io::Error) -> ProcessError {
    let program = tool.started().to_string_lossy().into_owned();
    match source.kind() {
        io::ErrorKind::NotFound => tool.missing(),
        _ => ProcessError::Start { program, source },
    }
}

/// Keeps beginning and end of what the child says.
fn drain(mut stderr: ChildStderr) -> io::Result<Stderr> {
    let kept = Arc::new(Mutex::new(Kept::default()));
    let keeps = Arc::clone(&kept);
    let read = move || {
        let mut piece = [0; STDERR_TAIL_BYTES];
        while let Ok(n @ 1..) = stderr.read(&mut piece) {
            let mut kept = keeps.lock().unwrap_or_else(PoisonError::into_inner);
            kept.add(&piece[..n]);
        }
    };
    let reader = thread::Builder::new()
        .name("stderr".to_owned())
        .spawn(read)?;
    Ok(Stderr { kept, reader })
}

impl Stderr {
    /// What was said, to its end or as far as it came in time.
    fn said(self, patience: Duration) -> Kept {
        if patience == Duration::MAX {
            // A reader that panicked has kept what it read.
            let _ = self.reader.join();
        } else {
            let begun = Instant::now();
            while !self.reader.is_finished() && begun.elapsed() < patience {
                thread::sleep(POLL_PAUSE);
            }
        }
        std::mem::take(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type SpawnRequest = (Command, Sender<io::Result<std::process::Child>>);

/// The kernel sends a parent's death signal when the *thread* that forked
/// ends, not its process. So all children come from one thread that never
/// ends: only our own death, `kill -9` included, takes them along.
fn spawn_from_lasting_thread(command: Command) -> io::Result<std::process::Child> {
    static SPAWNER: Mutex<Option<Sender<SpawnRequest>>> = Mutex::new(None);
    let mut lasting = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    let spawner = match lasting.clone() {
        Some(spawner) => spawner,
        None => lasting.insert(lasting_thread()?).clone(),
    };
    drop(lasting);
    let (answer, outcome) = bounded(1);
    let gone = |_| io::Error::other("the thread that starts programs has ended");
    spawner
        .send((command, answer))
        .map_err(|e| gone(e.to_string()))?;
    outcome.recv().map_err(|e| gone(e.to_string()))?
}

fn lasting_thread() -> io::Result<Sender<SpawnRequest>> {
    let (requests, inbox) = unbounded::<SpawnRequest>();
    let thread = thread::Builder::new().name("programs".to_owned());
    thread.spawn(move || {
        for (mut command, answer) in inbox {
            // A requester that is gone dropped its child; nothing to tell.
            let _ = answer.send(command.spawn());
        }
    })?;
    Ok(requests)
}

/// Gives the child a group of its own, takes the terminal from it, and makes the kernel
/// signal it when we die, however we die. A change of user would take that back, so it
/// comes behind the walls: the standard library changes the user before it runs
/// `pre_exec`.
///
/// With a namespace of processes the child gets the group alone: the process that stays
/// outside leaves that group again.
fn die_with_parent(command: &mut Command, signal: Signal, has_namespace: bool) {
    let parent = rustix::process::getpid();
    let request = move || {
        let has_left = leaves_terminal()?;
        match has_namespace || has_left {
            true => rustix::process::setpgid(None, None)?,
            // Its leader is that of a group too.
            false => rustix::process::setsid().map(drop)?,
        }
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // We may have died between the fork and the request above; then no
        // signal will come, and the child has another parent already.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    before_the_program(command, request);
}

/// None may ask on the terminal for a password. A session of its own would do that too,
/// and Linux gives each session the same share of the processors: a dump then runs
/// before what compresses it, in small drops, and takes 6% longer.
///
/// `false`: whether there is a terminal is not known, so only that session is left.
fn leaves_terminal() -> io::Result<bool> {
    let access = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = match rustix::fs::open(c"/dev/tty", access, Mode::empty()) {
        Ok(terminal) => terminal,
        Err(Errno::NXIO) => return Ok(true),
        Err(_) => return Ok(false),
    };
    // SAFETY: the call has no argument, and the descriptor is open.
    match unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCNOTTY) } {
        0 => Ok(true),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs `act` in the child, behind the fork. It must make system calls only:
/// allocate nothing, take no lock, build its errors without allocation.
fn before_the_program(
    command: &mut Command,
    act: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: between fork and exec only async-signal-safe work is allowed. All
    // that come here keep to it: the group's, terminal's and death signal's calls, the
    // walls, which are made before the fork, and the calls that enter a namespace.
    unsafe {
        command.pre_exec(act);
    }
}
