//! The key of the trigger, and the ways in which a request carries it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A key that is shorter could be guessed.
pub const API_KEY_BYTES_MIN: usize = 16;

const BACKUP_KEY: HeaderName = HeaderName::from_static("x-backup-key");

#[derive(Debug, thiserror::Error)]
#[error("the trigger's key has fewer than {API_KEY_BYTES_MIN} characters")]
pub struct ShortKey;

/// Keeps no more of the key than is needed to know it again.
#[derive(Clone)]
pub struct ApiKey([u8; 32]);

impl ApiKey {
    pub fn new(text: &str) -> Result<Self, ShortKey> {
        match text.len() >= API_KEY_BYTES_MIN {
            true => Ok(Self(Sha256::digest(text).into())),
            false => Err(ShortKey),
        }
    }

    /// Takes as long for any key, whatever its length and however much fits.
    pub fn is(&self, given: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.0.ct_eq(&given).into()
    }
}

/// The key that a program's request carries in its headers.
pub fn of_program(headers: &HeaderMap) -> Option<Vec<u8>> {
    let bearer = scheme(headers, b"bearer ").map(<[u8]>::to_vec);
    bearer.or_else(|| Some(headers.get(BACKUP_KEY)?.as_bytes().to_vec()))
}

/// That, or what a person told a browser: the password is the key.
pub fn of_person(headers: &HeaderMap) -> Option<Vec<u8>> {
    let basic = || {
        let pair = STANDARD.decode(scheme(headers, b"basic ")?).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        Some(pair[colon + 1..].to_vec())
    };
    of_program(headers).or_else(basic)
}

/// The credentials of an `Authorization` of this scheme, in lower case.
fn scheme<'h>(headers: &'h HeaderMap, name: &[u8]) -> Option<&'h [u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, rest) = value.split_at_checked(name.len())?;
    scheme.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let value = HeaderValue::from_str(value).unwrap();
        HeaderMap::from_iter([(HeaderName::from_static(name), value)])
    }

    #[test]
    fn only_the_whole_key_is_the_key() {
        let key = ApiKey::new(KEY).unwrap();
        assert!(key.is(KEY.as_bytes()));
        for other in [
            "",
            "0123456789abcde",
            "0123456789abcdef0",
            "0123456789abcdeF",
        ] {
            assert!(!key.is(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert!(ApiKey::new("0123456789abcde").is_err());
        assert!(ApiKey::new("").is_err());
    }

    #[test]
    fn a_key_is_found_in_each_of_its_places() {
        for (name, value, program, person) in [
            ("authorization", "Bearer k", true, true),
            ("authorization", "bearer   k ", true, true),
            ("x-backup-key", "k", true, true),
            // base64 of "anybody:k"
            ("authorization", "Basic YW55Ym9keTpr", false, true),
            ("authorization", "Basic !", false, false),
            ("authorization", "Bearerk", false, false),
            ("authorization", "Digest k", false, false),
            ("x-other", "k", false, false),
        ] {
            let headers = headers(name, value);
            let found = |is: bool| is.then(|| b"k".to_vec());
            assert_eq!(of_program(&headers), found(program), "{name}: {value}");
            assert_eq!(of_person(&headers), found(person), "{name}: {value}");
        }
    }
}
