//! One child from its birth to its reaping, with a thread of its own for its
//! stderr, so that a chatty child never blocks on a full pipe.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded, unbounded};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::{Failure, ProcessError, Tool, registry};

/// How much of a child's stderr is kept: its end, where the reason stands.
const STDERR_TAIL_BYTES: usize = 4096;
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
    tail: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Child {
    pub(super) fn spawn(tool: &Tool, stdin: Stdio, stdout: Stdio) -> Result<Self, ProcessError> {
        let mut command = tool.command();
        let stderr = match tool.stderr_is_ours {
            true => Stdio::inherit(),
            false => Stdio::piped(),
        };
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        command.process_group(0);
        let at_our_death = tool.ends_by.unwrap_or(Signal::KILL);
        let mut process = spawn_from_lasting_thread(command, at_our_death)
            .map_err(|error| not_started(tool, error))?;
        let stderr = process.stderr.take().map(drain);
        // A process id of 0 or below does not come from a successful spawn.
        let ticket = Pid::from_raw(process.id().cast_signed())
            .map(|leader| registry::enter(leader, tool.ends_by.unwrap_or(Signal::TERM)));
        Ok(Self {
            tool: tool.clone(),
            process,
            ticket,
            stderr,
        })
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
        let status = self.reap().map_err(|source| ProcessError::Pipe {
            program: self.tool.name(),
            source,
        })?;
        let stderr = self.stderr.take().map(|stderr| stderr.said(patience));
        if status.success() {
            return Ok(());
        }
        self.tell_cut_short();
        let text = String::from_utf8_lossy(&stderr.unwrap_or_default()).into_owned();
        Err(ProcessError::Failed(Failure {
            program: self.tool.name(),
            status,
            stderr: self.tool.masked(&text),
        }))
    }

    /// Whether it ended; its number stays ours until it is reaped.
    pub(super) fn has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let pid = Pid::from_raw(self.process.id().cast_signed());
        let running = |pid| matches!(waitid(WaitId::Pid(pid), look), Ok(None) | Err(Errno::INTR));
        self.ticket.is_none() || !pid.is_some_and(running)
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
    if source.kind() != io::ErrorKind::NotFound {
        return ProcessError::Start { program, source };
    }
    let remedy = tool.install.clone();
    ProcessError::Missing {
        program,
        remedy: remedy.unwrap_or_else(|| "install it or correct its path".to_owned()),
    }
}

/// Keeps the end of what the child says.
fn drain(mut stderr: ChildStderr) -> Stderr {
    let tail = Arc::new(Mutex::new(Vec::with_capacity(2 * STDERR_TAIL_BYTES)));
    let kept = Arc::clone(&tail);
    let reader = thread::spawn(move || {
        let mut piece = [0; STDERR_TAIL_BYTES];
        while let Ok(n @ 1..) = stderr.read(&mut piece) {
            let mut tail = kept.lock().unwrap_or_else(PoisonError::into_inner);
            tail.extend_from_slice(&piece[..n]);
            let surplus = tail.len().saturating_sub(STDERR_TAIL_BYTES);
            tail.drain(..surplus);
        }
    });
    Stderr { tail, reader }
}

impl Stderr {
    /// What was said, to its end or as far as it came in time.
    fn said(self, patience: Duration) -> Vec<u8> {
        if patience == Duration::MAX {
            // A reader that panicked has kept what it read.
            let _ = self.reader.join();
        } else {
            let begun = Instant::now();
            while !self.reader.is_finished() && begun.elapsed() < patience {
                thread::sleep(POLL_PAUSE);
            }
        }
        std::mem::take(&mut self.tail.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type SpawnRequest = (Command, Sender<io::Result<std::process::Child>>);

/// The kernel sends a parent's death signal when the *thread* that forked
/// ends, not its process. So all children come from one thread that never
/// ends: only our own death, `kill -9` included, takes them along.
fn spawn_from_lasting_thread(
    mut command: Command,
    at_our_death: Signal,
) -> io::Result<std::process::Child> {
    static SPAWNER: OnceLock<Sender<SpawnRequest>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = unbounded::<SpawnRequest>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                // A requester that is gone dropped its child; nothing to tell.
                let _ = answer.send(command.spawn());
            }
        });
        requests
    });
    die_with_parent(&mut command, at_our_death);
    let (answer, outcome) = bounded(1);
    let gone = |_| io::Error::other("the thread that starts programs has ended");
    spawner
        .send((command, answer))
        .map_err(|e| gone(e.to_string()))?;
    outcome.recv().map_err(|e| gone(e.to_string()))?
}

/// Makes the kernel signal the child when we die, however we die. A change of
/// user would take that back, so it is the last thing before the program: the
/// standard library changes the user before it runs `pre_exec`.
fn die_with_parent(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    let request = move || {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // We may have died between the fork and the request above; then no
        // signal will come, and the child has another parent already.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe work is allowed.
    // `request` makes two plain system calls; it allocates nothing, takes no
    // lock, and its errors are built without allocation.
    unsafe {
        command.pre_exec(request);
    }
}
