//! What of an archive is restored.

use crate::format::tar::Attributes;
use crate::glob::Globs;

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
}

impl Default for RestoreTreeOptions {
    fn default() -> Self {
        Self {
            links_outside: true,
            without_rights: false,
            paths: None,
        }
    }
}

/// What lends the rights of a file's owner, or the kernel's, to who runs it.
pub(super) fn without_rights(attributes: &mut Attributes) {
    attributes.mode &= 0o1777;
    let lends = |name: &[u8]| name.starts_with(b"security.") || name.starts_with(b"trusted.");
    attributes.xattrs.retain(|xattr| !lends(&xattr.name));
}
