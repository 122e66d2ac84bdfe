//! The labels of hosts and servers where none is configured. They stay the same
//! when a container is made anew under another generated name, and differ where two
//! machines call different servers by one name.

use core::net::IpAddr;

/// All that is known of a host that is a container with a generated name.
const CONTAINER: &str = "container";

/// Hex digits of the names that container engines generate for hosts.
const GENERATED_DIGITS: usize = 12;

/// The way to a server as it was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The name, label or pattern.
    Container(&'a str),
    /// A section of libpq's service file.
    Service(&'a str),
    /// One or several hosts and ports, separated by commas; no host is the local
    /// socket.
    Hosts {
        hosts: Option<&'a str>,
        ports: &'a str,
    },
}

/// The label of this host, where `name` is its own name.
pub fn host_label(name: &str, in_container: bool) -> &str {
    match in_container {
        true => host_of_older(name),
        false => name,
    }
}

/// The label of a host of which only the name was recorded.
pub(super) fn host_of_older(name: &str) -> &str {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match name.len() == GENERATED_DIGITS && name.bytes().all(is_digit) {
        true => CONTAINER,
        false => name,
    }
}

/// The label of a server, as the host of that label reaches it.
pub fn server_label(place: &Place<'_>, host: &str) -> String {
    match place {
        Place::Container(name) => format!("{name}@{host}"),
        Place::Service(name) => format!("service {name}@{host}"),
        Place::Hosts { hosts, ports } => match hosts {
            None => format!("{host}:{ports}"),
            Some(hosts) if hosts.split(',').all(is_this_machine) => format!("{host}:{ports}"),
            Some(hosts) if hosts.split(',').all(is_one_everywhere) => format!("{hosts}:{ports}"),
            Some(hosts) => format!("{hosts}:{ports}@{host}"),
        },
    }
}

fn is_this_machine(name: &str) -> bool {
    let address = name.parse::<IpAddr>();
    name.is_empty()
        || name.starts_with(['/', '@'])
        || name == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
}

pub const LABEL_CHARS_MAX: usize = 255;

/// It stands before a slash in what operators write.
pub fn is_label(text: &str) -> bool {
    let is_odd = |c: char| c == '/' || c.is_control() || c.is_whitespace();
    !text.is_empty() && !text.chars().any(is_odd) && text.chars().count() <= LABEL_CHARS_MAX
}

/// What a label becomes where the host or server that is called `old` is called `new`
/// from now on: the host's own, and those of servers that this host reaches under a
/// name of its own. `None` of another's.
pub fn renamed(label: &str, old: &str, new: &str) -> Option<String> {
    if label == old {
        return Some(new.to_owned());
    }
    let is_ports = |text: &str| {
        let digits = |c: char| c.is_ascii_digit() || c == ',';
        !text.is_empty() && text.chars().all(digits)
    };
    let ports = label.strip_prefix(old).and_then(|it| it.strip_prefix(':'));
    if let Some(ports) = ports.filter(|it| is_ports(it)) {
        return Some(format!("{new}:{ports}"));
    }
    let place = label.strip_suffix(old)?.strip_suffix('@')?;
    Some(format!("{place}@{new}"))
}

/// Whether it is the same server whoever says it: `db` and `192.168.0.7` are not.
fn is_one_everywhere(name: &str) -> bool {
    const LOCAL: [&str; 4] = [".local", ".localhost", ".internal", ".lan"];
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => {
            let is_local = v4.is_private() || v4.is_loopback() || v4.is_link_local();
            !is_local && !v4.is_unspecified()
        }
        Ok(IpAddr::V6(v6)) => {
            let is_local = v6.is_unique_local() || v6.is_loopback();
            !is_local && !v6.is_unicast_link_local() && !v6.is_unspecified()
        }
        Err(_) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            name.contains('.') && !LOCAL.iter().any(|local| name.ends_with(local))
        }
    }
}
