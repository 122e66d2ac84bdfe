//! Walls around a program that runs or reads what strangers wrote: a throwaway
//! server, whose dump may hold code; a `pg_restore`, whose archive names files.
//!
//! Inside, for good and for all that it starts: no program can be executed but
//! the one that it is, no address can be reached and no connection made, no file
//! seen but those that were named, nothing written but where it was named, no
//! signal sent outside, no right gained. Everything is prepared before the fork;
//! behind it there are system calls only.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, Scope, path_beneath_rules,
};
use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustix::process::{Gid, Resource, Rlimit, Uid, setrlimit};
use rustix::thread::{
    UnshareFlags, clear_ambient_capability_set, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};
use seccompiler::apply_filter;

use super::call_walls::call_walls;
use super::pid_namespace::OwnProcesses;
use super::{Tool, User};

/// The newest that we ask for; an older kernel does what it can.
const LANDLOCK: ABI = ABI::V6;
const NICE: i32 = 10;

/// What a program is held in.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Whom it runs as; only root may ask for this.
    pub user: Option<User>,
    /// What it finds as /etc/passwd; only root may ask for this.
    pub passwd: Option<PathBuf>,
    /// The files that it may reach; `None`: those that its user may.
    pub files: Option<ReachableFiles>,
    /// No other programs, no network, no other process' memory.
    pub calls: bool,
    /// What it starts ends with it.
    pub own_processes: bool,
    /// Others come first where memory, processors or disks are short.
    pub yields: bool,
    /// No file of its grows larger, in bytes.
    pub file_bytes_max: Option<u64>,
    /// Its user has no more processes than that. Not for users that others share.
    pub processes_max: Option<u64>,
}

/// Directories and files. What is not there is passed over.
#[derive(Clone, Debug, Default)]
pub struct ReachableFiles {
    pub readable: Vec<PathBuf>,
    pub writable: Vec<PathBuf>,
}

impl Tool {
    /// Runs it within walls. An error at its start tells that one of them cannot
    /// be had here.
    #[must_use]
    pub fn confined(mut self, confinement: Confinement) -> Self {
        self.confinement = Some(confinement);
        self
    }
}

/// Whether the kernel can keep a program to the files that were named.
pub fn knows_file_walls() -> bool {
    let asked = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Execute);
    asked.is_ok_and(|asked| asked.create().is_ok())
}

impl Confinement {
    /// What is to be done in the child before the program begins.
    pub(super) fn prepare(
        &self,
        command: &Command,
    ) -> io::Result<impl FnMut() -> io::Result<()> + Send + Sync + 'static> {
        let user = self.user;
        let passwd = self.passwd.as_deref().map(c_path).transpose()?;
        let mut files = self.files.as_ref().map(file_walls).transpose()?;
        let calls = match self.calls {
            true => Some(call_walls(command)?),
            false => None,
        };
        let own_processes = match self.own_processes {
            true => Some(OwnProcesses::prepare()?),
            false => None,
        };
        let limits = self.limits();
        let yields = self.yields;
        Ok(move || {
            if user.is_some() {
                leave_namespaces(passwd.as_deref())?;
            }
            if let Some(own_processes) = &own_processes {
                own_processes.ask()?;
            }
            for (resource, limit) in limits.into_iter().flatten() {
                setrlimit(resource, limit)?;
            }
            if yields {
                // The first that goes where memory is short.
                let _ = first_to_be_killed();
                // And the last that runs, or reads and writes, where others want to.
                let _ = rustix::process::nice(NICE);
            }
            let _ = clear_ambient_capability_set();
            if let Some(user) = user {
                become_user(user)?;
            }
            set_no_new_privs(true)?;
            if let Some(files) = files.take() {
                let walled = files.restrict_self();
                walled.map_err(|_| io::Error::from(io::ErrorKind::PermissionDenied))?;
            }
            for filter in calls.iter().flatten() {
                let walled = apply_filter(filter);
                walled.map_err(|_| io::Error::from(io::ErrorKind::Unsupported))?;
            }
            Ok(())
        })
    }

    fn limits(&self) -> [Option<(Resource, Rlimit)>; 3] {
        let at_most = |resource, number| {
            let limit = Rlimit {
                current: Some(number),
                maximum: Some(number),
            };
            (resource, limit)
        };
        [
            Some(at_most(Resource::Core, 0)),
            self.file_bytes_max.map(|it| at_most(Resource::Fsize, it)),
            self.processes_max.map(|it| at_most(Resource::Nproc, it)),
        ]
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// A network with nobody in it, and shared memory of its own. Where even root may
/// not have that, the calls' walls hold alone.
fn leave_namespaces(passwd: Option<&std::ffi::CStr>) -> io::Result<()> {
    // SAFETY: the child of a fork has one thread, and shares nothing by then.
    let _ = unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWIPC) };
    let Some(passwd) = passwd else {
        return Ok(());
    };
    // SAFETY: as above.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change(c"/", private)?;
    Ok(mount_bind(passwd, c"/etc/passwd")?)
}

fn first_to_be_killed() -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let score = open(c"/proc/self/oom_score_adj", flags, Mode::empty())?;
    rustix::io::write(&score, b"1000")?;
    Ok(())
}

/// Without any of our groups. Leaving uid 0 takes every capability along.
fn become_user(user: User) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    Ok(())
}

/// Landlock: what is not named cannot be opened, and no process outside can be
/// signalled or reached by an abstract socket.
fn file_walls(files: &ReachableFiles) -> io::Result<RulesetCreated> {
    let made = || {
        let read = AccessFs::from_read(LANDLOCK);
        let write = AccessFs::from_all(LANDLOCK) & !AccessFs::Execute;
        Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .add_rules(path_beneath_rules(&files.readable, read))?
            .add_rules(path_beneath_rules(&files.writable, write))
    };
    made().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::run_captured;

    fn walled(script: &str, writable: &Path) -> Result<String, String> {
        let readable = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache"];
        let confinement = Confinement {
            files: knows_file_walls().then(|| ReachableFiles {
                readable: readable.map(PathBuf::from).to_vec(),
                writable: vec![writable.to_owned()],
            }),
            calls: true,
            file_bytes_max: Some(4096),
            ..Confinement::default()
        };
        let tool = Tool::new("/bin/sh").args(["-c", script]);
        let output = run_captured(&tool.confined(confinement), b"");
        output
            .map(|said| String::from_utf8_lossy(&said).into_owned())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_program_itself_runs_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(walled("echo here", directory.path()).unwrap(), "here\n");
        let mark = directory.path().join("mark");
        let script = format!(
            "/usr/bin/touch {0}; exec /usr/bin/touch {0}",
            mark.display()
        );
        assert!(walled(&script, directory.path()).is_err());
        assert!(!mark.exists());
    }

    #[test]
    fn files_are_written_where_that_was_named_and_not_too_large() {
        if !knows_file_walls() {
            eprintln!("skipped: no Landlock here");
            return;
        }
        let [inside, outside] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let write = |directory: &tempfile::TempDir| {
            let script = format!("echo x > {}/file", directory.path().display());
            walled(&script, inside.path())
        };
        assert!(write(&inside).is_ok());
        assert!(write(&outside).is_err());
        assert!(walled("read -r line < /etc/hostname", inside.path()).is_err());
    }
}
