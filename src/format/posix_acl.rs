//! POSIX ACLs between the kernel's binary attribute and the text that tar
//! programs exchange. Owns both forms; refuses what is not exactly one of them.
//! Ids stay numbers in the text, so that an ACL means the same on any host.
//! Binary form: Linux `posix_acl_xattr.h`; text: POSIX 1003.1e draft 17.

/// The attributes that hold the ACLs.
pub const ACCESS_XATTR: &[u8] = b"system.posix_acl_access";
pub const DEFAULT_XATTR: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const ENTRY_BYTES: usize = 8;
/// The id of an entry that has none, such as the owner's.
const NO_ID: u32 = u32::MAX;
/// Tag in the binary form, word in the text, and whether an id belongs to it.
const TAGS: [(u16, &str, bool); 6] = [
    (0x01, "user", false),
    (0x02, "user", true),
    (0x04, "group", false),
    (0x08, "group", true),
    (0x10, "mask", false),
    (0x20, "other", false),
];

/// `user::rw-,user:1000:r--,...`; `None` if `binary` is not a version 2 ACL.
pub fn to_text(binary: &[u8]) -> Option<String> {
    let (version, entries) = binary.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % ENTRY_BYTES != 0 {
        return None;
    }
    let mut words = Vec::new();
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        let tag = u16::from_le_bytes([entry[0], entry[1]]);
        let bits = u16::from_le_bytes([entry[2], entry[3]]);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let (_, word, has_id) = TAGS.iter().find(|(known, ..)| *known == tag)?;
        let id = if *has_id {
            id.to_string()
        } else {
            String::new()
        };
        words.push(format!("{word}:{id}:{}", permissions_text(bits)?));
    }
    Some(words.join(","))
}

/// The binary form of `text`: entries parted by commas or newlines, a fourth
/// field (star's numeric id) taken before the name. `None` if it is no ACL or
/// names someone without a number.
pub fn from_text(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut entries = Vec::new();
    for word in text.split([',', '\n']) {
        let word = word.split('#').next().unwrap_or_default().trim();
        if !word.is_empty() {
            entries.push(entry_from_text(word)?);
        }
    }
    // The kernel wants them by tag, then by id.
    entries.sort_unstable();
    let mut binary = VERSION.to_le_bytes().to_vec();
    for (tag, id, bits) in entries {
        binary.extend_from_slice(&tag.to_le_bytes());
        binary.extend_from_slice(&bits.to_le_bytes());
        binary.extend_from_slice(&id.to_le_bytes());
    }
    Some(binary)
}

/// What the file's own group may do by an access ACL: 0 to 7. Where there is a mask, a
/// mode shows that in the group's place. `None` if `binary` is no ACL.
pub fn own_group_bits(binary: &[u8]) -> Option<u32> {
    let text = to_text(binary)?;
    let of = |entry: &str| {
        let found = text.split(',').find_map(|it| it.strip_prefix(entry))?;
        permissions_bits(found).map(u32::from)
    };
    Some(of("group::")? & of("mask::").unwrap_or(7))
}

fn entry_from_text(word: &str) -> Option<(u16, u32, u16)> {
    let fields: Vec<&str> = word.split(':').collect();
    let (&tag_word, fields) = fields.split_first()?;
    let tag_word = match tag_word {
        "u" => "user",
        "g" => "group",
        "m" => "mask",
        "o" => "other",
        whole => whole,
    };
    let (name, permissions, id) = match fields {
        [permissions] => ("", *permissions, None),
        [name, permissions] => (*name, *permissions, None),
        [name, permissions, id] => (*name, *permissions, Some(*id)),
        _ => return None,
    };
    let has_id = !name.is_empty();
    let (tag, ..) = TAGS
        .iter()
        .find(|(_, known, with_id)| *known == tag_word && *with_id == has_id)?;
    let id = if has_id {
        id.unwrap_or(name).parse().ok()?
    } else {
        NO_ID
    };
    Some((*tag, id, permissions_bits(permissions)?))
}

fn permissions_text(bits: u16) -> Option<String> {
    if bits > 7 {
        return None;
    }
    let letter = |bit: u16, letter: char| if bits & bit != 0 { letter } else { '-' };
    Some(
        [letter(4, 'r'), letter(2, 'w'), letter(1, 'x')]
            .iter()
            .collect(),
    )
}

fn permissions_bits(text: &str) -> Option<u16> {
    text.chars().try_fold(0, |bits, letter| match letter {
        'r' => Some(bits | 4),
        'w' => Some(bits | 2),
        'x' => Some(bits | 1),
        '-' => Some(bits),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{from_text, own_group_bits, to_text};

    const TEXT: &str = "user::rw-,user:1000:r--,group::r--,group:5:-wx,mask::rwx,other::---";

    #[test]
    fn an_acl_comes_back_from_its_text() {
        let binary = from_text(TEXT.as_bytes()).expect("valid");
        assert_eq!(binary.len(), 4 + 6 * 8);
        assert_eq!(to_text(&binary).as_deref(), Some(TEXT));
    }

    #[test]
    fn the_numeric_id_of_star_wins_over_the_name() {
        let star = from_text(b"user::rw-,user:lisa:r--:1000,group::r--,mask::r--,other::---");
        let plain = from_text(b"user::rw-\nuser:1000:r--\ngroup::r--\nmask::r--\nother::---\n");
        assert!(star.is_some());
        assert_eq!(star, plain);
    }

    #[test]
    fn what_the_group_may_do_is_its_own_entry_within_the_mask() {
        for (text, bits) in [
            (TEXT, 4),
            ("user::rw-,group::rwx,mask::r-x,other::---", 5),
            ("user::rw-,group::-w-,other::---", 2),
        ] {
            let binary = from_text(text.as_bytes()).expect("valid");
            assert_eq!(own_group_bits(&binary), Some(bits), "{text}");
        }
        assert_eq!(own_group_bits(b"x"), None);
    }

    #[test]
    fn what_is_no_acl_is_refused() {
        assert_eq!(to_text(b""), None);
        assert_eq!(to_text(&[1, 0, 0, 0]), None);
        assert_eq!(to_text(&[2, 0, 0, 0, 1]), None);
        assert_eq!(to_text(&[2, 0, 0, 0, 0x40, 0, 7, 0, 0, 0, 0, 0]), None);
        assert_eq!(from_text(b"user:lisa:rw-"), None);
        assert_eq!(from_text(b"king::rwx"), None);
        assert_eq!(from_text(b"user::rwz"), None);
        assert_eq!(from_text(b"\xff"), None);
    }
}
