//! PAX records: `"<decimal length> <key>=<value>\n"`, the length counting
//! itself. Owns the keys that kluis knows; ignores times it does not restore
//! and comments. Refuses records whose length lies and numbers that overflow.
//! Keys: POSIX.1-2017 pax; `SCHILY.*` from star; `GNU.sparse.*` from GNU tar.

use super::{Mtime, Xattr};
use crate::format::posix_acl;

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";
const ACLS: [(&[u8], &[u8]); 2] = [
    (b"SCHILY.acl.access", posix_acl::ACCESS_XATTR),
    (b"SCHILY.acl.default", posix_acl::DEFAULT_XATTR),
];

/// What an extended header said; each value overrides the ustar field.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub path: Option<Vec<u8>>,
    pub linkpath: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub uname: Option<Vec<u8>>,
    pub gname: Option<Vec<u8>>,
    pub mtime: Option<Mtime>,
    pub xattrs: Vec<Xattr>,
    pub sparse_version: Option<(u64, u64)>,
    pub sparse_name: Option<Vec<u8>>,
    pub sparse_real_bytes: Option<u64>,
    /// Some `GNU.sparse.*` key that version 1.0 does not have.
    pub sparse_foreign: bool,
}

/// Appends one record.
pub(super) fn push_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + decimal_digits(rest);
    // Adding the digits may itself add one: 9 + 1 = 10, two digits.
    length = rest + decimal_digits(length);
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

fn decimal_digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Appends an attribute: ACLs as text, everything else as its raw bytes.
pub(super) fn push_xattr(out: &mut Vec<u8>, xattr: &Xattr) {
    for (key, name) in ACLS {
        if xattr.name == name
            && let Some(text) = posix_acl::to_text(&xattr.value)
        {
            return push_record(out, key, text.as_bytes());
        }
    }
    let mut key = XATTR_PREFIX.to_vec();
    // A key ends at the first `=`; GNU tar's way around it.
    for &byte in &xattr.name {
        match byte {
            b'%' => key.extend_from_slice(b"%25"),
            b'=' => key.extend_from_slice(b"%3D"),
            _ => key.push(byte),
        }
    }
    push_record(out, &key, &xattr.value);
}

/// A time as pax writes it: decimal seconds, the fraction only where needed.
pub(super) fn format_time(time: Mtime) -> String {
    let nanos = time.nanoseconds;
    let (sign, whole, fraction) = if time.seconds < 0 && nanos > 0 {
        (
            "-",
            (time.seconds + 1).unsigned_abs(),
            1_000_000_000 - nanos,
        )
    } else if time.seconds < 0 {
        ("-", time.seconds.unsigned_abs(), 0)
    } else {
        ("", time.seconds.unsigned_abs(), nanos)
    };
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let digits = format!("{fraction:09}");
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// Reads all records of one extended header.
pub(super) fn parse(mut bytes: &[u8]) -> Result<Pax, &'static str> {
    let mut pax = Pax::default();
    let mut version = (None, None);
    while !bytes.is_empty() {
        let (key, value, rest) = split_record(bytes)?;
        bytes = rest;
        match key {
            b"GNU.sparse.major" => version.0 = Some(decimal(value)?),
            b"GNU.sparse.minor" => version.1 = Some(decimal(value)?),
            _ => accept(&mut pax, key, value)?,
        }
    }
    if version.0.is_some() || version.1.is_some() {
        pax.sparse_version = Some((version.0.unwrap_or(0), version.1.unwrap_or(0)));
    }
    Ok(pax)
}

/// Only comments may stand in a global header: anything else would silently
/// change every entry after it.
pub(super) fn check_global(mut bytes: &[u8]) -> Result<(), &'static str> {
    while !bytes.is_empty() {
        let (key, _, rest) = split_record(bytes)?;
        bytes = rest;
        if key != b"comment" {
            return Err("is a global header that changes later entries");
        }
    }
    Ok(())
}

/// Key, value and what follows the first record.
type Split<'a> = (&'a [u8], &'a [u8], &'a [u8]);

fn split_record(bytes: &[u8]) -> Result<Split<'_>, &'static str> {
    const BROKEN: &str = "has a broken PAX record";
    let space = bytes
        .iter()
        .take(20)
        .position(|&byte| byte == b' ')
        .ok_or(BROKEN)?;
    let length = usize::try_from(decimal(&bytes[..space])?).map_err(|_| BROKEN)?;
    if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
        return Err(BROKEN);
    }
    let record = &bytes[space + 1..length - 1];
    let equals = record.iter().position(|&byte| byte == b'=').ok_or(BROKEN)?;
    Ok((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

fn accept(pax: &mut Pax, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
    match key {
        b"path" => pax.path = Some(value.to_vec()),
        b"linkpath" => pax.linkpath = Some(value.to_vec()),
        b"size" => pax.size = Some(decimal(value)?),
        b"uid" => pax.uid = Some(decimal(value)?),
        b"gid" => pax.gid = Some(decimal(value)?),
        b"uname" => pax.uname = Some(value.to_vec()),
        b"gname" => pax.gname = Some(value.to_vec()),
        b"mtime" => pax.mtime = Some(parse_time(value)?),
        b"GNU.sparse.name" => pax.sparse_name = Some(value.to_vec()),
        b"GNU.sparse.realsize" => pax.sparse_real_bytes = Some(decimal(value)?),
        _ => accept_attribute(pax, key, value)?,
    }
    Ok(())
}

fn accept_attribute(pax: &mut Pax, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
    if key.starts_with(b"GNU.sparse.") {
        pax.sparse_foreign = true;
    } else if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
        let name = unescape_name(name);
        if name.is_empty() || name.contains(&0) {
            return Err("has an extended attribute without a proper name");
        }
        pax.xattrs.push(Xattr {
            name,
            value: value.to_vec(),
        });
    } else if let Some((_, name)) = ACLS.iter().find(|(acl_key, _)| *acl_key == key) {
        let value = posix_acl::from_text(value).ok_or("has an ACL that is none")?;
        pax.xattrs.push(Xattr {
            name: name.to_vec(),
            value,
        });
    }
    Ok(())
}

fn unescape_name(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            if let Some(after) = tail.strip_prefix(b"25") {
                rest = after;
            } else if let Some(after) = tail.strip_prefix(b"3D") {
                rest = after;
                plain.push(b'=');
                continue;
            }
        }
        plain.push(first);
    }
    plain
}

