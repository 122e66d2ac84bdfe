//! What shows of a header without a key. Nothing of it is checked: it says which
//! keys an archive wants, and is good for nothing else.

use super::{CopyName, HEADER_LEN, Header, HeaderError, MAGIC, copy_bytes};

/// Whether one of the copies begins as they do: then it is a KLUIS1 archive,
/// however damaged.
pub fn has_magic(head: &[u8]) -> bool {
    let magic_at = |at: usize| head.get(at..at + MAGIC.len()) == Some(&MAGIC);
    magic_at(0) || magic_at(HEADER_LEN)
}

/// The newest copy's fields without a key, so without a check of its HMAC: to
/// say which keys an archive wants, and for nothing else.
pub fn peek(head: &[u8]) -> Result<Header, HeaderError> {
    let truncated = HeaderError::Truncated { found: head.len() };
    let (Some(a), Some(b)) = (copy_bytes(head, 0), copy_bytes(head, HEADER_LEN)) else {
        return Err(truncated);
    };
    match (Header::parse(a, CopyName::A), Header::parse(b, CopyName::B)) {
        (Ok(a), Ok(b)) if b.generation > a.generation => Ok(b),
        (Ok(a), _) => Ok(a),
        (Err(_), Ok(b)) => Ok(b),
        (Err(error), Err(_)) => Err(error),
    }
}

/// The generations of copies A and B, unchecked; `None` for a copy that is none.
pub fn generations(head: &[u8]) -> [Option<u32>; 2] {
    [CopyName::A, CopyName::B].map(|copy| {
        let bytes = copy_bytes(head, copy.offset() as usize)?;
        Header::parse(bytes, copy)
            .ok()
            .map(|header| header.generation)
    })
}
