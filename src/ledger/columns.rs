//! The columns of copied tables. pg_dump gives those of an inheritance tree back in
//! another order, so the rows of two dumps are compared by their columns' names.
//!
//! Owns the turning of a row: its fields in the order that another dump has them in.
//! Invariant: a table whose order does not differ is read as if this were not here.

use std::collections::BTreeMap;

use memchr::{memchr_iter, memchr2_iter};

use super::rows::{CutRow, Totals, copy_rows, is_end_mark};
use super::statement::TableName;

/// What each table's `COPY` names, in its order. `None`: its several name other ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(BTreeMap<(String, String), Option<Vec<String>>>);

impl Columns {
    /// Those of the tables that have them in `other`, too, under other names.
    pub(super) fn unlike<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = &'a (String, String)> {
        let sorted = |columns: &Vec<String>| {
            let mut columns = columns.clone();
            columns.sort();
            columns
        };
        self.0.iter().filter_map(move |(table, columns)| {
            let other = other.0.get(table)?.as_ref()?;
            let columns = columns.as_ref()?;
            (sorted(columns) != sorted(other)).then_some(table)
        })
    }

    fn note(&mut self, table: (String, String), columns: Vec<String>) {
        let known = self.0.entry(table).or_insert_with(|| Some(columns.clone()));
        if known.as_ref() != Some(&columns) {
            *known = None;
        }
    }
}

/// The `COPY` and `INSERT` statements of a dump, one after the other.
#[derive(Default)]
pub(super) struct Copies {
    pub columns: Columns,
    /// Those of the dump that this one is compared with.
    like: Columns,
    /// For the rows that follow, where their order is another there.
    turn: Option<Turn>,
    cut: CutRow,
}

impl Copies {
    pub fn like(columns: &Columns) -> Self {
        Self {
            like: columns.clone(),
            ..Self::default()
        }
    }

    /// Its rows follow.
    pub fn begin(&mut self, table: &TableName, columns: Vec<String>) {
        self.turn = self.turn(table, columns);
    }

    /// What turns the rows of a statement that names these columns.
    pub fn turn(&mut self, table: &TableName, columns: Vec<String>) -> Option<Turn> {
        let table = (table.schema.clone(), table.name.clone());
        let wanted = self.like.0.get(&table).and_then(Option::as_ref);
        let turn = wanted.and_then(|wanted| Turn::new(&columns, wanted));
        self.columns.note(table, columns);
        turn
    }

    /// [`copy_rows`], each row as the other dump would have it.
    pub fn rows(&mut self, block: &[u8], totals: &mut Totals) -> Option<usize> {
        match &mut self.turn {
            None => copy_rows(block, &mut self.cut, totals),
            Some(turn) => turn.rows(block, totals),
        }
    }
}

/// Reads rows whose fields are in another order than is wanted.
pub(super) struct Turn {
    /// Which field comes first, second, ...
    order: Vec<usize>,
    /// The row that the last block cut in two. The server makes none above 1 GiB.
    cut: Vec<u8>,
    turned: Vec<u8>,
}

impl Turn {
    /// `None` where the order is the same, or the columns are not.
    fn new(columns: &[String], wanted: &[String]) -> Option<Self> {
        let places: BTreeMap<&String, usize> = columns.iter().zip(0..).collect();
        let order = wanted.iter().map(|name| places.get(name).copied());
        let order: Vec<usize> = order.collect::<Option<_>>()?;
        let is_same = columns == wanted;
        (!is_same && places.len() == columns.len() && order.len() == columns.len()).then(|| Self {
            order,
            cut: Vec::new(),
            turned: Vec::new(),
        })
    }

    /// As [`copy_rows`].
    fn rows(&mut self, block: &[u8], totals: &mut Totals) -> Option<usize> {
        let mut start = 0;
        for end in memchr_iter(b'\n', block) {
            let mut cut = std::mem::take(&mut self.cut);
            let row = match cut.is_empty() {
                true => &block[start..end],
                false => {
                    cut.extend_from_slice(&block[start..end]);
                    &cut
                }
            };
            start = end + 1;
            if is_end_mark(row) {
                return Some(start);
            }
            totals.row(self.fields(row));
        }
        self.cut.extend_from_slice(&block[start..]);
        None
    }

    /// A part of an inserted row; with `ends` its last.
    pub fn inserted(&mut self, piece: &[u8], ends: bool, totals: &mut Totals) {
        self.cut.extend_from_slice(piece);
        if ends {
            let row = std::mem::take(&mut self.cut);
            let values = split_values(&row);
            totals.row(self.in_order(&row, &values, b", "));
        }
    }

    fn fields<'a>(&'a mut self, row: &'a [u8]) -> &'a [u8] {
        let fields: Vec<&[u8]> = row.split(|byte| *byte == b'\t').collect();
        self.in_order(row, &fields, b"\t")
    }

