//! Finds the statements, comments and psql commands in SQL text that comes in
//! slices cut anywhere.
//!
//! Owns what is quoted and what is not, so that text in literals, identifiers
//! and function bodies is never taken for SQL. Refuses nothing. Keeps a bounded
//! beginning of the current statement or line, nothing else. Does not know
//! `/* */`, which pg_dump never writes outside of quotes.

use memchr::{memchr, memchr2};

/// Of a statement or a line, so much is kept. pg_dump's longest statement that
/// matters is a `COPY` with 1,600 column names of 63 bytes.
pub(super) const KEPT_BYTES: usize = 1 << 20;

/// A dollar quote's tag is an identifier, so no longer than this with its `$`s.
const TAG_BYTES: usize = 66;

/// What the text just read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A statement, with its semicolon: see [`Lexer::statement`].
    Statement,
    /// A comment line outside of statements: see [`Lexer::line`].
    Comment,
    /// A psql command: see [`Lexer::line`].
    MetaCommand,
    /// The opening parenthesis of a row in `INSERT INTO ... VALUES`.
    RowOpen,
    /// Its closing parenthesis.
    RowClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two statements.
    Between,
    /// In a statement, outside of quotes.
    Code,
    /// After one hyphen.
    Hyphen,
    Comment,
    MetaCommand,
    /// In '...': whether a backslash escapes, and whether one just did.
    Literal {
        escapes: bool,
        escaped: bool,
    },
    /// In "...".
    Identifier,
    /// In what may be the opening tag of a dollar quote.
    DollarTag,
    /// In a dollar quote: so many bytes of the closing tag have been seen.
    DollarBody {
        matched: usize,
    },
}

pub(super) struct Lexer {
    state: State,
    in_statement: bool,
    /// Whether the statement begins in the first column, as pg_dump's do: only
    /// then its text is kept.
    is_kept: bool,
    in_rows: bool,
    parentheses: u64,
    statement: Vec<u8>,
    line: Vec<u8>,
    tag: Vec<u8>,
    /// The two bytes before the next one.
    before: [u8; 2],
    /// Whether the literal that just ended had escapes: `E'a''b\''` is one.
    literal_escapes: bool,
    /// `standard_conforming_strings = off`.
    pub backslashes: bool,
}

impl Lexer {
    pub fn new() -> Self {
        Self {
            state: State::Between,
            in_statement: false,
            is_kept: false,
            in_rows: false,
            parentheses: 0,
            statement: Vec::new(),
            line: Vec::new(),
            tag: Vec::new(),
            before: [b'\n'; 2],
            literal_escapes: false,
            backslashes: false,
        }
    }

    /// The current statement's beginning if it stands in the first column, else
    /// nothing. For an `INSERT` the rows are left out.
    pub fn statement(&self) -> &[u8] {
        &self.statement
    }

