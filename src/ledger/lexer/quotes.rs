//! Quoted text and comments: where they begin and end, as psql has it.

use memchr::{memchr, memchr2};

use super::run::Run;
use super::{Event, Lexer, State, is_name_byte, keep_bounded};

/// A dollar quote's tag is an identifier, so no longer than this with its `$`s.
const TAG_BYTES: usize = 66;

/// psql's variables whose text others have a hand in: the name of a database is
/// made of a backup's.
const VARIABLES: [&[u8]; 6] = [
    b"DBNAME",
    b"HOST",
    b"LAST_ERROR_MESSAGE",
    b"PORT",
    b"SERVICE",
    b"USER",
];

impl Lexer {
    /// Whether backslashes escape in the literal whose quote is `bytes[at]`; `None`
    /// where psql's versions differ in that. `is_doubled`: a literal ended right
    /// before, perhaps to go on here.
    pub(super) fn has_escapes(&self, bytes: &[u8], at: usize, is_doubled: bool) -> Option<bool> {
        if is_doubled && self.byte_before(bytes, at, 1) == b'\'' {
            return Some(self.literal_escapes);
        }
        let two = [2, 1].map(|back| self.byte_before(bytes, at, back));
        match self.run_before(bytes, at) {
            Run::Letter(b'E' | b'e') => Some(true),
            Run::Letter(b'B' | b'b' | b'X' | b'x') => Some(false),
            Run::Unclear => None,
            // Servers refuse it where the old rules hold.
            Run::None if matches!(two, [b'U' | b'u', b'&']) && self.backslashes => None,
            Run::Word | Run::Number | Run::Letter(_) | Run::None => Some(self.backslashes),
        }
    }

    pub(super) fn slash(&mut self, next: u8) -> usize {
        if next == b'*' {
            self.state = State::BlockComment { depth: 1, last: 0 };
            return 1;
        }
        self.begin_unkept();
        0
    }

    pub(super) fn hyphen(&mut self, next: u8) -> usize {
        if next == b'-' {
            self.state = State::Comment;
            return 1;
        }
        self.begin_unkept();
        0
    }

    /// It was an operator after all.
    fn begin_unkept(&mut self) {
        if !self.in_statement {
            self.in_statement = true;
            self.is_kept = false;
            self.opening_ended = true;
        }
        self.state = State::Code;
    }

    pub(super) fn colon(&mut self, next: u8) -> (usize, Option<Event>) {
        self.state = State::Code;
        match next {
            // A cast.
            b':' => {
                self.keep(b":");
                (1, None)
            }
            b'A'..=b'Z' => {
                self.tag.clear();
                self.state = State::Variable;
                (0, None)
            }
            b'"' | b'\'' => (0, Some(Event::AfterColon)),
            _ => (0, None),
        }
    }

    pub(super) fn variable(&mut self, next: u8) -> (usize, Option<Event>) {
        const LONGEST: usize = 18;
        let goes_on = is_name_byte(next) && next != b'$';
        if goes_on && self.tag.len() <= LONGEST {
            self.tag.push(next);
            return (1, None);
        }
        let name = std::mem::take(&mut self.tag);
        self.keep(&name);
        self.state = State::Code;
        let is_known = !goes_on && VARIABLES.contains(&&name[..]);
        self.run = Run::Word;
        (0, is_known.then_some(Event::Unclear))
    }

    /// `next`: behind a carriage return. psql's comments end there; a line that ends
    /// in both is a line of another system.
    pub(super) fn comment_return(&mut self, next: u8) -> (usize, Option<Event>) {
        if next == b'\n' {
            self.state = State::Comment;
            return (1, self.end_line());
        }
        self.leave_comment();
        (0, None)
    }

