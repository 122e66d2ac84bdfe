//! What a quote's beginning stands right behind: a word goes on over a `$` and
//! makes an `E` no mark of escapes, a number does neither.

use super::{Lexer, is_name_byte};

/// The letters, digits, `_` and `$` right before a place, outside of quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    None,
    /// One letter alone: it may be a literal's prefix.
    Letter(u8),
    /// A name.
    Word,
    Number,
    /// Letters behind digits: psql 14 parts them otherwise than psql 15.
    Unclear,
}

impl Lexer {
    /// The run that ends before `bytes[at]`.
    pub(super) fn run_before(&self, bytes: &[u8], at: usize) -> Run {
        // Each byte is looked at once: what stands before is told by `run`.
        let text = &bytes[self.token_start.min(at)..at];
        let length = text.iter().rev().take_while(|byte| is_name_byte(**byte));
        let length = length.count();
        match length == text.len() {
            true => self.run.and(text),
            false => Run::None.and(&text[text.len() - length..]),
        }
    }

    /// The next token begins at `at`, or goes on there with what `run` says.
    pub(super) fn next_token(&mut self, at: usize, run: Run) {
        self.token_start = at;
        self.run = run;
    }
}

impl Run {
    /// The run with more bytes behind it, all of them of names.
    fn and(self, bytes: &[u8]) -> Self {
        let [first, rest @ ..] = bytes else {
            return self;
        };
        let all_digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
        match self {
            Self::None if first.is_ascii_digit() || *first == b'$' => match all_digits(rest) {
                true => Self::Number,
                false => Self::Unclear,
            },
            Self::None if rest.is_empty() => Self::Letter(*first),
            Self::None | Self::Letter(_) | Self::Word => Self::Word,
            Self::Number if all_digits(bytes) => Self::Number,
            Self::Number | Self::Unclear => Self::Unclear,
        }
    }
}
