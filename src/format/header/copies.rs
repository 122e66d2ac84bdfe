//! What the two copies say to somebody who opens neither, or who has opened the
//! archive before: whether they agree, and whether one is whole.

use super::{ArchiveKeys, CopyName, HEADER_LEN, Header, HeaderError, copy_bytes};

/// Whether both copies have the form that they should and say the same; they
/// then differ in their copy number and HMAC only. Needs no key and checks no
/// HMAC. The error is that of the first copy which has another form.
pub fn copies_agree(head: &[u8]) -> Result<bool, HeaderError> {
    Ok(parse(head, CopyName::A)? == parse(head, CopyName::B)?)
}

/// Whether a copy has its form and holds under keys that are known already.
pub fn copy_holds(head: &[u8], copy: CopyName, keys: &ArchiveKeys) -> bool {
    let bytes = copy_bytes(head, copy.offset() as usize);
    let holds = |bytes: &[u8; HEADER_LEN]| Header::hmac_holds(bytes, &keys.header);
    bytes.is_some_and(holds) && parse(head, copy).is_ok()
}

fn parse(head: &[u8], copy: CopyName) -> Result<Header, HeaderError> {
    let bytes = copy_bytes(head, copy.offset() as usize);
    Header::parse(
        bytes.ok_or(HeaderError::Truncated { found: head.len() })?,
        copy,
    )
}
