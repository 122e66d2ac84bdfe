//! Tables without box art: columns two spaces apart, a bold header, numbers to
//! the right. Where a terminal is too narrow, one column gives way: it is cut, or
//! wrapped where every word counts.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};

use super::View;
use super::style::{Style, line};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

pub struct Column {
    pub title: &'static str,
    pub align: Align,
    pub narrowing: Narrowing,
}

/// What becomes of a column where the terminal is too narrow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Narrowing {
    Never,
    Cut,
    Wrap,
}

impl Column {
    pub const fn left(title: &'static str) -> Self {
        Self {
            title,
            align: Align::Left,
            narrowing: Narrowing::Never,
        }
    }

    pub const fn right(title: &'static str) -> Self {
        Self {
            title,
            align: Align::Right,
            narrowing: Narrowing::Never,
        }
    }

    pub const fn shrinking(title: &'static str) -> Self {
        Self {
            title,
            align: Align::Left,
            narrowing: Narrowing::Cut,
        }
    }

    pub const fn wrapping(title: &'static str) -> Self {
        Self {
            title,
            align: Align::Left,
            narrowing: Narrowing::Wrap,
        }
    }
}

/// The rows under the columns' titles; every row has a cell for each column.
pub fn table(columns: &[Column], rows: &[Vec<String>], view: &View) -> String {
    let rows = &fitted(columns, rows, view.columns);
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .force_no_tty()
        .set_truncation_indicator("…")
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| Cell::new(column.title)));
    let wraps = columns
        .iter()
        .any(|column| column.narrowing == Narrowing::Wrap);
    for row in rows {
        let mut cells = comfy_table::Row::from(row.iter().map(Cell::new));
        if !wraps {
            cells.max_height(1);
        }
        table.add_row(cells);
    }
    for (column, setup) in columns.iter().zip(table.column_iter_mut()) {
        setup.set_padding((0, 2));
        setup.set_cell_alignment(match column.align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        });
    }
    if let Some(width) = view.columns {
        shrink(&mut table, columns, width);
    }
    let mut text = String::new();
    for (index, row) in table.lines().enumerate() {
        let row = row.trim_end();
        match index {
            0 => text.push_str(&Style::Bold.paint(row).to_string()),
            _ => text.push_str(row),
        }
        text.push('\n');
    }
    text
}

/// The cells on one line each. Where the terminal is too narrow, those of the column
/// that is cut lose their middle: names that begin alike differ at their ends.
fn fitted(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> Vec<Vec<String>> {
    let on_lines = |row: &Vec<String>| row.iter().map(|cell| line(cell).to_string()).collect();
    let mut rows: Vec<Vec<String>> = rows.iter().map(on_lines).collect();
    let cut = columns.iter().position(|it| it.narrowing == Narrowing::Cut);
    let (Some(at), Some(width)) = (cut, width) else {
        return rows;
    };
    let chars = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([columns[at].title.len()]).max().unwrap_or(0) + 2
    };
    // The last column's padding is cut off.
    let others: usize = (0..columns.len()).filter(|it| *it != at).map(chars).sum();
    let room = width.saturating_sub(others).max(6);
    for row in &mut rows {
        row[at] = without_middle(&row[at], room);
    }
    rows
}

fn without_middle(text: &str, chars_max: usize) -> String {
    let chars = text.chars().count();
    if chars <= chars_max {
        return text.to_owned();
    }
    let end = (chars_max - 1) / 2;
    let start = chars_max - 1 - end;
    let starts = text.chars().take(start);
    starts
        .chain(['…'])
        .chain(text.chars().skip(chars - end))
        .collect()
}

/// Takes from the column that gives way what the table is too wide by, down to 6.
fn shrink(table: &mut Table, columns: &[Column], width: usize) {
    let widths: Vec<usize> = table
        .column_max_content_widths()
        .into_iter()
        .map(|width| usize::from(width) + 2)
        .collect();
    // The last column's padding is cut off.
    let total = widths.iter().sum::<usize>().saturating_sub(2);
    let narrows = |column: &Column| column.narrowing != Narrowing::Never;
    let Some(at) = columns.iter().position(narrows) else {
        return;
    };
    if total <= width {
        return;
    }
    let wanted = widths[at].saturating_sub(total - width).max(8);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(total).unwrap_or(u16::MAX));
    if let Some(column) = table.column_mut(at) {
        let width = u16::try_from(wanted).unwrap_or(u16::MAX);
        column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(width)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::shrinking("NAME"),
        Column::right("SIZE"),
        Column::left("ID"),
    ];

    fn rows(name: &str) -> Vec<Vec<String>> {
        vec![vec![name.to_owned(), "1 KiB".to_owned(), "abcd".to_owned()]]
    }

    #[test]
    fn columns_stand_two_spaces_apart() {
        let text = table(&COLUMNS, &rows("shop"), &View::for_tests());
        assert_eq!(text, "\x1b[1mNAME   SIZE  ID\x1b[0m\nshop  1 KiB  abcd\n");
    }

    #[test]
    fn a_long_name_is_cut_on_a_narrow_terminal() {
        let mut view = View::for_tests();
        view.columns = Some(30);
        let text = table(&COLUMNS, &rows(&"long-name-".repeat(20)), &view);
        let row = text.lines().nth(1).expect("a row");
        assert!(row.chars().count() <= 30, "{row}");
        assert!(row.contains('…') && row.ends_with("1 KiB  abcd"), "{row}");
        let end = table(&COLUMNS, &rows(&("long-name-".repeat(20) + "end")), &view);
        assert!(end.contains("end  1 KiB"), "{end}");
    }

    #[test]
    fn a_column_that_wraps_keeps_every_word() {
        let mut view = View::for_tests();
        view.columns = Some(30);
        let columns = [Column::left("ID"), Column::wrapping("WHY")];
        let rows = vec![vec![
            "abcd".to_owned(),
            "newest of 2026-W03 and of 2026".to_owned(),
        ]];
        let text = table(&columns, &rows, &view);
        let words: Vec<_> = text.split_whitespace().collect();
        assert!(
            words.ends_with(&["2026-W03", "and", "of", "2026"]),
            "{text}"
        );
        assert!(
            text.lines().skip(1).all(|line| line.chars().count() <= 30),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_cut_where_there_is_no_terminal() {
        let mut view = View::for_tests();
        view.columns = None;
        let name = "long-name-".repeat(20);
        assert!(table(&COLUMNS, &rows(&name), &view).contains(&name));
    }

    #[test]
    fn a_newline_in_a_name_does_not_break_the_row() {
        let text = table(&COLUMNS, &rows("a\nb"), &View::for_tests());
        assert_eq!(text.lines().count(), 2, "{text}");
    }
}
