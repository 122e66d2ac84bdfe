//! Finds the statements, comments and psql commands in SQL text that comes in
//! slices cut anywhere.
//!
//! Owns what is quoted and what is not, so that text in literals, identifiers
//! and function bodies is never taken for SQL. Refuses nothing. Keeps a bounded
//! beginning of the current statement or line, nothing else.
//!
//! psql reads the same text and obeys the commands that it finds. So what is a
//! quote, a comment or a command is read here as psql reads it, and what its
//! versions read differently is told as [`Event::Unclear`].

mod quotes;
mod routine;
mod run;

use routine::Routine;
use run::Run;

/// Of a statement or a line, so much is kept. pg_dump's longest statement that
/// matters is a `COPY` with 1,600 column names of 63 bytes.
pub(super) const KEPT_BYTES: usize = 1 << 20;

/// What the text just read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A statement, with its semicolon: see [`Lexer::statement`].
    Statement,
    /// A comment line outside of statements: see [`Lexer::line`].
    Comment,
    /// A psql command: see [`Lexer::line`].
    MetaCommand,
    /// A quote right behind a colon: psql would look for a variable of that name.
    AfterColon,
    /// Text that nobody can tell the quotes of, or a variable of psql's that holds
    /// more than a word: pg_dump writes neither.
    Unclear,
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
    /// After one slash.
    Slash,
    /// After one colon.
    Colon,
    /// In a name right after a colon, which may be a variable of psql's.
    Variable,
    Comment,
    /// After a carriage return in a comment: psql ends the comment there.
    CommentReturn,
    /// In `/* */`, so many levels deep, after the byte `last`.
    BlockComment {
        depth: u32,
        last: u8,
    },
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
    /// The word or number that the next byte may go on.
    run: Run,
    /// In the slice at hand: what stands before belongs to another token.
    token_start: usize,
    /// The first letters of the statement, in capitals.
    opening: [u8; 7],
    opening_len: usize,
    opening_ended: bool,
    routine: Routine,
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
            run: Run::None,
            token_start: 0,
            opening: [0; 7],
            opening_len: 0,
            opening_ended: false,
            routine: Routine::default(),
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

    /// The statement's first word in capitals, cut after seven letters. It need not
    /// stand in the first column.
    pub fn opening(&self) -> &[u8] {
        &self.opening[..self.opening_len]
    }

    /// Whether psql, having read a semicolon, takes what follows for more of the
    /// same: a routine's body between BEGIN and END.
    pub fn in_routine(&self) -> bool {
        self.routine.is_open()
    }

    /// Other text was read elsewhere up to the end of a line.
    pub fn skip_to_new_line(&mut self) {
        self.before = [b'\n'; 2];
        self.run = Run::None;
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
        self.opening_len = 0;
        self.opening_ended = false;
        self.routine.end_statement();
    }

    /// No more text comes: the line it ended in ends here.
    pub fn end(&mut self) -> Option<Event> {
        match self.state {
            State::Comment | State::CommentReturn if !self.in_statement => Some(Event::Comment),
            State::MetaCommand => Some(Event::MetaCommand),
            _ => None,
        }
    }

    /// Reads `bytes` to the next event or to their end; gives how many it read.
    pub fn scan(&mut self, bytes: &[u8]) -> (usize, Option<Event>) {
        let mut at = 0;
        let mut event = None;
        self.token_start = 0;
        while at < bytes.len() && event.is_none() {
            let used;
            (used, event) = self.step(bytes, at);
            at += used;
        }
        self.run = match self.state {
            State::Code => self.run_before(bytes, at),
            _ => Run::None,
        };
        match bytes[..at] {
            [] => {}
            [last] => self.before = [self.before[1], last],
            [.., one, last] => self.before = [one, last],
        }
        (at, event)
    }

    fn step(&mut self, bytes: &[u8], at: usize) -> (usize, Option<Event>) {
        let rest = &bytes[at..];
        let (used, event) = match self.state {
            State::Between => (self.between(bytes, at), None),
            State::Code => return self.code(bytes, at),
            State::Hyphen => (self.hyphen(rest[0]), None),
            State::Slash => (self.slash(rest[0]), None),
            State::Colon => self.colon(rest[0]),
            State::Variable => self.variable(rest[0]),
            State::Comment | State::MetaCommand => self.rest_of_line(rest),
            State::CommentReturn => self.comment_return(rest[0]),
            State::BlockComment { depth, last } => (self.block_comment(rest, depth, last), None),
            State::Literal { escapes, escaped } => (self.literal(rest, escapes, escaped), None),
            State::Identifier => (self.identifier(rest), None),
            State::DollarTag => self.dollar_tag(rest[0]),
            State::DollarBody { matched } => (self.dollar_body(rest, matched), None),
        };
        // What ended there was no word that could go on.
        if self.state == State::Code && used > 0 {
            self.next_token(at + used, Run::None);
        }
        (used, event)
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
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c);
        let blanks = rest.iter().take_while(is_blank).count();
        let Some(first) = rest.get(blanks) else {
            return blanks;
        };
        self.line.clear();
        self.state = match first {
            b'-' => State::Hyphen,
            b'/' => State::Slash,
            b'\\' => State::MetaCommand,
            _ => {
                self.in_statement = true;
                self.next_token(at + blanks, Run::None);
                self.is_kept = self.byte_before(bytes, at + blanks, 1) == b'\n';
                State::Code
            }
        };
        // These are used up; a command keeps its backslash.
        blanks + usize::from(matches!(first, b'-' | b'/'))
    }

    fn code(&mut self, bytes: &[u8], at: usize) -> (usize, Option<Event>) {
        let rest = &bytes[at..];
        let plain = rest.iter().position(|byte| SPECIAL[usize::from(*byte)]);
        let length = plain.unwrap_or(rest.len());
        self.keep(&rest[..length]);
        self.open_with(&rest[..length]);
        let Some(&special) = rest.get(length) else {
            return (length, None);
        };
        let mut event = None;
        let run = self.run_before(bytes, at + length);
        let goes_on = special == b'$' && matches!(run, Run::Word | Run::Letter(_));
        self.end_opening();
        match goes_on {
            true => self.routine.letters(b"$"),
            false => self.routine.end_word(self.parentheses),
        }
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
            b'/' => self.state = State::Slash,
            b':' => self.state = State::Colon,
            b'\'' => match self.has_escapes(bytes, at + length, length == 0) {
                Some(escapes) => {
                    self.state = State::Literal {
                        escapes,
                        escaped: false,
                    };
                }
                None => event = Some(Event::Unclear),
            },
            b'$' if goes_on => {}
            b'$' if run == Run::Unclear => event = Some(Event::Unclear),
            b'$' => {
                self.tag.clear();
                self.tag.push(b'$');
                self.state = State::DollarTag;
            }
            _ => {}
        }
        if event.is_none() {
            self.keep(&[special]);
        }
        let run = if goes_on { Run::Word } else { Run::None };
        self.next_token(at + length + 1, run);
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
    let bytes = b"'\"$-;()\\/:";
    let mut at = 0;
    while at < bytes.len() {
        special[bytes[at] as usize] = true;
        at += 1;
    }
    special
};
