//! The tar stream of a source tree: one entry model, written by [`encode`] and
//! read back by [`TarReader`], so that source and targets share the format.
//!
//! Written: POSIX ustar headers, PAX records (POSIX.1-2017 pax, "pax extended
//! header") only where ustar is too small, sparse files as GNU sparse 1.0.
//! Refused: whatever could lead outside the tree or ask for unbounded memory.
//! Invariant: a path that leaves this module is relative, without `.`, `..`,
//! NUL and doubled or trailing slashes; the root is the empty path.

use crate::checked::abridged;
use std::io;

mod decode;
mod encode;
mod mend;
mod pax;
mod reader;
mod sparse;

pub use encode::{EncodeError, encode, end_of_archive, padding};
pub use mend::{FoundAgain, Hurt, HurtFile, MendedTar, mend};
pub use reader::TarReader;
pub use sparse::{MAX_SEGMENTS, Segment};

/// The unit of a tar stream: headers are one block, data is padded to blocks.
pub const BLOCK_BYTES: usize = 512;
/// The longest path or link target that is written or accepted.
pub const MAX_PATH_BYTES: usize = 16 * 1024;
/// The largest extended header that is written or accepted. Linux allows
/// 64 KiB for one attribute's value, and few files carry more than two.
pub const MAX_EXTENDED_BYTES: u64 = 1 << 20;

/// The most data that an entry may have: room for the padding, and for offsets
/// that the kernel counts with a sign.
const MAX_STORED_BYTES: u64 = i64::MAX as u64 - BLOCK_BYTES as u64;

/// One object of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root; empty for the root itself. Bytes, as Linux has them.
    pub path: Vec<u8>,
    pub kind: EntryKind,
    pub attributes: Attributes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Directory,
    File {
        bytes: u64,
    },
    /// A file with holes: only `segments` travel, in ascending order.
    SparseFile {
        /// With the holes.
        bytes: u64,
        segments: Vec<Segment>,
    },
    Symlink {
        target: Vec<u8>,
    },
    /// A further name of an earlier file; `target` is that file's path.
    HardLink {
        target: Vec<u8>,
    },
}

/// What a file has beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The lower twelve bits: permissions, setuid, setgid, sticky.
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// Empty where the number has no name.
    pub uname: Vec<u8>,
    pub gname: Vec<u8>,
    pub mtime: Mtime,
    /// Name and value as the kernel gives them. ACLs are among them in the
    /// kernel's binary form; in the stream they are text, which GNU tar
    /// (`--acls`) and bsdtar both restore.
    pub xattrs: Vec<Xattr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    pub name: Vec<u8>,
    pub value: Vec<u8>,
}

/// Seconds since 1970, rounded down, and the nanoseconds after that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mtime {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// Why a tar stream could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream below broke or ended early.
    #[error("{0}")]
    Stream(#[source] io::Error),
    /// The stream is whole, but what it says is not accepted.
    #[error("entry {entry}: {why}")]
    Refused { entry: String, why: &'static str },
}

impl TarError {
    /// A refusal that names its entry, made safe for a terminal and cut to 200
    /// characters.
    pub fn refused(entry: &[u8], why: &'static str) -> Self {
        Self::Refused {
            entry: display_path(entry),
            why,
        }
    }
}

/// Of a path in a message, and in a list.
const SHOWN_BYTES: usize = 250;
const LISTED_BYTES: usize = 1024;

/// A path for people: quoted, control characters and bad UTF-8 made visible, a long one
/// shortened in its middle.
pub fn display_path(path: &[u8]) -> String {
    let escaped = path.escape_ascii_kept();
    format!("\"{}\"", abridged(&escaped, SHOWN_BYTES))
}

/// The same as it is listed: plain where it is UTF-8.
pub fn listed_path(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok("") => ".".to_owned(),
        Ok(text) => abridged(text, LISTED_BYTES).into_owned(),
        Err(_) => display_path(path),
    }
}

/// Escapes what a terminal would act on, but keeps letters beyond ASCII.
trait EscapeForPeople {
    fn escape_ascii_kept(&self) -> String;
}

impl EscapeForPeople for [u8] {
    fn escape_ascii_kept(&self) -> String {
        let mut text = String::with_capacity(self.len());
        for chunk in self.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\\' => text.extend(['\\', character]),
                    _ if character.is_control() => text.extend(character.escape_debug()),
                    _ => text.push(character),
                }
            }
            for byte in chunk.invalid() {
                text.extend(byte.escape_ascii().map(char::from));
            }
        }
        text
    }
}

/// Brings an archive's path into the module's invariant. `Err` says why not.
fn clean_path(raw: &[u8]) -> Result<Vec<u8>, &'static str> {
    if raw.is_empty() {
        return Err("has an empty name");
    }
    if raw.len() > MAX_PATH_BYTES {
        return Err("has a path of more than 16 KiB");
    }
    if raw.contains(&0) {
        return Err("has a NUL byte in its path");
    }
    if raw[0] == b'/' {
        return Err("has an absolute path");
    }
    let mut path = Vec::with_capacity(raw.len());
    for part in raw.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("has \"..\" in its path"),
            _ => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(part);
            }
        }
    }
    Ok(path)
}

/// Whether a symlink at `path` provably stays inside the tree. Only leading
/// `..` can be counted against the link's own place, whose parents are real
/// directories; a `..` further on may follow another link, so it proves nothing.
pub fn symlink_stays_inside(path: &[u8], target: &[u8]) -> bool {
    if target.first() == Some(&b'/') {
        return false;
    }
    let mut depth_left = path.iter().filter(|&&byte| byte == b'/').count();
    let mut descended = false;
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if descended || depth_left == 0 => return false,
            b".." => depth_left -= 1,
            _ => descended = true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::{clean_path, display_path, symlink_stays_inside};

    #[test]
    fn paths_come_out_relative_and_plain() {
        for (raw, clean) in [
            (&b"./"[..], &b""[..]),
            (b"./a/b/", b"a/b"),
            (b"a//./b", b"a/b"),
            (b"...", b"..."),
            (b"a\xff", b"a\xff"),
        ] {
            assert_eq!(clean_path(raw), Ok(clean.to_vec()));
        }
    }

    #[test]
    fn paths_that_could_leave_are_refused() {
        for raw in [&b""[..], b"/", b"/a", b"..", b"a/../b", b"a/..", b"a\0b"] {
            assert!(clean_path(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn a_symlink_stays_inside_only_if_that_can_be_proved() {
        for (path, target, inside) in [
            (&b"a"[..], &b"b"[..], true),
            (b"a/b", b"../c", true),
            (b"a/b", b"..", true),
            (b"a", b"..", false),
            (b"a/b", b"../../c", false),
            (b"a", b"/etc", false),
            // `up` may itself be a link to the root: then `up/..` is outside.
            (b"p/q/x", b"up/..", false),
        ] {
            assert_eq!(symlink_stays_inside(path, target), inside, "{path:?}");
        }
    }

    #[test]
    fn a_shown_path_cannot_move_the_cursor() {
        assert_eq!(
            display_path(b"a\x1b[2Jb\xff\xc3\xa9"),
            "\"a\\u{1b}[2Jb\\xff\u{e9}\""
        );
        assert!(display_path(&[b'x'; 5000]).len() < 300);
    }
}
