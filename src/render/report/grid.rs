//! Tables of many rows: the newest stand in the page as they are, all of them as
//! compact JSON, which page.js sorts, filters and pages through. It writes cells
//! as they are written here.

use maud::{Markup, PreEscaped, html};
use serde::Serialize;

use crate::render::style::line;
use crate::render::units::{counted, size};

/// Rows that stand in the page without a script.
const STATIC_ROWS: usize = 100;

/// How a column's cells are written and sorted.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Text,
    /// Text that is never broken into lines.
    Word,
    /// A local time; sorted as the rows come.
    When,
    Bytes,
    /// Milliseconds.
    Duration,
    /// One of few words, to choose by.
    Choice,
    /// The same, and it tells how well it is.
    Badge,
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct Column {
    pub title: &'static str,
    pub format: Format,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Cell {
    Absent,
    Text(String),
    Number(u64),
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        match text {
            "" => Self::Absent,
            text => Self::Text(line(text).into_owned()),
        }
    }

    pub(super) fn number(number: Option<u64>) -> Self {
        number.map_or(Self::Absent, Self::Number)
    }
}

#[derive(Serialize)]
pub(super) struct Grid<'a> {
    /// Of the elements, and of what is one row: "backup".
    #[serde(skip)]
    pub id: &'static str,
    #[serde(skip)]
    pub caption: &'a str,
    pub one: &'static str,
    pub many: &'static str,
    pub columns: &'a [Column],
    pub rows: Vec<Vec<Cell>>,
}

impl Grid<'_> {
    pub(super) fn markup(&self) -> Markup {
        let id = self.id;
        let number = self.rows.len();
        html! {
            div.grid data-grid=(id) {
                @if number > STATIC_ROWS {
                    noscript {
                        p.dim {
                            "The newest " (STATIC_ROWS) " of "
                            (counted(number as u64, self.one, self.many))
                            ". With JavaScript all can be sorted and filtered."
                        }
                    }
                }
                table role="table" {
                    caption.hidden { (self.caption) }
                    thead role="rowgroup" {
                        tr role="row" {
                            @for column in self.columns {
                                th role="columnheader" scope="col" class=(class_of(column.format)) {
                                    (column.title)
                                }
                            }
                        }
                    }
                    tbody role="rowgroup" {
                        @for row in self.rows.iter().take(STATIC_ROWS) {
                            tr role="row" {
                                @for (column, cell) in self.columns.iter().zip(row) {
                                    (cell_markup(column, cell))
                                }
                            }
                        }
                    }
                }
                @if number == 0 { p.dim { "None yet." } }
                script type="application/json" { (PreEscaped(self.data())) }
            }
        }
    }

    /// JSON in which nothing ends the element or begins a comment. A type of text
    /// and numbers only always has one.
    fn data(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        json.replace('<', "\\u003c")
    }
}

fn class_of(format: Format) -> &'static str {
    match format {
        Format::Bytes | Format::Duration => "number",
        Format::Text => "text",
        Format::When | Format::Word | Format::Choice | Format::Badge => "word",
    }
}

fn cell_markup(column: &Column, cell: &Cell) -> Markup {
    let text = match (cell, column.format) {
        (Cell::Absent, _) => String::new(),
        (Cell::Text(text), _) => text.clone(),
        (Cell::Number(number), Format::Duration) => crate::render::history::millis(*number),
        (Cell::Number(number), _) => size(*number),
    };
    let label = column.title;
    html! {
        td role="cell" class=(class_of(column.format)) data-label=(label) {
            @match column.format {
                Format::Badge if !text.is_empty() => (badge(&text)),
                _ => (text),
            }
        }
    }
}

/// A word with a sign of its own, so that the colour is not alone.
pub(super) fn badge(word: &str) -> Markup {
    let class = word.to_lowercase().replace(' ', "-");
    html! { span class={ "badge " (class) } { (word) } }
}
