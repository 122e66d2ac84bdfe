//! How a restore's own databases are told from everybody else's: by a mark in
//! the database's comment, besides the form of its name. Pure.
//!
//! A mark is made of the storage's id and the database's name, so it fits this
//! database and this storage alone; only a database's owner or a superuser can
//! write a comment, and nobody can foresee a mark. Before a database has its
//! comment its name itself holds such a mark. Refuses to know a database by the
//! form of its name alone: somebody's `shop_kluis_20251121` is theirs.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const STAGING: &str = "kluis staging database, dropped by a later run";
const KEPT: &str = "kept by kluis from before a restore";
const FILLS: &str = "fills a database for kluis, dropped by a later run";
const MARK_BYTES: usize = 16;
/// What a role is called that fills a database: this and an id.
const FILL_ROLE: &str = "kluis_fill_";
/// What a database is called while it is made: this, an id and its mark.
const MAKING: &str = "kluis_making_";

/// PostgreSQL cuts longer names off, in silence (NAMEDATALEN - 1).
pub(super) const NAME_MAX_BYTES: usize = 63;
const ID_DIGITS: usize = 8;

/// What a restore may leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Half restored, or replaced and about to be dropped: of no use to anybody
    /// when no restore runs.
    Staging,
    /// What a swap put aside: whole, and kept on request.
    Kept,
}

impl Leftover {
    fn name_mark(self) -> &'static str {
        match self {
            Self::Staging => "_kluis_",
            Self::Kept => "_kluis_old_",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Staging => STAGING,
            Self::Kept => KEPT,
        }
    }

    /// The name for it: `name`, cut between characters where needed, and `id`, 8
    /// hex digits, behind it.
    pub(super) fn name_of(self, name: &str, id: &str) -> String {
        let mark = self.name_mark();
        let room = NAME_MAX_BYTES - mark.len() - ID_DIGITS;
        let cut = (0..=room.min(name.len()))
            .rev()
            .find(|i| name.is_char_boundary(*i));
        format!("{}{mark}{id}", &name[..cut.unwrap_or(0)])
    }

    fn of_name(name: &str) -> Option<Self> {
        let (front, id) = name.split_at_checked(name.len().checked_sub(ID_DIGITS)?)?;
        if !is_hex(id) {
            return None;
        }
        let ends = |kind: &Self| front.ends_with(kind.name_mark());
        [Self::Kept, Self::Staging].into_iter().find(ends)
    }

    /// Whether it is called like ours and has no storage's mark: left by a version
    /// that gave none, or somebody else's.
    pub(super) fn is_unmarked(name: &str, comment: Option<&str>) -> bool {
        Self::of_name(name).is_some() && Self::of(name, comment).is_none()
    }

    /// What `name` with this comment is, by whatever storage's mark.
    pub(super) fn of(name: &str, comment: Option<&str>) -> Option<Self> {
        let kind = Self::of_name(name)?;
        let (told, _) = split(comment?).1?;
        (told == kind).then_some(kind)
    }
}

/// The marks of one storage.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    storage_id: String,
}

impl Marks {
    /// `storage_id`: as in the storage's own marker; empty where there is none.
    pub fn of_storage(storage_id: &str) -> Self {
        Self {
            storage_id: storage_id.to_owned(),
        }
    }

    /// The comment that marks `name`; `before` is the comment that it has, which
    /// is kept.
    pub fn comment(&self, kind: Leftover, name: &str, before: Option<&str>) -> String {
        let mark = format!("{} [{}]", kind.words(), self.token(kind, name));
        match before {
            Some(before) => format!("{before}\n{mark}"),
            None => mark,
        }
    }

    /// The name of a database that is being made and has no comment yet; `id` is 8
    /// hex digits.
    pub(super) fn making_name(&self, id: &str) -> String {
        format!("{MAKING}{id}_{}", self.hashed(&[MAKING, id]))
    }

    pub(super) fn is_making(&self, name: &str) -> bool {
        let id = name.strip_prefix(MAKING).and_then(|id| id.get(..ID_DIGITS));
        id.is_some_and(|id| self.making_name(id) == name)
    }

    /// The name of a role that fills a database, and the comment that marks it; `id`
    /// is 8 hex digits.
    pub(super) fn fill_role(&self, id: &str) -> (String, String) {
        let name = format!("{FILL_ROLE}{id}");
        let comment = format!("{FILLS} [{}]", self.hashed(&[FILLS, &name]));
        (name, comment)
    }

    pub(super) fn is_fill_role(&self, name: &str, comment: &str) -> bool {
        let id = name.strip_prefix(FILL_ROLE).filter(|id| is_hex(id));
        id.is_some_and(|id| self.fill_role(id).1 == comment)
    }

    /// Whether `comment` holds the very mark that this storage gives `name`.
    pub(super) fn fits(&self, kind: Leftover, name: &str, comment: Option<&str>) -> bool {
        let told = comment.and_then(|comment| split(comment).1);
        Leftover::of_name(name) == Some(kind)
            && told.is_some_and(|(told, token)| told == kind && token == self.token(kind, name))
    }