    pub(super) fn rest_of_line(&mut self, rest: &[u8]) -> (usize, Option<Event>) {
        let end = match self.state {
            State::Comment => memchr2(b'\n', b'\r', rest),
            _ => memchr(b'\n', rest),
        };
        keep_bounded(&mut self.line, &rest[..end.unwrap_or(rest.len())]);
        let Some(end) = end else {
            return (rest.len(), None);
        };
        if rest[end] == b'\r' {
            keep_bounded(&mut self.line, b"\r");
            self.state = State::CommentReturn;
            return (end + 1, None);
        }
        (end + 1, self.end_line())
    }

    fn end_line(&mut self) -> Option<Event> {
        let event = match self.state {
            State::MetaCommand => Some(Event::MetaCommand),
            _ => (!self.in_statement).then_some(Event::Comment),
        };
        self.leave_comment();
        event
    }

    fn leave_comment(&mut self) {
        self.state = match self.in_statement {
            true => State::Code,
            false => State::Between,
        };
    }

    pub(super) fn block_comment(&mut self, rest: &[u8], mut depth: u32, mut last: u8) -> usize {
        let mut at = 0;
        while at < rest.len() && depth > 0 {
            if last != b'*' && last != b'/' {
                at += memchr2(b'*', b'/', &rest[at..]).unwrap_or(rest.len() - at);
            }
            let Some(&byte) = rest.get(at) else {
                break;
            };
            (depth, last) = match (last, byte) {
                (b'*', b'/') => (depth - 1, 0),
                (b'/', b'*') => (depth.saturating_add(1), 0),
                _ => (depth, byte),
            };
            at += 1;
        }
        self.state = State::BlockComment { depth, last };
        if depth == 0 {
            self.leave_comment();
        }
        at
    }

    pub(super) fn literal(&mut self, rest: &[u8], escapes: bool, escaped: bool) -> usize {
        let start = usize::from(escaped);
        let found = if escapes {
            memchr2(b'\'', b'\\', &rest[start..])
        } else {
            memchr(b'\'', rest)
        };
        let used = found.map_or(rest.len(), |at| start + at + 1);
        self.keep(&rest[..used]);
        let ends_escape = found.is_some() && rest[used - 1] == b'\\';
        self.state = if found.is_some() && !ends_escape {
            self.literal_escapes = escapes;
            State::Code
        } else {
            State::Literal {
                escapes,
                escaped: ends_escape,
            }
        };
        used
    }

    pub(super) fn identifier(&mut self, rest: &[u8]) -> usize {
        let end = memchr(b'"', rest);
        let used = end.map_or(rest.len(), |at| at + 1);
        self.keep(&rest[..used]);
        if end.is_some() {
            self.state = State::Code;
        }
        used
    }

    /// A tag that is longer than any name is one nevertheless.
    pub(super) fn dollar_tag(&mut self, next: u8) -> (usize, Option<Event>) {
        let starts_tag = self.tag.len() == 1;
        let goes_on = is_name_byte(next) && !(starts_tag && next.is_ascii_digit());
        if next != b'$' && !goes_on {
            self.state = State::Code;
            return (0, None);
        }
        if self.tag.len() == TAG_BYTES {
            return (0, Some(Event::Unclear));
        }
        self.tag.push(next);
        self.keep(&[next]);
        if next == b'$' {
            self.state = State::DollarBody { matched: 0 };
        }
        (1, None)
    }

    pub(super) fn dollar_body(&mut self, rest: &[u8], mut matched: usize) -> usize {
        let mut used = 0;
        while used < rest.len() && matched < self.tag.len() {
            if matched == 0 {
                let Some(skipped) = memchr(b'$', &rest[used..]) else {
                    used = rest.len();
                    break;
                };
                used += skipped;
            }
            // A tag has `$` at its ends only: a mismatch can at most begin anew.
            matched = match rest[used] {
                byte if byte == self.tag[matched] => matched + 1,
                b'$' => 1,
                _ => 0,
            };
            used += 1;
        }
        self.keep(&rest[..used]);
        self.state = if matched == self.tag.len() {
            State::Code
        } else {
            State::DollarBody { matched }
        };
        used
    }
}
