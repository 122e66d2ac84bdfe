//! Directories that ask not to be backed up, by a file in them.

use std::ffi::CStr;

use rustix::fs::Mode;

use super::TreeOptions;
use super::opening::OPEN;
use crate::paths::Dir;

/// The signature of the Cache Directory Tagging Specification.
pub(super) const CACHE_TAG: &CStr = c"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    /// It is left out.
    LeftOut,
    /// It is left out but for itself and its tag: what comes back is a cache again.
    Cache,
}

/// `holds`: whether a name was listed in the directory.
pub(super) fn mark_of(
    directory: &Dir,
    options: &TreeOptions,
    holds: impl Fn(&[u8]) -> bool,
) -> Mark {
    let mut markers = options.exclude_if_present.iter();
    if markers.any(|marker| holds(marker.as_bytes())) {
        return Mark::LeftOut;
    }
    let is_cache =
        options.exclude_caches && holds(CACHE_TAG.to_bytes()) && has_cache_signature(directory);
    match is_cache {
        true => Mark::Cache,
        false => Mark::None,
    }
}

fn has_cache_signature(directory: &Dir) -> bool {
    let mut start = [0; CACHE_SIGNATURE.len()];
    let Ok(tag) = rustix::fs::openat(directory, CACHE_TAG, OPEN, Mode::empty()) else {
        return false;
    };
    let read = rustix::io::pread(&tag, &mut start, 0);
    read == Ok(start.len()) && start == CACHE_SIGNATURE
}
