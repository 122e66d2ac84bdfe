//! Where psql takes a semicolon for a part of a statement: between BEGIN and END
//! of a routine's body in SQL.
//!
//! psql has done so since version 14; older ones end the statement at the first
//! semicolon. Its rule is followed from the safe side: a body may be thought open
//! that psql thinks closed, and then rows that begin in it are refused.

use super::Lexer;

/// No word that counts is longer.
const WORD_BYTES: usize = 10;

impl Lexer {
    /// The beginning of a statement's first word, and the words of a routine.
    pub(super) fn open_with(&mut self, plain: &[u8]) {
        let was_watched = self.routine.is_watched();
        let mut rest = plain;
        if !self.opening_ended {
            let letters = plain.iter().take_while(|byte| byte.is_ascii_alphabetic());
            let letters = letters.count();
            for letter in &plain[..letters.min(self.opening.len() - self.opening_len)] {
                self.opening[self.opening_len] = letter.to_ascii_uppercase();
                self.opening_len += 1;
            }
            rest = &plain[letters..];
            if !rest.is_empty() {
                self.end_opening();
            }
        }
        if was_watched {
            self.routine.read(plain, self.parentheses);
        } else if self.routine.is_watched() {
            self.routine.read(rest, self.parentheses);
        }
    }

    pub(super) fn end_opening(&mut self) {
        if !std::mem::replace(&mut self.opening_ended, true) && self.opening() == b"CREATE" {
            self.routine.watch();
        }
    }
}

#[derive(Default)]
pub(super) struct Routine {
    /// The statement begins with CREATE.
    is_watched: bool,
    /// It has the word FUNCTION or PROCEDURE.
    is_routine: bool,
    /// The word that the text so far ends in, in small letters, cut.
    word: Vec<u8>,
    depth: u32,
}

impl Routine {
    /// After CREATE.
    pub fn watch(&mut self) {
        self.is_watched = true;
    }

    pub fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// Whether a body is open.
    pub fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// Text outside of quotes.
    pub fn read(&mut self, plain: &[u8], parentheses: u64) {
        let is_part = |byte: &u8| super::is_name_byte(*byte);
        for piece in plain.chunk_by(|one, other| is_part(one) == is_part(other)) {
            match is_part(&piece[0]) {
                true => self.letters(piece),
                false => self.end_word(parentheses),
            }
        }
    }

    /// The word goes on.
    pub fn letters(&mut self, letters: &[u8]) {
        let room = (WORD_BYTES + 1).saturating_sub(self.word.len());
        let more = letters.iter().take(room).map(u8::to_ascii_lowercase);
        self.word.extend(more);
    }

    pub fn end_word(&mut self, parentheses: u64) {
        match &self.word[..] {
            b"function" | b"procedure" => self.is_routine = true,
            b"begin" if self.counts(parentheses) => self.depth = self.depth.saturating_add(1),
            b"case" if self.counts(parentheses) && self.depth > 0 => {
                self.depth = self.depth.saturating_add(1);
            }
            b"end" if self.counts(parentheses) => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.word.clear();
    }

    fn counts(&self, parentheses: u64) -> bool {
        self.is_routine && parentheses == 0
    }

    /// A semicolon came: unless a body is open, the next statement is another.
    pub fn end_statement(&mut self) {
        self.word.clear();
        if self.depth == 0 {
            self.is_watched = false;
            self.is_routine = false;
        }
    }
}
