//! Colours, the taming of text from outside, and its lines.

use std::borrow::Cow;
use std::fmt::{self, Display};

/// ANSI SGR sequences (ECMA-48).
#[derive(Clone, Copy)]
pub enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Style {
    fn start(self) -> &'static str {
        match self {
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Red => "\x1b[1;31m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Cyan => "\x1b[36m",
        }
    }

    pub fn paint<T: Display>(self, text: T) -> Painted<T> {
        Painted { style: self, text }
    }
}

pub struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}\x1b[0m", self.style.start(), self.text)
    }
}

/// Text for one line: control characters (also newlines) and those that turn
/// the reading direction become visible escapes.
pub fn line(text: &str) -> Cow<'_, str> {
    tame(text, |c| is_unsafe(c) || c == '\n' || c == '\t')
}

/// The same for text that may have several lines, such as a server's message.
pub fn lines(text: &str) -> Cow<'_, str> {
    tame(text, is_unsafe)
}

fn tame(text: &str, refused: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&refused) {
        return Cow::Borrowed(text);
    }
    let mut tamed = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match refused(c) {
            true => tamed.extend(c.escape_default()),
            false => tamed.push(c),
        }
    }
    Cow::Owned(tamed)
}

fn is_unsafe(c: char) -> bool {
    let turns_direction = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns_direction || (c.is_control() && c != '\n' && c != '\t')
}

/// The words in lines of at most `width` columns, later lines behind `indent`. What
/// a server says in several lines becomes one text.
pub fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(last) if last.chars().count() + 1 + word.chars().count() <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join(&format!("\n{:indent$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_names_escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(line("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(line("in\u{202e}txt.exe"), "in\\u{202e}txt.exe");
        assert_eq!(line("größe 'x'"), "größe 'x'");
    }

    #[test]
    fn a_message_keeps_its_lines() {
        assert_eq!(lines("one\n\ttwo\r\x07"), "one\n\ttwo\\r\\u{7}");
    }
}
