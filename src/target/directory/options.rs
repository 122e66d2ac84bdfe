//! What of an archive is restored.

use std::io::{Error, ErrorKind};

use super::parents::place;
use crate::format::tar::Attributes;
use crate::glob::Globs;
use crate::paths::Dir;
use crate::scratch::{Reserve, Shortage};
use crate::target::TargetError;

/// How a tree is restored.
#[derive(Clone, Debug)]
pub struct RestoreTreeOptions {
    /// Whether symlinks that may lead outside the tree are made too. Nothing is
    /// written through them here; but their makers decide where later programs read
    /// and write.
    pub links_outside: bool,
    /// Nothing that lends rights: no setuid or setgid bit, no `security.*` or
    /// `trusted.*` attribute. For archives that anybody may have made.
    pub without_rights: bool,
    /// Only what these fit, with all below it and the directories above it.
    pub paths: Option<Globs>,
    /// A copy that is thrown away: others keep their room beside it.
    pub is_throwaway: bool,
}

impl Default for RestoreTreeOptions {
    fn default() -> Self {
        Self {
            links_outside: true,
            without_rights: false,
            paths: None,
            is_throwaway: false,
        }
    }
}

impl RestoreTreeOptions {
    /// What of the file system that the tree grows on is left.
    pub(super) fn reserve(&self, root: &Dir) -> Result<Reserve, TargetError> {
        let reserve = match self.is_throwaway {
            true => Reserve::for_others(root),
            false => Reserve::at_last(root),
        };
        reserve.map_err(|errno| place(b"", errno.into()))
    }

    pub(super) fn no_room(&self, shortage: Shortage) -> TargetError {
        let remedy = match self.is_throwaway {
            true => "set work_dir or TMPDIR",
            false => "make room there, or restore to another file system",
        };
        let why = format!("{shortage}; {remedy}");
        TargetError::Place {
            action: "restore",
            place: "the tree".to_owned(),
            source: Error::new(ErrorKind::StorageFull, why),
        }
    }
}

/// What lends the rights of a file's owner, or the kernel's, to who runs it.
pub(super) fn without_rights(attributes: &mut Attributes) {
    attributes.mode &= 0o1777;
    let lends = |name: &[u8]| name.starts_with(b"security.") || name.starts_with(b"trusted.");
    attributes.xattrs.retain(|xattr| !lends(&xattr.name));
}
