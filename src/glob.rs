//! Globs on characters: `*`, `?`, `[..]`, `{a,b}`, `**` and `\`, as in .gitignore, the
//! braces besides.
//!
//! Owns their translation into regular expressions; refuses what can be honoured in
//! no way, instead of matching nothing. Of a text that is no UTF-8, each piece that is
//! none counts as one character.

use std::iter::Peekable;
use std::str::Chars;

use regex::{RegexSet, RegexSetBuilder};

/// Some thousand globs take a tenth of it.
const COMPILED_BYTES_MAX: usize = 256 << 20;

/// Those of POSIX; each stands for ASCII characters only.
const CLASSES: [&str; 12] = [
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "xdigit",
];

/// Why a glob can be honoured in no way.
#[derive(Debug, thiserror::Error)]
#[error("{glob:?} is no glob: {why}")]
pub struct GlobError {
    pub glob: String,
    pub why: String,
}

/// What of a text a glob has to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of it, which is no path: a `/` is as any character.
    Text,
    /// All of a path, where `*` and `?` pass over no `/`.
    Path,
    /// The last name of a path.
    Name,
}

/// Several globs that are tried at once.
#[derive(Clone, Debug, Default)]
pub struct Globs(RegexSet);

impl Globs {
    pub fn new<'a>(globs: impl IntoIterator<Item = (&'a str, Reach)>) -> Result<Self, GlobError> {
        let globs: Vec<_> = globs.into_iter().collect();
        let mut expressions = Vec::with_capacity(globs.len());
        for &(glob, reach) in &globs {
            expressions.push(expression(glob, reach).map_err(|why| refused(glob, why))?);
        }
        compiled(&expressions).map(Self).map_err(|error| {
            // Which of them it is, only each by itself can tell.
            let alone = globs.iter().zip(&expressions).find_map(|((glob, _), it)| {
                let error = compiled(std::slice::from_ref(it)).err()?;
                Some(refused(glob, &reason(&error)))
            });
            alone.unwrap_or_else(|| refused("all together", &reason(&error)))
        })
    }

    pub fn is_match(&self, text: &[u8]) -> bool {
        !self.0.is_empty() && self.0.is_match(&String::from_utf8_lossy(text))
    }

    /// Which globs fit, by their place, the last first.
    pub fn matches(&self, text: &[u8]) -> impl Iterator<Item = usize> + use<> {
        let found = match self.0.is_empty() {
            true => None,
            false => Some(self.0.matches(&String::from_utf8_lossy(text))),
        };
        found.into_iter().flat_map(|found| {
            let places: Vec<usize> = found.iter().collect();
            places.into_iter().rev()
        })
    }
}

/// What a pattern of paths fits: without a `/` a name at any depth, with one the path
/// from the root on. A `/` or `./` at its start says only that.
pub fn of_paths(pattern: &str) -> (&str, Reach) {
    let anchored = pattern.strip_prefix("./").or(pattern.strip_prefix('/'));
    let glob = anchored.unwrap_or(pattern);
    match anchored.is_some() || glob.contains('/') {
        true => (glob, Reach::Path),
        false => (glob, Reach::Name),
    }
}

fn compiled(expressions: &[String]) -> Result<RegexSet, regex::Error> {
    RegexSetBuilder::new(expressions)
        .dot_matches_new_line(true)
        .size_limit(COMPILED_BYTES_MAX)
        .build()
}

fn refused(glob: &str, why: &str) -> GlobError {
    GlobError {
        glob: glob.to_owned(),
        why: why.to_owned(),
    }
}

/// The last line says what is wrong; those before show where, in an expression that
/// nobody wrote.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

fn expression(glob: &str, reach: Reach) -> Result<String, &'static str> {
    let mut translation = Translation {
        left: glob.chars().peekable(),
        made: String::from(match reach {
            Reach::Text | Reach::Path => "^(?:",
            Reach::Name => "(?:^|/)(?:",
        }),
        is_path: reach != Reach::Text,
        braces: 0,
        at_part: true,
    };
    while let Some(character) = translation.left.next() {
        translation.take(character)?;
    }
    if translation.braces > 0 {
        return Err("\"{\" without its \"}\"");
    }
    translation.made.push_str(")$");
    Ok(translation.made)
}

struct Translation<'a> {
    left: Peekable<Chars<'a>>,
    made: String,
    is_path: bool,
    /// Open ones.
    braces: usize,
    /// Whether a part of the path begins here.
    at_part: bool,
}