    /// Takes [`Lexer::statement`] out. [`Lexer::next_statement`] wants its
    /// memory back.
    pub fn take_statement(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.statement)
    }

    /// The last comment line without its two hyphens, or the psql command from
    /// its backslash on; without the newline.
    pub fn line(&self) -> &[u8] {
        &self.line
    }

    /// Whether the text so far ends inside a statement.
    pub fn in_statement(&self) -> bool {
        self.in_statement || self.state == State::Hyphen
    }

    /// Other text was read elsewhere up to the end of a line.
    pub fn skip_to_new_line(&mut self) {
        self.before = [b'\n'; 2];
    }

    /// After a statement was read: the next one may come. `text`: what
    /// [`Lexer::take_statement`] gave.
    pub fn next_statement(&mut self, text: Vec<u8>) {
        self.statement = text;
        self.state = State::Between;
        self.in_statement = false;
        self.in_rows = false;
        self.parentheses = 0;
        self.statement.clear();
    }

    /// No more text comes: the line it ended in ends here.
    pub fn end(&mut self) -> Option<Event> {
        match self.state {
            State::Comment if !self.in_statement => Some(Event::Comment),
            State::MetaCommand => Some(Event::MetaCommand),
            _ => None,
        }
    }

    /// Reads `bytes` to the next event or to their end; gives how many it read.
    pub fn scan(&mut self, bytes: &[u8]) -> (usize, Option<Event>) {
        let mut at = 0;
        let mut event = None;
        while at < bytes.len() && event.is_none() {
            let used;
            (used, event) = self.step(bytes, at);
            at += used;
        }
        match bytes[..at] {
            [] => {}
            [last] => self.before = [self.before[1], last],
            [.., one, last] => self.before = [one, last],
        }
        (at, event)
    }

    fn step(&mut self, bytes: &[u8], at: usize) -> (usize, Option<Event>) {
        let rest = &bytes[at..];
        match self.state {
            State::Between => (self.between(bytes, at), None),
            State::Code => self.code(bytes, at),
            State::Hyphen => (self.hyphen(rest[0]), None),
            State::Comment | State::MetaCommand => self.rest_of_line(rest),
            State::Literal { escapes, escaped } => (self.literal(rest, escapes, escaped), None),
            State::Identifier => (self.identifier(rest), None),
            State::DollarTag => (self.dollar_tag(rest[0]), None),
            State::DollarBody { matched } => (self.dollar_body(rest, matched), None),
        }
    }

    /// The byte `back` places before `bytes[at]`; `back` is 1 or 2.
    fn byte_before(&self, bytes: &[u8], at: usize, back: usize) -> u8 {
        match at.checked_sub(back) {
            Some(place) => bytes[place],
            None => self.before[2 + at - back],
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_kept && !self.in_rows {
            keep_bounded(&mut self.statement, bytes);
        }
    }

    fn between(&mut self, bytes: &[u8], at: usize) -> usize {
        let rest = &bytes[at..];
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let blanks = rest.iter().take_while(is_blank).count();
        let Some(first) = rest.get(blanks) else {
            return blanks;
        };
        self.line.clear();
        self.state = match first {
            b'-' => State::Hyphen,
            b'\\' => State::MetaCommand,
            _ => {
                self.in_statement = true;
                self.is_kept = self.byte_before(bytes, at + blanks, 1) == b'\n';
                State::Code
            }
        };
        // A hyphen is used up; a command keeps its backslash.
        blanks + usize::from(*first == b'-')
    }

    fn code(&mut self, bytes: &[u8], at: usize) -> (usize, Option<Event>) {
        let rest = &bytes[at..];
        let plain = rest.iter().position(|byte| SPECIAL[usize::from(*byte)]);
        let length = plain.unwrap_or(rest.len());
        self.keep(&rest[..length]);
        let Some(&special) = rest.get(length) else {
            return (length, None);
        };
        let mut event = None;
        match special {
            b';' if self.parentheses == 0 => return (length + 1, Some(Event::Statement)),
            b'(' => event = self.open_parenthesis(),
            b')' => event = self.close_parenthesis(),
            b'\\' => {
                self.line.clear();
                self.state = State::MetaCommand;
                return (length, None);
            }
            b'-' => self.state = State::Hyphen,
            b'"' => self.state = State::Identifier,
            b'\'' => {
                let escapes = self.has_escapes(bytes, at + length, length == 0);
                self.state = State::Literal {
                    escapes,
                    escaped: false,
                };
            }
            b'$' if !is_name_byte(self.byte_before(bytes, at + length, 1)) => {
                self.tag.clear();
                self.tag.push(b'$');
                self.state = State::DollarTag;
            }
            _ => {}
        }
        if event.is_none() {
            self.keep(&[special]);
        }
        (length + 1, event)
    }

    fn open_parenthesis(&mut self) -> Option<Event> {
        self.parentheses += 1;
        if self.parentheses > 1 || !self.statement.starts_with(b"INSERT INTO ") {
            return None;
        }
        // No further back: all blanks anew at each parenthesis could take hours.
        let near = &self.statement[self.statement.len().saturating_sub(64)..];
        self.in_rows |= near.trim_ascii_end().ends_with(b" VALUES");
        self.in_rows.then_some(Event::RowOpen)
    }

    fn close_parenthesis(&mut self) -> Option<Event> {
        self.parentheses = self.parentheses.saturating_sub(1);
        (self.in_rows && self.parentheses == 0).then_some(Event::RowClose)
    }

    /// Whether backslashes escape in the literal whose quote is `bytes[at]`.
    /// `is_doubled`: a literal ended right before, perhaps to go on here.
    fn has_escapes(&self, bytes: &[u8], at: usize, is_doubled: bool) -> bool {
        match self.byte_before(bytes, at, 1) {
            b'\'' if is_doubled => self.literal_escapes,
            b'E' | b'e' => self.backslashes || !is_name_byte(self.byte_before(bytes, at, 2)),
            _ => self.backslashes,
        }
    }

    fn hyphen(&mut self, next: u8) -> usize {
        if next == b'-' {
            self.state = State::Comment;
            return 1;
        }
        if !self.in_statement {
            self.in_statement = true;
            self.is_kept = false;
        }
        self.state = State::Code;
        0
    }

    fn rest_of_line(&mut self, rest: &[u8]) -> (usize, Option<Event>) {
        let end = memchr(b'\n', rest);
        keep_bounded(&mut self.line, &rest[..end.unwrap_or(rest.len())]);
        let Some(end) = end else {
            return (rest.len(), None);
        };
        let event = match self.state {
            State::MetaCommand => Some(Event::MetaCommand),
            _ => (!self.in_statement).then_some(Event::Comment),
        };
        self.state = if self.in_statement {
            State::Code
        } else {
            State::Between
        };
        (end + 1, event)
    }

    fn literal(&mut self, rest: &[u8], escapes: bool, escaped: bool) -> usize {
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

    fn identifier(&mut self, rest: &[u8]) -> usize {
        let end = memchr(b'"', rest);
        let used = end.map_or(rest.len(), |at| at + 1);
        self.keep(&rest[..used]);
        if end.is_some() {
            self.state = State::Code;
        }
        used
    }

    fn dollar_tag(&mut self, next: u8) -> usize {
        let starts_tag = self.tag.len() == 1;
        let goes_on = is_name_byte(next) && !(starts_tag && next.is_ascii_digit());
        if next != b'$' && (!goes_on || self.tag.len() == TAG_BYTES) {
            self.state = State::Code;
            return 0;
        }
        self.tag.push(next);
        self.keep(&[next]);
        if next == b'$' {
            self.state = State::DollarBody { matched: 0 };
        }
        1
    }

    fn dollar_body(&mut self, rest: &[u8], mut matched: usize) -> usize {
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

fn keep_bounded(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = KEPT_BYTES - kept.len();
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// A byte that goes on an identifier. `$` may, too: `a$b$c` has no dollar quote.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// The bytes that mean something in a statement outside of quotes.
static SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let bytes = b"'\"$-;()\\";
    let mut at = 0;
    while at < bytes.len() {
        special[bytes[at] as usize] = true;
        at += 1;
    }
    special
};
