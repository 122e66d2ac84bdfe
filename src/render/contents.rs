//! What `kluis restore --list` prints.

use std::collections::BTreeMap;

use serde::Serialize;

use super::style::{Style, line};
use super::table::{Column, table};
use super::units::{count, counted, size};
use super::{Report, View};

#[derive(Debug, Serialize)]
pub struct ContentsReport {
    /// `-` for an archive without a manifest.
    pub id: String,
    /// The database's.
    pub name: String,
    pub file: String,
    /// The dump's length as text.
    pub raw_bytes: u64,
    pub large_objects: u64,
    /// Everything in it, in the dump's order.
    pub entries: Vec<ContentsRow>,
    pub warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct ContentsRow {
    /// In pg_dump's words: "TABLE", "FK CONSTRAINT".
    #[serde(rename = "type")]
    pub object_type: String,
    /// Empty for what is in no schema.
    pub schema: String,
    /// Empty for what is only a part of `belongs_to`, as rows are.
    pub name: String,
    /// Both, quoted as SQL and `-t` take them.
    pub qualified: String,
    /// Empty where there is none.
    pub owner: String,
    /// What it comes and goes with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub belongs_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The rows' length in the dump.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_bytes: Option<u64>,
}

const COLUMNS: [Column; 5] = [
    Column::left("TYPE"),
    Column::left("NAME"),
    Column::right("ROWS"),
    Column::right("DATA"),
    Column::wrapping("WITH"),
];

impl Report for ContentsReport {
    fn text(&self, view: &View) -> String {
        let with = self.dependents();
        let stands_alone = |row: &&ContentsRow| row.belongs_to.is_none();
        let number =
            |value: Option<u64>, show: fn(u64) -> String| value.map_or_else(String::new, show);
        let cells = |row: &ContentsRow| {
            vec![
                row.object_type.to_lowercase(),
                row.qualified.clone(),
                number(row.rows, count),
                number(row.data_bytes, size),
                with.get(row.qualified.as_str())
                    .map_or_else(String::new, |types| shown(types)),
            ]
        };
        let rows: Vec<_> = self
            .entries
            .iter()
            .filter(stands_alone)
            .map(cells)
            .collect();
        let mut text = match rows.is_empty() {
            true => "nothing is in it\n".to_owned(),
            false => table(&COLUMNS, &rows, view),
        };
        text.push_str(&format!(
            "\n{}: {} of text in {}\n",
            line(&self.name),
            size(self.raw_bytes),
            line(&self.file)
        ));
        if self.large_objects > 0 {
            let objects = counted(self.large_objects, "large object", "large objects");
            text.push_str(&format!("and {objects}, which come with the whole only\n"));
        }
        for warning in &self.warnings {
            let note = Style::Yellow.paint("note:");
            text.push_str(&format!("{note} {}\n", line(warning)));
        }
        text
    }
}

impl ContentsReport {
    /// How many of each type belong to a name. Rows have a column of their own.
    fn dependents(&self) -> BTreeMap<&str, BTreeMap<&str, u64>> {
        let mut dependents: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        for row in &self.entries {
            if let (Some(of), false) = (&row.belongs_to, row.object_type == "TABLE DATA") {
                let types = dependents.entry(of).or_default();
                *types.entry(&row.object_type).or_default() += 1;
            }
        }
        dependents
    }
}

fn shown(types: &BTreeMap<&str, u64>) -> String {
    let each = types.iter().map(|(object_type, number)| match number {
        1 => object_type.to_lowercase(),
        number => format!("{} ({number})", object_type.to_lowercase()),
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(object_type: &str, name: &str, belongs_to: Option<&str>) -> ContentsRow {
        ContentsRow {
            object_type: object_type.to_owned(),
            schema: "public".to_owned(),
            name: name.to_owned(),
            qualified: format!("public.{name}"),
            owner: "shop".to_owned(),
            belongs_to: belongs_to.map(str::to_owned),
            rows: (object_type == "TABLE").then_some(12_345),
            data_bytes: (object_type == "TABLE").then_some(2_000_000),
        }
    }

    #[test]
    fn tables_stand_with_what_belongs_to_them() {
        let of = Some("public.orders");
        let report = ContentsReport {
            id: "0123".to_owned(),
            name: "shop".to_owned(),
            file: "shop.sql.gz".to_owned(),
            raw_bytes: 3_000_000,
            large_objects: 2,
            entries: vec![
                row("TYPE", "mood", None),
                row("TABLE", "orders", None),
                row("TABLE DATA", "", of),
                row("INDEX", "a", of),
                row("INDEX", "b", of),
                row("CONSTRAINT", "c", of),
            ],
            warnings: Vec::new(),
        };
        let text = anstream::adapter::strip_str(&report.text(&View::for_tests())).to_string();
        snapbox::assert_data_eq!(
            text,
            snapbox::str![[r#"
TYPE   NAME             ROWS     DATA  WITH
type   public.mood
table  public.orders  12,345  1.9 MiB  constraint, index (2)

shop: 2.9 MiB of text in shop.sql.gz
and 2 large objects, which come with the whole only

"#]]
        );
    }
}
