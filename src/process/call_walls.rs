//! Which system calls are refused within walls: what starts a program, what leads
//! to a network or to another process, and what a server has no use for.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// On x86-64 each call has a second number, in the x32 way.
const X32: i64 = 0x4000_0000;
/// The x32 numbers of execve and execveat.
const X32_EXEC: [i64; 2] = [X32 + 520, X32 + 545];
/// Those of ptrace, process_vm_readv and process_vm_writev, sendmsg, recvmsg,
/// recvmmsg and sendmmsg.
const X32_OUTSIDE: [i64; 7] = [
    X32 + 521,
    X32 + 539,
    X32 + 540,
    X32 + 518,
    X32 + 519,
    X32 + 537,
    X32 + 538,
];

/// Connections, also to what runs on this machine; messages that can carry an open
/// file, such as a connection that somebody else has made; other processes; and the
/// parts of the kernel that a server has no use for.
const OUTSIDE: &[i64] = &[
    libc::SYS_connect,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    // What is asked through a ring passes no filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
];

const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// The kernel's SOCK_TYPE_MASK: flags stand above it.
const SOCKET_TYPES: u64 = 0xf;

/// Three filters. One ends whoever executes a program: the only execve that passes
/// is the one to come, known by where the name stands in our memory, which that
/// execve makes an end of. One refuses what leads outside. The last says of clone3,
/// whose flags no filter sees, that there is none: then clone is called.
pub(super) fn call_walls(command: &Command) -> io::Result<[BpfProgram; 3]> {
    let name = command.get_program().as_bytes().as_ptr() as u64;
    let mut programs = BTreeMap::from([
        (
            libc::SYS_execve,
            vec![condition(0, SeccompCmpOp::Ne, name)?],
        ),
        (libc::SYS_execveat, Vec::new()),
    ]);
    let mut outside = BTreeMap::from([
        (libc::SYS_socket, no_connection()?),
        (libc::SYS_socketpair, no_connection()?),
        // To an address, which needs no connect.
        (libc::SYS_sendto, vec![condition(4, SeccompCmpOp::Ne, 0)?]),
        (libc::SYS_clone, new_namespace()?),
    ]);
    outside.extend(OUTSIDE.iter().map(|call| (*call, Vec::new())));
    if cfg!(target_arch = "x86_64") {
        programs.extend(X32_EXEC.map(|call| (call, Vec::new())));
        let calls: Vec<i64> = outside.keys().copied().collect();
        // Below 512 a number means the same in both ways.
        let calls = calls.into_iter().map(|call| X32 + call);
        let calls = calls.chain([X32 + libc::SYS_clone3]).chain(X32_OUTSIDE);
        outside.extend(calls.map(|call| (call, Vec::new())));
    }
    let no_such = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let refused = |errno: libc::c_int| SeccompAction::Errno(errno.unsigned_abs());
    Ok([
        filter(programs, SeccompAction::KillProcess)?,
        filter(outside, refused(libc::EACCES))?,
        filter(no_such, refused(libc::ENOSYS))?,
    ])
}

/// Sockets that are not of this machine, or that send without a connection.
fn no_connection() -> io::Result<Vec<SeccompRule>> {
    let stream: u64 = libc::SOCK_STREAM.unsigned_abs().into();
    let not_local = condition(0, SeccompCmpOp::Ne, libc::AF_UNIX.unsigned_abs().into());
    let others = (0..=SOCKET_TYPES).filter(|kind| *kind != stream);
    let others = others.map(|kind| condition(1, SeccompCmpOp::MaskedEq(SOCKET_TYPES), kind));
    std::iter::once(not_local).chain(others).collect()
}

fn new_namespace() -> io::Result<Vec<SeccompRule>> {
    let flags = NAMESPACES.map(|flag| u64::from(flag.cast_unsigned()));
    let asked = flags.map(|flag| condition(0, SeccompCmpOp::MaskedEq(flag), flag));
    asked.into_iter().collect()
}

fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompRule> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(io::Error::other)
}

fn filter(rules: BTreeMap<i64, Vec<SeccompRule>>, action: SeccompAction) -> io::Result<BpfProgram> {
    let arch = std::env::consts::ARCH
        .try_into()
        .map_err(io::Error::other)?;
    SeccompFilter::new(rules, SeccompAction::Allow, action, arch)
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)
}