    fn token(&self, kind: Leftover, name: &str) -> String {
        self.hashed(&[kind.words(), name])
    }

    fn hashed(&self, parts: &[&str]) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.storage_id.as_bytes()) else {
            unreachable!("HMAC takes keys of any length")
        };
        for part in parts {
            mac.update(part.as_bytes());
            mac.update(b"\0");
        }
        hex::encode(&mac.finalize().into_bytes()[..MARK_BYTES])
    }
}

/// A comment as it was before a mark was added to it.
pub(super) fn without_mark(comment: &str) -> Option<&str> {
    split(comment).0
}

type Told<'a> = (Leftover, &'a str);

/// What stood before the mark, and the mark.
fn split(comment: &str) -> (Option<&str>, Option<Told<'_>>) {
    let (before, last) = match comment.rsplit_once('\n') {
        Some((before, last)) => (Some(before), last),
        None => (None, comment),
    };
    let told = [Leftover::Staging, Leftover::Kept]
        .into_iter()
        .find_map(|kind| {
            let token = last.strip_prefix(kind.words())?.strip_prefix(" [")?;
            let token = token.strip_suffix(']')?;
            (token.len() == 2 * MARK_BYTES && is_hex(token)).then_some((kind, token))
        });
    match told {
        Some(told) => (before, Some(told)),
        None => (Some(comment), None),
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::{Leftover, Marks, without_mark};

    #[test]
    fn long_names_are_cut_between_characters() {
        let name = "ü".repeat(31);
        for kind in [Leftover::Staging, Leftover::Kept] {
            let staged = kind.name_of(&name, "0123abcd");
            assert!(staged.len() <= 63, "{staged}");
            assert!(staged.starts_with("üüüüüüüüüü"), "{staged}");
        }
    }

    #[test]
    fn a_database_is_ours_by_name_and_mark_only() {
        let marks = Marks::of_storage("5");
        let name = Leftover::Staging.name_of("shop", "0123abcd");
        let mark = marks.comment(Leftover::Staging, &name, None);
        let fits = |name: &str, comment: &str| {
            marks.fits(Leftover::Staging, name, Some(comment))
                && Leftover::of(name, Some(comment)) == Some(Leftover::Staging)
        };
        assert!(fits(&name, &mark));
        assert!(!marks.fits(Leftover::Staging, &name, None));
        assert!(Leftover::is_unmarked(&name, None));
        assert!(Leftover::is_unmarked(
            "shop_kluis_old_0123abcd",
            Some("the shop's")
        ));
        assert!(!Leftover::is_unmarked(&name, Some(&mark)));
        assert!(!Leftover::is_unmarked("shop_kluis_20", None));
        for (other, comment) in [
            ("shop_kluis_20251121", mark.as_str()),
            ("shop_kluis_old_0123abcd", &mark),
            ("shop", &mark),
            (&name, "our staging database"),
            (
                &name,
                "kluis staging database, dropped by a later run [0123]",
            ),
            (&name, &marks.comment(Leftover::Kept, &name, None)),
            (
                &name,
                &Marks::of_storage("6").comment(Leftover::Staging, &name, None),
            ),
            (&name, &format!("{mark}\nmore")),
        ] {
            assert!(!fits(other, comment), "{other}: {comment}");
        }
    }

    #[test]
    fn a_database_that_is_being_made_is_known_by_its_whole_name() {
        let marks = Marks::of_storage("5");
        let name = marks.making_name("0123abcd");
        assert!(name.len() <= 63, "{name}");
        assert!(marks.is_making(&name));
        let other = name.replace("0123abcd", "0123abce");
        for other in [
            other.as_str(),
            &name[1..],
            "kluis_making_",
            "kluis_making_ü",
            "shop",
        ] {
            assert!(!marks.is_making(other), "{other}");
        }
        assert!(!Marks::of_storage("6").is_making(&name));
    }

    #[test]
    fn a_role_that_fills_is_known_by_its_whole_comment() {
        let marks = Marks::of_storage("5");
        let (name, comment) = marks.fill_role("0123abcd");
        assert!(marks.is_fill_role(&name, &comment));
        assert!(!marks.is_fill_role("kluis_fill_0123abce", &comment));
        assert!(!marks.is_fill_role(&name, &comment[1..]));
        assert!(!Marks::of_storage("6").is_fill_role(&name, &comment));
    }

    #[test]
    fn a_mark_is_added_to_a_comment_and_taken_off_it() {
        let marks = Marks::default();
        let kept = |before| marks.comment(Leftover::Kept, "a_kluis_old_0123abcd", before);
        for before in ["the shop's", "two\nlines"] {
            let comment = kept(Some(before));
            assert_eq!(without_mark(&comment), Some(before));
            assert!(marks.fits(Leftover::Kept, "a_kluis_old_0123abcd", Some(&comment)));
            assert_eq!(without_mark(before), Some(before));
        }
        assert_eq!(without_mark(&kept(None)), None);
    }
}
