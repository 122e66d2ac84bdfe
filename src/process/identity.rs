//! Who this process is: for records, locks and manifests.

use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;

use crate::format::run_record::RunProcess;

/// This process, told apart from a later one with the same pid. What /proc does
/// not tell is zero or empty: a record is no reason to stop a backup.
pub fn current() -> RunProcess {
    RunProcess {
        pid: std::process::id(),
        start_ticks: start_ticks("self").unwrap_or_default(),
        boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|id| id.trim().to_owned())
            .unwrap_or_default(),
    }
}

/// Whether the process of a record on this host still runs.
pub fn is_running(process: &RunProcess) -> bool {
    current().boot_id == process.boot_id
        && start_ticks(&process.pid.to_string()) == Some(process.start_ticks)
}

/// Field 22 of proc(5)'s `stat`. The command name before it is in parentheses
/// and may hold blanks and parentheses itself.
fn start_ticks(process: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// A user of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// Looks a user up in /etc/passwd. One that only a name service knows is not
/// found.
pub fn user(name: &str) -> Option<User> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { uid, gid })
    })
}

/// Numbers that neither people, packages, containers nor systemd's services are
/// given: <https://systemd.io/UIDS-GIDS/>.
const UNUSED_USERS: std::ops::Range<u32> = 0x7000_0000..0x7fff_0000;

/// A user that nobody else is; `None` where such a number means nothing, as in
/// some containers.
pub fn unused_user() -> Option<User> {
    let is_mapped = |map: &str| {
        let map = fs::read_to_string(map).unwrap_or_default();
        map.lines().any(|line| {
            let mut numbers = line
                .split_whitespace()
                .map(|it| it.parse::<u64>().unwrap_or(0));
            let (first, _, length) = (numbers.next(), numbers.next(), numbers.next());
            let (first, length) = (first.unwrap_or(0), length.unwrap_or(0));
            first <= UNUSED_USERS.start.into() && first + length >= UNUSED_USERS.end.into()
        })
    };
    if !is_mapped("/proc/self/uid_map") || !is_mapped("/proc/self/gid_map") {
        return None;
    }
    let mut random = [0; 4];
    getrandom::fill(&mut random).ok()?;
    let span = UNUSED_USERS.end - UNUSED_USERS.start;
    let uid = UNUSED_USERS.start + u32::from_ne_bytes(random) % span;
    let user = User { uid, gid: uid };
    user_name(uid).is_none().then_some(user)
}

/// The name of a user whom /etc/passwd knows.
pub fn user_name(uid: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Whether a group is a user's own: with the user's number or name, and with
/// nobody else in it.
pub fn is_private_group(uid: u32, gid: u32) -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    is_private_in(&read("/etc/passwd"), &read("/etc/group"), uid, gid)
}

fn is_private_in(users: &str, groups: &str, uid: u32, gid: u32) -> bool {
    let number = |field: Option<&str>| field.and_then(|it| it.parse::<u32>().ok());
    let group = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (number(fields.nth(1)) == Some(gid)).then(|| (name, fields.next().unwrap_or_default()))
    });
    let (group, members) = group.unwrap_or_default();
    let (mut name, mut others) = (None, false);
    for line in users.lines() {
        let mut fields = line.split(':');
        let (its_name, its_uid) = (fields.next(), number(fields.nth(1)));
        let is_in = number(fields.next()) == Some(gid);
        match its_uid == Some(uid) {
            true => name = name.or(its_name),
            false => others |= is_in,
        }
    }
    let is_ours = |it: &str| name == Some(it);
    let alone = members.split(',').all(|it| it.is_empty() || is_ours(it));
    alone && !others && (uid == gid || is_ours(group))
}

/// Whether a directory is somebody's home, as /etc/passwd tells and as homes lie.
pub fn is_home(directory: &Path) -> bool {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut homes = users.lines().filter_map(|line| line.split(':').nth(5));
    directory.parent() == Some(Path::new("/home")) || homes.any(|it| Path::new(it) == directory)
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whose rights this process has: the name, or "uid 1234" where /etc/passwd has none.
/// What the environment says of it is anybody's word.
pub fn effective_user() -> String {
    let uid = rustix::process::geteuid().as_raw();
    user_name(uid).unwrap_or_else(|| format!("uid {uid}"))
}

/// The machine's name.
pub fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The zone that `/etc/localtime` links to, if it is a link to one. The time library finds
/// the same one, but lists the machine's whole zone directory first, at each start:
/// more work than a short command has else.
pub fn linked_time_zone() -> Option<TimeZone> {
    const LOCAL_TIME: &str = "/etc/localtime";
    let target = fs::read_link(LOCAL_TIME).ok()?;
    let (_, name) = target.to_str()?.rsplit_once("zoneinfo/")?;
    // Names of these two the library does not take where a setting gives them.
    if name.starts_with("posix/") || name.starts_with("right/") {
        return None;
    }
    TimeZone::tzif(name, &fs::read(LOCAL_TIME).ok()?).ok()
}

/// Whether this is a container, as far as its engine or systemd tells.
pub fn is_in_container() -> bool {
    let marks = [
        "/.dockerenv",
        "/run/.containerenv",
        "/run/systemd/container",
    ];
    marks.iter().any(|mark| Path::new(mark).exists())
}

#[cfg(test)]
mod tests {
    use super::is_private_in;

    #[test]
    fn a_group_is_private_where_nobody_else_is_in_it() {
        let users = "root:x:0:0::/root:/bin/sh\njoe:x:1000:1000::/home/joe:/bin/sh\n\
                     ann:x:1001:1000::/home/ann:/bin/sh\n";
        let groups = "root:x:0:\nstaff:x:50:root\n";
        let private = |users, groups, uid, gid| is_private_in(users, groups, uid, gid);
        assert!(private(users, groups, 0, 0));
        assert!(private(users, "root:x:0:root\n", 0, 0));
        assert!(!private(users, "root:x:0:joe\n", 0, 0));
        assert!(!private(users, groups, 0, 50), "not the user's own");
        assert!(!private(users, groups, 1000, 1000), "ann's first group too");
        let operator = format!("{users}operator:x:11:0::/root:/sbin/nologin\n");
        assert!(!private(&operator, groups, 0, 0));
    }
}
