//! What staging directories are called, so that a later run knows them.

use std::ffi::{CStr, CString};
use std::io;

const MARK: &[u8] = b".kluis-";
const RANDOM_BYTES: usize = 8;

pub(super) fn staging_name(destination: &CStr) -> io::Result<CString> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name = destination.to_bytes();
    // A name has 255 bytes at most.
    let name = &name[..name.len().min(200)];
    let random = hex::encode(random);
    CString::new([b".", name, MARK, random.as_bytes()].concat()).map_err(io::Error::other)
}

pub(super) fn is_staging_name(name: &[u8]) -> bool {
    let id = name.len().saturating_sub(2 * RANDOM_BYTES);
    let (front, id) = name.split_at(id);
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let has_name = front.len() > b".".len() + MARK.len();
    has_name && front.starts_with(b".") && front.ends_with(MARK) && id.iter().all(is_digit)
}
