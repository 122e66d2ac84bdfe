//! Tells the service manager how a service stands: datagrams of `NAME=value`
//! lines to the socket that it named, see sd_notify(3). Where there is none,
//! nothing is told. A manager that does not listen stops nobody.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Where the manager listens, and how often it wants to hear from us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manager {
    /// A path, or `@` and a name in the abstract namespace.
    pub socket: Option<OsString>,
    /// After so much silence it takes us for dead.
    pub watchdog: Option<Duration>,
}

impl Manager {
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", one_line(status)));
    }

    /// [`Manager::ready`] follows when it is done.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000) + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// We are alive.
    pub fn alive(&self) {
        if self.watchdog.is_some() {
            self.tell("WATCHDOG=1");
        }
    }

    /// How long we may be busy with something else before [`Manager::alive`].
    pub fn pause_max(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }

    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // The manager may be gone, or may never have listened: its loss.
            let _ = send(socket, text);
        }
    }
}

/// How much a line for the journal matters: the levels of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    Error = 3,
    Warning = 4,
}

impl Priority {
    /// As sd-daemon(3) has it: each line begins with `<3>`. The journal takes it off.
    pub fn before_each_line(self, text: &str) -> String {
        let level = self as u8;
        let lines = text.split_inclusive('\n');
        lines.map(|line| format!("<{level}>{line}")).collect()
    }
}

/// Whether the journal reads what is written to `file`. `stream`: the manager's
/// JOURNAL_STREAM, which names device and inode, see systemd.exec(5).
pub fn is_journal(file: impl AsFd, stream: Option<&str>) -> bool {
    let named = stream.and_then(|it| it.split_once(':'));
    let Some((Ok(device), Ok(inode))) = named.map(|(a, b)| (a.parse::<u64>(), b.parse::<u64>()))
    else {
        return false;
    };
    rustix::fs::fstat(file).is_ok_and(|it| (it.st_dev, it.st_ino) == (device, inode))
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let datagrams = UnixDatagram::unbound()?;
    datagrams.set_nonblocking(true)?;
    datagrams.send_to_addr(text.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram) -> String {
        let mut bytes = [0; 4096];
        let n = listener.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    }

    #[test]
    fn a_line_for_the_journal_has_its_priority_and_others_have_none() {
        let text = Priority::Warning.before_each_line("warning: a\n  b\n");
        assert_eq!(text, "<4>warning: a\n<4>  b\n");
        let file = tempfile::tempfile().unwrap();
        let stat = rustix::fs::fstat(&file).unwrap();
        let stream = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_journal(&file, Some(&stream)));
        for other in [None, Some("1:2"), Some("x"), Some("")] {
            assert!(!is_journal(&file, other), "{other:?}");
        }
    }

    #[test]
    fn the_manager_hears_each_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let manager = Manager {
            socket: Some(path.into()),
            watchdog: Some(Duration::from_secs(30)),
        };
        manager.ready("waits\nfor nightly");
        assert_eq!(heard(&listener), "READY=1\nSTATUS=waits for nightly");
        manager.alive();
        assert_eq!(heard(&listener), "WATCHDOG=1");
        manager.reloading();
        let said = heard(&listener);
        let micros = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(micros.parse::<u64>().unwrap() > 0);
        manager.stopping("");
        assert_eq!(heard(&listener), "STOPPING=1\nSTATUS=");
        assert_eq!(manager.pause_max(), Some(Duration::from_secs(15)));
    }

    #[test]
    fn an_abstract_socket_is_reached() {
        let name = format!("kluis-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        let manager = Manager {
            socket: Some(format!("@{name}").into()),
            watchdog: None,
        };
        // Without a watchdog it is not bothered.
        manager.alive();
        manager.status("x");
        assert_eq!(heard(&listener), "STATUS=x");
    }

    #[test]
    fn a_manager_that_is_not_there_stops_nobody() {
        Manager::default().ready("x");
        let gone = Manager {
            socket: Some("/nonexistent/notify".into()),
            watchdog: None,
        };
        gone.ready("x");
    }
}
