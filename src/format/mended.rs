//! What is left of a damaged stream, and what is made of that: a stream that is whole
//! again, of what can be kept and of what stands in for the rest.

use std::io::{self, BufRead};
use std::ops::Range;

use serde::Serialize;

#[cfg(test)]
pub(crate) mod pieces;

/// Something that did not come back as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotWhole {
    pub kind: PartKind,
    /// A path, or a table's name.
    pub name: String,
    /// What is wrong with it, in words.
    pub why: String,
    /// Of a statement: its line in what could be read of the dump.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Where it is known which bytes of a file are lost: from, and up to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lost_bytes: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PartKind {
    /// The archive itself, and what cannot be told of it by name.
    Archive,
    File,
    Table,
    Statement,
}

impl NotWhole {
    pub fn new(kind: PartKind, name: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            why: why.into(),
            line: None,
            lost_bytes: Vec::new(),
        }
    }
}

/// A stream with gaps. It reads as if it had ended at each of them.
pub trait Stretches: BufRead {
    /// Goes on behind the gap: how many bytes are missing, if that is known. `None` at
    /// the end. What was not read of the present stretch is passed over.
    fn next_stretch(&mut self) -> io::Result<Option<Gap>>;

    /// The bytes consumed so far; those of gaps do not count.
    fn position(&self) -> u64;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub bytes: Option<u64>,
}

/// A part of the stream that is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// By [`Stretches::position`].
    Keep(Range<u64>),
    Zeros(u64),
    Bytes(Vec<u8>),
}

/// The parts in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    parts: Vec<Part>,
}

impl Plan {
    pub fn keep(&mut self, place: Range<u64>) {
        match self.parts.last_mut() {
            _ if place.is_empty() => {}
            Some(Part::Keep(last)) if last.end == place.start => last.end = place.end,
            _ => self.parts.push(Part::Keep(place)),
        }
    }

    pub fn zeros(&mut self, bytes: u64) {
        if bytes > 0 {
            self.parts.push(Part::Zeros(bytes));
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.parts.push(Part::Bytes(bytes.to_vec()));
        }
    }

    pub fn append(&mut self, mut other: Self) {
        for part in other.parts.drain(..) {
            match part {
                Part::Keep(place) => self.keep(place),
                other => self.parts.push(other),
            }
        }
    }

    pub fn into_parts(self) -> Vec<Part> {
        self.parts
    }
}
