//! Rows and their hashes: the part that every byte of a table goes through.
//!
//! Owns the running totals per table and the row that a block's end cut in two.
//! A row that lies whole in a block is hashed where it lies; only a cut one goes
//! through the streaming hash, so no row is ever copied or kept.

use std::collections::BTreeMap;

use memchr::{memchr, memchr_iter};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{TableLedger, hex_hash};

/// What a table's rows add up to so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub rows: u64,
    pub bytes: u64,
    hash: u128,
}

impl Totals {
    /// One that lies whole in memory.
    pub fn row(&mut self, row: &[u8]) {
        self.add(row.len() as u64, xxh3_128(row));
    }

    pub fn hash(&self) -> u128 {
        self.hash
    }

    fn add(&mut self, row_bytes: u64, row_hash: u128) {
        self.rows += 1;
        self.bytes += row_bytes;
        self.hash = self.hash.wrapping_add(row_hash);
    }
}

/// The tables seen so far. The same table may come again: `INSERT` has a
/// statement per row, `--load-via-partition-root` a `COPY` per partition.
#[derive(Debug, Default)]
pub(super) struct Tables {
    places: BTreeMap<(String, String), usize>,
    totals: Vec<Totals>,
}

impl Tables {
    /// The place of a table's totals, made at its first mention.
    pub fn place(&mut self, schema: String, name: String) -> usize {
        *self.places.entry((schema, name)).or_insert_with(|| {
            self.totals.push(Totals::default());
            self.totals.len() - 1
        })
    }

    /// `place` must come from [`Tables::place`].
    pub fn totals(&mut self, place: usize) -> &mut Totals {
        &mut self.totals[place]
    }

    /// "schema.name" and the totals, for messages.
    pub fn describe(&self, place: usize) -> (String, Totals) {
        let of_place = self.places.iter().find(|(_, at)| **at == place);
        let name = of_place.map(|((schema, name), _)| format!("{schema}.{name}"));
        (name.unwrap_or_default(), self.totals[place])
    }

    /// `place` must come from [`Tables::place`].
    pub fn table(&self, place: usize) -> TableLedger {
        let names = self.places.iter().find(|(_, at)| **at == place);
        let (schema, name) = names.map(|(names, _)| names.clone()).unwrap_or_default();
        let totals = self.totals[place];
        TableLedger {
            schema,
            name,
            rows: totals.rows,
            bytes: totals.bytes,
            hash: hex_hash(totals.hash),
        }
    }

    /// Sorted by schema and name, so that the dump's order does not show.
    pub fn into_ledger(self) -> Vec<TableLedger> {
        let table = |((schema, name), place): ((String, String), usize)| {
            let totals = self.totals[place];
            TableLedger {
                schema,
                name,
                rows: totals.rows,
                bytes: totals.bytes,
                hash: hex_hash(totals.hash),
            }
        };
        self.places.into_iter().map(table).collect()
    }
}

/// The row that the last block cut in two, if it did.
#[derive(Default)]
pub(super) struct CutRow {
    stream: Xxh3,
    bytes: u64,
    /// The row's first bytes, to know the end mark when it is cut too.
    head: [u8; 3],
    is_open: bool,
}

