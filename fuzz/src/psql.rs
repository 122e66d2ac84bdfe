//! A small model of how psql reads a script, written from its manual and apart
//! from kluis' lexer: what it would obey. It goes by lines, as psql does.

/// The commands with a backslash that stand outside of quotes and of rows, each to
/// its line's end.
pub fn commands(text: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::default();
    for line in text.split(|byte| *byte == b'\n') {
        reader.line(line);
    }
    reader.commands
}

#[derive(Clone, Default, PartialEq)]
enum Inside {
    #[default]
    Nothing,
    Literal {
        escapes: bool,
    },
    Name,
    Dollar(Vec<u8>),
    Comment(usize),
    Rows,
}

#[derive(Default)]
struct Reader {
    inside: Inside,
    /// The statement's words, in small letters.
    words: Vec<Vec<u8>>,
    parentheses: usize,
    begins: usize,
    commands: Vec<Vec<u8>>,
}

fn starts_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    starts_word(byte) || byte.is_ascii_digit() || byte == b'$'
}

impl Reader {
    fn line(&mut self, line: &[u8]) {
        if self.inside == Inside::Rows {
            if matches!(line, b"\\." | b"\\.\r") {
                self.inside = Inside::Nothing;
            }
            return;
        }
        let mut at = 0;
        while at < line.len() {
            let rest = &line[at..];
            let inside = self.inside.clone();
            at += match inside {
                Inside::Nothing => match self.code(rest) {
                    Some(used) => used,
                    None => return,
                },
                Inside::Literal { escapes } if escapes && rest[0] == b'\\' => 2,
                Inside::Literal { .. } if rest.starts_with(b"''") => 2,
                Inside::Literal { .. } => self.leave(rest[0] == b'\''),
                Inside::Name => self.leave(rest[0] == b'"'),
                Inside::Dollar(tag) if rest.starts_with(&tag) => {
                    self.inside = Inside::Nothing;
                    tag.len()
                }
                Inside::Comment(depth) if rest.starts_with(b"*/") => {
                    self.inside = match depth {
                        1 => Inside::Nothing,
                        depth => Inside::Comment(depth - 1),
                    };
                    2
                }
                Inside::Comment(depth) if rest.starts_with(b"/*") => {
                    self.inside = Inside::Comment(depth + 1);
                    2
                }
                Inside::Dollar(_) | Inside::Comment(_) | Inside::Rows => 1,
            };
            if self.inside == Inside::Rows {
                return;
            }
        }
    }

    fn leave(&mut self, is_end: bool) -> usize {
        if is_end {
            self.inside = Inside::Nothing;
        }
        1
    }

    /// One token; `None`: the rest of the line is no text.
    fn code(&mut self, rest: &[u8]) -> Option<usize> {
        let word = match starts_word(rest[0]) {
            true => rest.iter().take_while(|byte| is_word(**byte)).count(),
            false => 0,
        };
        let lower = rest[..word].to_ascii_lowercase();
        if rest.get(word) == Some(&b'\'') && matches!(&lower[..], b"e" | b"b" | b"x") {
            let escapes = lower == b"e";
            self.inside = Inside::Literal { escapes };
            return Some(2);
        }
        if lower == b"u" && rest[1..].starts_with(b"&'") {
            self.inside = Inside::Literal { escapes: false };
            return Some(3);
        }
        if word > 0 {
            self.word(lower);
            return Some(word);
        }
        match rest[0] {
            b'\\' => {
                self.commands.push(rest.to_vec());
                return None;
            }
            b'-' if rest.starts_with(b"--") => {
                let end = rest.iter().position(|byte| *byte == b'\r');
                return end;
            }
            b'/' if rest.starts_with(b"/*") => {
                self.inside = Inside::Comment(1);
                return Some(2);
            }
            b'\'' => self.inside = Inside::Literal { escapes: false },
            b'"' => self.inside = Inside::Name,
            b'(' => self.parentheses += 1,
            b')' => self.parentheses = self.parentheses.saturating_sub(1),
            b';' if self.parentheses == 0 && self.begins == 0 => self.end(),
            b'$' => return Some(self.dollar(rest)),
            _ => {}
        }
        Some(1)
    }

    fn dollar(&mut self, rest: &[u8]) -> usize {
        let inner = rest[1..]
            .iter()
            .take_while(|byte| is_word(**byte) && **byte != b'$');
        let inner = inner.count();
        let is_tag = rest.get(inner + 1) == Some(&b'$')
            && rest
                .get(1)
                .is_some_and(|byte| *byte == b'$' || starts_word(*byte));
        if !is_tag {
            return 1;
        }
        self.inside = Inside::Dollar(rest[..inner + 2].to_vec());
        inner + 2
    }

    fn word(&mut self, word: Vec<u8>) {
        self.words.push(word);
        let is = |at: usize, wanted: &[&[u8]]| {
            let word = self.words.get(at);
            word.is_some_and(|word| wanted.contains(&&word[..]))
        };
        let routine: [&[u8]; 2] = [b"function", b"procedure"];
        let replaced = is(1, &[b"or"]) && is(2, &[b"replace"]) && is(3, &routine);
        if !is(0, &[b"create"]) || !(is(1, &routine) || replaced) || self.parentheses > 0 {
            return;
        }
        match self.words.last().map(Vec::as_slice) {
            Some(b"begin") => self.begins += 1,
            Some(b"case") if self.begins > 0 => self.begins += 1,
            Some(b"end") => self.begins = self.begins.saturating_sub(1),
            _ => {}
        }
    }

    /// The server asks for rows where it is told to copy from the session's input.
    fn end(&mut self) {
        let is_copy = self.words.first().is_some_and(|word| word == b"copy");
        let from_here = self
            .words
            .windows(2)
            .any(|two| two[0] == b"from" && two[1] == b"stdin");
        if is_copy && from_here {
            self.inside = Inside::Rows;
        }
        self.words.clear();
    }
}