/// A number of digits only: no sign, no space, no overflow.
pub(super) fn decimal(text: &[u8]) -> Result<u64, &'static str> {
    const BROKEN: &str = "has a PAX number that is negative, too large or none";
    if text.is_empty() {
        return Err(BROKEN);
    }
    text.iter().try_fold(0_u64, |sum, &byte| {
        let digit = match byte {
            b'0'..=b'9' => u64::from(byte - b'0'),
            _ => return Err(BROKEN),
        };
        sum.checked_mul(10)
            .and_then(|sum| sum.checked_add(digit))
            .ok_or(BROKEN)
    })
}

fn parse_time(text: &[u8]) -> Result<Mtime, &'static str> {
    const BROKEN: &str = "has a time that is none";
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let dot = text.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match dot {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    let whole = i64::try_from(decimal(whole)?).map_err(|_| BROKEN)?;
    let mut nanoseconds = 0;
    // Digits beyond the ninth are finer than any file system keeps.
    for place in 0..9 {
        let digit = match fraction.get(place) {
            None => 0,
            Some(digit @ b'0'..=b'9') => u32::from(digit - b'0'),
            Some(_) => return Err(BROKEN),
        };
        nanoseconds = nanoseconds * 10 + digit;
    }
    Ok(match (negative, nanoseconds) {
        (false, _) => Mtime {
            seconds: whole,
            nanoseconds,
        },
        (true, 0) => Mtime {
            seconds: -whole,
            nanoseconds: 0,
        },
        (true, _) => Mtime {
            seconds: -whole - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{Mtime, check_global, format_time, parse, parse_time, push_record, push_xattr};
    use crate::format::tar::Xattr;

    #[test]
    fn a_record_counts_its_own_length_at_every_size() {
        for size in [0, 1, 4, 5, 6, 90, 91, 92, 93, 94, 987, 988, 989, 990, 9999] {
            let mut out = Vec::new();
            push_record(&mut out, b"path", &vec![b'x'; size]);
            let text = String::from_utf8(out.clone()).expect("ASCII");
            let length: usize = text
                .split(' ')
                .next()
                .and_then(|n| n.parse().ok())
                .expect("length");
            assert_eq!(length, out.len(), "value of {size}");
            assert_eq!(parse(&out).expect("valid").path, Some(vec![b'x'; size]));
        }
    }

    #[test]
    fn times_before_1970_and_with_fractions_come_back() {
        for (seconds, nanoseconds) in [
            (0, 0),
            (0, 1),
            (-1, 0),
            (-1, 500_000_000),
            (-2, 999_999_999),
            (1_700_000_000, 120_000_000),
            (i64::MAX, 999_999_999),
        ] {
            let time = Mtime {
                seconds,
                nanoseconds,
            };
            assert_eq!(parse_time(format_time(time).as_bytes()), Ok(time));
        }
        assert_eq!(
            format_time(Mtime {
                seconds: -2,
                nanoseconds: 500_000_000
            }),
            "-1.5"
        );
    }

    #[test]
    fn attribute_names_with_an_equals_sign_come_back() {
        let xattr = Xattr {
            name: b"user.a=b%3D%c".to_vec(),
            value: b"\0\n=\xff".to_vec(),
        };
        let mut out = Vec::new();
        push_xattr(&mut out, &xattr);
        assert_eq!(parse(&out).expect("valid").xattrs, [xattr]);
    }

    #[test]
    fn records_that_lie_are_refused() {
        for broken in [
            &b"5 a=b\n"[..],
            b"7 a=b\n",
            b"6 a=bX",
            b"6 abc\n",
            b"0 a=b\n",
            b"-6 a=b\n",
            b"99999999999999999999999 a=b\n",
            b"18446744073709551615 a=b\n",
            b"11 size=-1\n",
            b"29 size=99999999999999999999\n",
            b"2 ",
            b"xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ] {
            assert!(parse(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn a_global_header_may_only_comment() {
        assert!(check_global(b"13 comment=x\n").is_ok());
        assert!(check_global(b"10 path=x\n").is_err());
    }
}
