//! What a file has beside its content: owners' names, extended attributes and
//! ACLs. Owns two caches: the host's names, read once, and the file systems
//! that have no extended attributes, asked once.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::status::Status;
use crate::format::tar::{Attributes, Xattr};

/// The kernel's limit for a list of names and for a value alike.
const XATTR_BYTES: usize = 64 * 1024;

pub(super) struct AttributeReader {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
    without_xattrs: HashSet<u64>,
    names: Vec<u8>,
    value: Vec<u8>,
}

impl AttributeReader {
    pub fn new() -> Self {
        Self {
            users: host_names("/etc/passwd"),
            groups: host_names("/etc/group"),
            without_xattrs: HashSet::new(),
            names: vec![0; XATTR_BYTES],
            value: vec![0; XATTR_BYTES],
        }
    }

    /// The status as tar has it. `open` is `None` for a symlink, whose
    /// attributes (only root can set any) are not kept.
    pub fn read(
        &mut self,
        status: &Status,
        open: Option<BorrowedFd<'_>>,
    ) -> (Attributes, Result<(), Errno>) {
        let mut attributes = Attributes {
            mode: status.mode & 0o7777,
            uid: status.uid.into(),
            gid: status.gid.into(),
            uname: self.users.get(&status.uid).cloned().unwrap_or_default(),
            gname: self.groups.get(&status.gid).cloned().unwrap_or_default(),
            mtime: status.mtime,
            xattrs: Vec::new(),
        };
        let read = match open {
            Some(file) if !self.without_xattrs.contains(&status.device) => {
                self.read_xattrs(file, status.device, &mut attributes.xattrs)
            }
            _ => Ok(()),
        };
        (attributes, read)
    }

    fn read_xattrs(
        &mut self,
        file: BorrowedFd<'_>,
        device: u64,
        xattrs: &mut Vec<Xattr>,
    ) -> Result<(), Errno> {
        let listed = match rustix::fs::flistxattr(file, &mut self.names[..]) {
            Err(Errno::NOTSUP) => {
                self.without_xattrs.insert(device);
                return Ok(());
            }
            listed => listed?,
        };
        let names = self.names[..listed].split(|&byte| byte == 0);
        for name in names.filter(|name| !name.is_empty()) {
            match rustix::fs::fgetxattr(file, name, &mut self.value[..]) {
                Ok(bytes) => xattrs.push(Xattr {
                    name: name.to_vec(),
                    value: self.value[..bytes].to_vec(),
                }),
                // Removed since it was listed.
                Err(Errno::NODATA) => {}
                Err(errno) => return Err(errno),
            }
        }
        // File systems list in any order; the archive must not.
        xattrs.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }
}

/// Id to name from a file of `name:password:id:...` lines; the first line of an
/// id counts, as for the C library. A host without the file has no names.
fn host_names(path: &str) -> HashMap<u32, Vec<u8>> {
    parse_names(&fs::read(path).unwrap_or_default())
}

fn parse_names(table: &[u8]) -> HashMap<u32, Vec<u8>> {
    let mut names = HashMap::new();
    for line in table.split(|&byte| byte == b'\n') {
        let mut fields = line.split(|&byte| byte == b':');
        let (Some(name), Some(id)) = (fields.next(), fields.nth(1)) else {
            continue;
        };
        if let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) {
            names.entry(id).or_insert_with(|| name.to_vec());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::parse_names;

    #[test]
    fn the_first_name_of_an_id_counts_and_broken_lines_do_not() {
        let names =
            parse_names(b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0\nnobody\n+::\na:x:b:\n");
        assert_eq!(names.len(), 1);
        assert_eq!(names[&0], b"root");
    }
}