impl Translation<'_> {
    fn take(&mut self, character: char) -> Result<(), &'static str> {
        let at_part = std::mem::replace(&mut self.at_part, character == '/');
        match character {
            '*' => self.stars(at_part),
            '?' => self.one_character(),
            '[' => self.class()?,
            '{' => {
                self.braces += 1;
                self.at_part = at_part;
                self.made.push_str("(?:");
            }
            '}' if self.braces == 0 => {
                return Err("\"}\" without its \"{\"");
            }
            '}' => {
                self.braces -= 1;
                self.made.push(')');
            }
            ',' if self.braces > 0 => self.made.push('|'),
            '\\' => match self.left.next() {
                Some(escaped) => self.literal(escaped),
                None => return Err("a \"\\\" at its end"),
            },
            character => self.literal(character),
        }
        Ok(())
    }

    fn one_character(&mut self) {
        self.made.push_str(match self.is_path {
            true => "[^/]",
            false => ".",
        });
    }

    fn literal(&mut self, character: char) {
        let mut buffer = [0; 4];
        self.made
            .push_str(&regex::escape(character.encode_utf8(&mut buffer)));
    }

    /// Two of them that are a part of the path by themselves stand for any parts.
    fn stars(&mut self, at_part: bool) {
        let mut stars = 1;
        while self.left.next_if_eq(&'*').is_some() {
            stars += 1;
        }
        match (self.left.peek(), at_part && stars == 2) {
            (None, true) => self.made.push_str(".*"),
            (Some('/'), true) => {
                self.left.next();
                self.at_part = true;
                self.made.push_str("(?:.*/)?");
            }
            _ => {
                self.one_character();
                self.made.push('*');
            }
        }
    }

    /// From behind its `[`. In a path it never stands for a `/`.
    fn class(&mut self) -> Result<(), &'static str> {
        let open = "\"[\" without its \"]\"";
        self.made.push_str("[[");
        if self
            .left
            .next_if(|next| matches!(next, '!' | '^'))
            .is_some()
        {
            self.made.push('^');
        }
        let mut is_first = true;
        loop {
            match self.left.next().ok_or(open)? {
                ']' if !is_first => break,
                '[' if self.left.next_if_eq(&':').is_some() => self.named_class()?,
                '\\' => {
                    let escaped = self.left.next().ok_or(open)?;
                    self.literal(escaped);
                }
                // Between two characters it makes a range, elsewhere it is itself.
                '-' if !is_first && self.left.peek().is_some_and(|next| *next != ']') => {
                    self.made.push('-');
                }
                character => self.literal(character),
            }
            is_first = false;
        }
        self.made.push_str(match self.is_path {
            true => "]&&[^/]]",
            false => "]]",
        });
        Ok(())
    }

    /// `[:alpha:]` and the like, from behind its `[:`.
    fn named_class(&mut self) -> Result<(), &'static str> {
        let mut name = String::new();
        while let Some(letter) = self.left.next_if(char::is_ascii_lowercase) {
            name.push(letter);
        }
        let is_closed = self.left.next() == Some(':') && self.left.next() == Some(']');
        match (is_closed, CLASSES.contains(&name.as_str())) {
            (false, _) => Err("\"[:\" without its \":]\""),
            (true, false) => Err("a class that is not known"),
            (true, true) => {
                self.made.push_str(&format!("[:{name}:]"));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(glob: &str, text: &[u8]) -> bool {
        Globs::new([(glob, Reach::Path)]).unwrap().is_match(text)
    }

    #[test]
    fn each_stands_for_the_characters_that_it_says_whatever_their_bytes() {
        for (glob, text, fitting) in [
            ("[é]*", "ça", false),
            ("[é]*", "ü.doc", false),
            ("[é]*", "État.doc", false),
            ("[é]*", "été", true),
            ("?.txt", "é.txt", true),
            ("??.txt", "é.txt", false),
            ("?", "💾", true),
            ("[а-я].txt", "ж.txt", true),
            ("[а-я].txt", "z.txt", false),
            ("[!é]", "è", true),
            ("[!é]", "é", false),
            ("[^a]x", "/x", false),
            ("[!-~]", "/", false),
            ("[]]", "]", true),
            ("[a-]", "-", true),
            ("[-a]", "-", true),
            ("[[:digit:]-]", "7", true),
            ("[[:digit:]]", "a", false),
            ("[&&]", "&", true),
            ("[\\]]", "]", true),
            ("*", "a\nb", true),
            ("*.log", "x.logs", false),
            ("a.b", "axb", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("{jpg,p?g}", "png", true),
            ("x.{a,b{c,d}}", "x.bd", true),
            ("a,b", "a,b", true),
            ("a/*", "a/b/c", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**/z", "a/z", true),
            ("a/**/z", "a/b/c/z", true),
            ("a/**/z", "a/bz", false),
            ("**/z", "z", true),
            ("**/z", "a/b/z", true),
            ("a**z", "abz", true),
            ("a**z", "a/z", false),
            ("***", "a", true),
        ] {
            assert_eq!(fits(glob, text.as_bytes()), fitting, "{glob} {text}");
        }
        assert!(fits("*.log", b"\xff.log") && fits("?", b"\xff"));
    }

    #[test]
    fn a_text_that_is_no_path_has_no_parts() {
        let globs = Globs::new([("test_*", Reach::Text), ("?[!a]b", Reach::Text)]).unwrap();
        assert!(globs.is_match(b"test_a/b") && globs.is_match(b"//b"));
    }

    #[test]
    fn the_last_part_is_found_at_any_depth() {
        let globs = Globs::new([("*.log", Reach::Name), ("x", Reach::Name)]).unwrap();
        for (text, found) in [
            ("a/b.log", Some(0)),
            ("b.log", Some(0)),
            ("b.log/x", Some(1)),
            ("xx", None),
        ] {
            assert_eq!(globs.matches(text.as_bytes()).next(), found, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_with_the_reason() {
        for (glob, why) in [
            ("a[", "without its"),
            ("[]", "without its"),
            ("[a\\", "without its"),
            ("{a", "without its"),
            ("a}", "without its"),
            ("a\\", "at its end"),
            ("[z-a]", "range"),
            ("[[:nonsense:]]", "class"),
            ("[[:alpha]", "without its"),
        ] {
            let error = Globs::new([(glob, Reach::Path)]).expect_err(glob);
            assert!(error.to_string().contains(why), "{glob}: {error}");
        }
    }

    #[test]
    fn ten_thousand_of_them_fit_into_the_limit() {
        let names: Vec<String> = (0..10_000).map(|n| format!("name-{n}-*[äöü]?")).collect();
        let globs = names.iter().map(|name| (name.as_str(), Reach::Name));
        let globs = Globs::new(globs).unwrap();
        assert_eq!(globs.matches("a/name-77-xä-".as_bytes()).next(), Some(77));
    }
}
