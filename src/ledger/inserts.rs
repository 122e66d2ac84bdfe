//! The rows of `INSERT` statements.
//!
//! One table's come in a row, so the last statement's text is compared before names are
//! read in it.

use super::columns::{Copies, Turn};
use super::rows::{CutRow, Tables};
use super::statement;

#[derive(Default)]
pub(super) struct Insert {
    /// Of the last statement, up to its rows.
    text: Vec<u8>,
    place: usize,
    in_row: bool,
    cut: CutRow,
    /// Where its columns are in another order than they are wanted.
    turn: Option<Turn>,
}

impl Insert {
    pub fn in_row(&self) -> bool {
        self.in_row
    }

    /// Whether its rows were counted while they went by.
    pub fn is_known(&self, text: &[u8]) -> bool {
        !text.is_empty() && text == self.text
    }

    /// A row opens in the statement that begins with `text`; `false`: that is not one.
    pub fn open(&mut self, text: &[u8], tables: &mut Tables, copies: &mut Copies) -> bool {
        if self.text != text {
            let Some((table, columns)) = statement::insert_table(text) else {
                return false;
            };
            self.turn = copies.turn(&table, columns);
            self.place = tables.place(table.schema, table.name);
            self.text.clear();
            self.text.extend_from_slice(text);
        }
        self.in_row = true;
        true
    }

    /// A part of the row; with `ends` its last.
    pub fn row(&mut self, piece: &[u8], ends: bool, tables: &mut Tables) {
        let totals = tables.totals(self.place);
        self.in_row = !ends;
        match (&mut self.turn, ends) {
            (Some(turn), _) => turn.inserted(piece, ends, totals),
            (None, true) => self.cut.end(piece, totals),
            (None, false) => self.cut.extend(piece),
        }
    }
}