    /// A row that has another number of fields stays as it is: it is like none.
    fn in_order<'a>(&'a mut self, row: &'a [u8], fields: &[&[u8]], between: &[u8]) -> &'a [u8] {
        if fields.len() != self.order.len() {
            return row;
        }
        self.turned.clear();
        for (nth, at) in self.order.iter().enumerate() {
            if nth > 0 {
                self.turned.extend_from_slice(between);
            }
            self.turned.extend_from_slice(fields[*at]);
        }
        &self.turned
    }
}

/// As pg_dump writes them: what is no number and no word is quoted, and a quote in it
/// doubled.
fn split_values(row: &[u8]) -> Vec<&[u8]> {
    let mut values = Vec::new();
    let (mut start, mut is_quoted) = (0, false);
    for at in memchr2_iter(b'\'', b',', row) {
        if row[at] == b'\'' {
            is_quoted = !is_quoted;
        } else if !is_quoted && row.get(at + 1) == Some(&b' ') {
            values.push(&row[start..at]);
            start = at + 2;
        }
    }
    values.push(&row[start..]);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<String> {
        list.split(' ').map(str::to_owned).collect()
    }

    fn table() -> TableName {
        TableName {
            schema: "s".to_owned(),
            name: "t".to_owned(),
        }
    }

    fn columns(lists: &[&str]) -> Columns {
        let mut columns = Columns::default();
        for list in lists {
            columns.note(("s".to_owned(), "t".to_owned()), names(list));
        }
        columns
    }

    fn turn(columns: &str, wanted: &str) -> Option<Turn> {
        Turn::new(&names(columns), &names(wanted))
    }

    #[test]
    fn rows_in_another_order_add_up_as_those_in_the_wanted_one() {
        let (wanted, found) = (
            b"1\ta\\tb\t\\N\n2\t\t\\\\.\n\\.\nSQL",
            b"\\N\t1\ta\\tb\n\\\\.\t2\t\n\\.\nSQL",
        );
        let mut expected = Totals::default();
        let end = copy_rows(wanted, &mut CutRow::default(), &mut expected);
        for length in 1..found.len() {
            let mut turn = turn("c a b", "a b c").expect("another order");
            let mut totals = Totals::default();
            let mut at = 0;
            let used = found.chunks(length).find_map(|piece| {
                let used = turn.rows(piece, &mut totals).map(|used| at + used);
                at += piece.len();
                used
            });
            assert_eq!((used, totals), (end, expected), "by {length}");
        }
    }

    #[test]
    fn only_the_same_columns_in_another_order_are_turned() {
        assert!(turn("b a", "a b").is_some());
        for (columns, wanted) in [
            ("a b", "a b"),
            ("a b", "a c"),
            ("a b", "b"),
            ("b", "a b"),
            ("a a", "a a"),
            ("a a b", "b a a"),
        ] {
            assert!(turn(columns, wanted).is_none(), "{columns} for {wanted}");
        }
    }

    #[test]
    fn a_row_with_another_number_of_fields_is_not_turned_into_one_that_fits() {
        let mut turn = turn("b a", "a b").expect("another order");
        assert_eq!(turn.fields(b"1\t2"), b"2\t1");
        assert_eq!(turn.fields(b"1"), b"1");
        assert_eq!(turn.fields(b"1\t2\t3"), b"1\t2\t3");
    }

    #[test]
    fn inserted_values_in_another_order_add_up_as_those_in_the_wanted_one() {
        let (wanted, found) = (
            b"1, 'a, ''b'', ', B'01', NULL",
            b"NULL, 'a, ''b'', ', 1, B'01'",
        );
        let mut expected = Totals::default();
        expected.row(wanted);
        for length in 1..=found.len() {
            let mut turn = turn("d b a c", "a b c d").expect("another order");
            let mut totals = Totals::default();
            let mut pieces = found.chunks(length).peekable();
            while let Some(piece) = pieces.next() {
                turn.inserted(piece, pieces.peek().is_none(), &mut totals);
            }
            assert_eq!(totals, expected, "by {length}");
        }
    }

    #[test]
    fn a_table_that_is_copied_in_several_orders_has_none() {
        let several = columns(&["a b", "b a", "a b"]);
        let turns = |columns: &Columns| {
            let mut copies = Copies::like(columns);
            copies.begin(&table(), names("b a"));
            copies.turn.is_some()
        };
        assert!(!turns(&several));
        assert!(turns(&columns(&["a b", "a b"])));
    }

    #[test]
    fn other_columns_are_told_and_another_order_is_not() {
        let told = |one: &Columns, other: &Columns| one.unlike(other).count();
        assert_eq!(told(&columns(&["a b"]), &columns(&["b a"])), 0);
        assert_eq!(told(&columns(&["a b"]), &columns(&["a c"])), 1);
        assert_eq!(told(&columns(&["a b"]), &columns(&["a"])), 1);
        assert_eq!(told(&columns(&["a b"]), &columns(&[])), 0);
    }
}