impl CutRow {
    /// The row goes on with `piece` and does not end in it.
    pub fn extend(&mut self, piece: &[u8]) {
        if !self.is_open {
            self.is_open = true;
            self.stream.reset();
            self.bytes = 0;
        }
        for (at, byte) in (self.bytes..3).zip(piece) {
            self.head[at as usize] = *byte;
        }
        self.stream.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// The row ends with `last`: into `totals` with it.
    pub fn end(&mut self, last: &[u8], totals: &mut Totals) {
        if self.is_open {
            self.extend(last);
            self.is_open = false;
            totals.add(self.bytes, self.stream.digest128());
        } else {
            totals.row(last);
        }
    }

    fn is_end_mark(&self) -> bool {
        let bytes = usize::try_from(self.bytes).unwrap_or(usize::MAX);
        self.head.get(..bytes).is_some_and(is_end_mark)
    }
}

/// No row can look like this: `COPY` doubles every backslash of its data, and writes
/// a carriage return as an escape. psql takes both for the end.
pub(super) fn is_end_mark(row: &[u8]) -> bool {
    row.len() <= 3 && matches!(row, b"\\." | b"\\.\r")
}

/// Reads `COPY` rows from the start of `block` into `totals`. `Some(n)`: the end
/// mark was read and `block[n..]` is SQL again; `None`: all of it was rows.
pub(super) fn copy_rows(block: &[u8], cut: &mut CutRow, totals: &mut Totals) -> Option<usize> {
    let mut start = 0;
    if cut.is_open {
        let Some(end) = memchr(b'\n', block) else {
            cut.extend(block);
            return None;
        };
        cut.extend(&block[..end]);
        start = end + 1;
        if cut.is_end_mark() {
            cut.is_open = false;
            return Some(start);
        }
        cut.end(b"", totals);
    }
    let whole = &block[start..];
    let mut local = *totals;
    let mut row_start = 0;
    for end in memchr_iter(b'\n', whole) {
        let row = &whole[row_start..end];
        row_start = end + 1;
        if is_end_mark(row) {
            *totals = local;
            return Some(start + row_start);
        }
        local.row(row);
    }
    *totals = local;
    if row_start < whole.len() {
        cut.extend(&whole[row_start..]);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows in slices of `length`, then what stands after the end mark.
    fn read(data: &[u8], length: usize) -> (Totals, Vec<u8>) {
        let (mut cut, mut totals) = (CutRow::default(), Totals::default());
        let mut at = 0;
        while at < data.len() {
            let slice = &data[at..data.len().min(at + length)];
            if let Some(used) = copy_rows(slice, &mut cut, &mut totals) {
                return (totals, data[at + used..].to_vec());
            }
            at += slice.len();
        }
        panic!("no end mark");
    }

    fn sum(rows: &[&[u8]]) -> Totals {
        let mut totals = Totals::default();
        rows.iter()
            .for_each(|row| totals.add(row.len() as u64, xxh3_128(row)));
        totals
    }

    #[test]
    fn the_streaming_and_the_one_shot_hash_agree_at_every_length_class() {
        // XXH3 has paths of its own up to 16, 128 and 240 bytes and beyond, and
        // stripes of 1,024.
        for length in [
            0, 1, 2, 3, 4, 8, 9, 16, 17, 128, 129, 240, 241, 1023, 1024, 1025, 5000,
        ] {
            let row: Vec<u8> = (0..length).map(|at: u32| b'a' + (at % 26) as u8).collect();
            let mut data = row.clone();
            data.extend_from_slice(b"\n\\.\nSQL");
            for slice in [1, 2, 7, 64, 1000, 10_000] {
                let expected = (sum(&[&row]), b"SQL".to_vec());
                assert_eq!(read(&data, slice), expected, "{length} bytes by {slice}");
            }
        }
    }

    #[test]
    fn only_a_line_of_the_mark_alone_ends_the_rows() {
        let rows: [&[u8]; 5] = [b"\\.x", b"x\\.", b"\\\\.", b"\\N", b""];
        let mut data = rows.join(&b'\n');
        data.extend_from_slice(b"\n\\.\n\\.\n");
        for slice in 1..data.len() {
            assert_eq!(
                read(&data, slice),
                (sum(&rows), b"\\.\n".to_vec()),
                "by {slice}"
            );
        }
    }

    #[test]
    fn a_row_that_occurs_twice_is_not_a_row_that_occurs_four_times() {
        let (twice, _) = read(b"a\na\n\\.\n", 99);
        let (other, _) = read(b"b\nb\n\\.\n", 99);
        assert_ne!(twice.hash, other.hash);
        assert_eq!(twice.hash, xxh3_128(b"a").wrapping_mul(2));
    }
}
