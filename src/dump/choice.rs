//! From names to sections: what of a dump is to be let through.
//!
//! Owns what `-t` and `-n` mean. A table comes with its rows, indexes,
//! constraints, defaults, sequences and their values, partitions, policies,
//! comments and grants; a schema with all that lies in it; both with the types,
//! routines and extensions that they name. What cannot come is named with the
//! reason; where that is the table itself, or a view that was asked for, nothing
//! is chosen at all.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;

use super::closure::Closure;
use super::pattern::Pattern;
use super::{Contents, Entry, Name, Needs};
use crate::ledger::{Difference, LargeObjects, Ledger};
use crate::words::plural;

/// Names as far apart as this are not worth a mention.
const LIKENESS_MIN: f64 = 0.5;
const NEAREST_SHOWN: usize = 3;

/// The chosen parts of one dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The chosen tables, views and sequences, in the dump's order.
    pub relations: Vec<Name>,
    pub left_out: Vec<LeftOut>,
    pub part: Part,
    /// What of the server's it names.
    pub needs: Needs,
    /// What the reading that this was chosen from found in that part.
    expected: Ledger,
    /// Bytes of the dump that are let through, ascending, with a gap between
    /// each two.
    passes: Vec<Range<u64>>,
    raw_bytes: u64,
}

/// Something that belongs to what was chosen and does not come along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// "FK CONSTRAINT orders_customer_fkey on public.orders".
    pub what: String,
    pub why: String,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "left out: {}, {}", self.what, self.why)
    }
}

/// Of a ledger what was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub tables: BTreeSet<Name>,
    /// As the ledger writes them.
    pub sequences: BTreeSet<String>,
}

/// What of `ledger`, a whole dump's, a dump of the chosen part must hold: rows
/// and sequences. Objects and large objects are not compared, so there are none.
pub fn expected_part(ledger: &Ledger, part: &Part) -> Ledger {
    let mut expected = without_objects(ledger);
    expected.tables.retain(|table| {
        part.tables.contains(&Name {
            schema: table.schema.clone(),
            name: table.name.clone(),
        })
    });
    expected
        .sequences
        .retain(|name, _| part.sequences.contains(name));
    expected
}

/// The rows and sequences alone, for the comparison with [`expected_part`].
pub fn without_objects(ledger: &Ledger) -> Ledger {
    Ledger {
        tables: ledger.tables.clone(),
        columns: ledger.columns.clone(),
        sequences: ledger.sequences.clone(),
        objects: BTreeMap::new(),
        large_objects: LargeObjects::default(),
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    #[error(
        "the dump holds no {what} {pattern}{}; `restore BACKUP --list` shows what is in it",
        nearest_text(nearest)
    )]
    NotFound {
        /// "table" or "schema".
        what: &'static str,
        pattern: String,
        /// What is in it and called nearly so.
        nearest: Vec<String>,
    },
    #[error(
        "{what} cannot come without {}, which is not chosen: choose that too, with -t, or its \
         whole schema, with -n",
        needs.join(", ")
    )]
    Needs { what: String, needs: Vec<String> },
    #[error("-n {pattern} names a table: a schema is one name; choose tables with -t")]
    NotASchema { pattern: String },
}

fn nearest_text(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; nearly so called: {}", names.join(", ")),
    }
}

impl Choice {
    /// Finds what `tables` and `schemas` name, together, in what a dump holds.
    pub fn resolve(
        contents: &Contents,
        tables: &[Pattern],
        schemas: &[Pattern],
    ) -> Result<Self, ChoiceError> {
        let mut closure = Closure::new(contents);
        let mut named = BTreeSet::new();
        for pattern in tables {
            let found = find_tables(contents, pattern)?;
            found.iter().for_each(|at| closure.include(*at));
            named.extend(found);
        }
        for pattern in schemas {
            let found = find_schema(contents, pattern)?;
            found.into_iter().for_each(|at| closure.include(at));
        }
        closure.grow();
        let mut left_out = prune(contents, &mut closure, &named)?;
        left_out.extend(unattached(contents, &closure));
        let part = part(contents, &closure);
        Ok(Self {
            relations: relations(contents, &closure),
            left_out,
            expected: expected_part(&contents.ledger, &part),
            part,
            needs: Needs::of(contents, |at| closure.is_in(at)),
            passes: passes(contents, &closure),
            raw_bytes: contents.raw_bytes(),
        })
    }

    /// The bytes of the dump that are let through: stretches in ascending order.
    pub(crate) fn passes(&self) -> &[Range<u64>] {
        &self.passes
    }

    /// The length of the whole dump.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// In what the rows and sequences of `found`, a dump of the chosen part,
    /// differ from what was chosen.
    pub fn differences(&self, found: &Ledger) -> Vec<Difference> {
        self.expected.differences(&without_objects(found))
    }

    /// What the operator should know, a line each.
    pub fn warnings(&self) -> Vec<String> {
        self.left_out.iter().map(ToString::to_string).collect()
    }
}

fn find_tables(contents: &Contents, pattern: &Pattern) -> Result<Vec<usize>, ChoiceError> {
    // An extension's table has rows in the dump, but no definition.
    let candidates = || {
        contents
            .entries
            .iter()
            .enumerate()
            .filter_map(|(at, entry)| {
                let name = match (entry.object_type.as_str(), &entry.belongs_to) {
                    ("TABLE DATA", Some(table)) => table.clone(),
                    _ if entry.is_relation() => entry.own_name(),
                    _ => return None,
                };
                Some((at, name))
            })
    };
    let found: Vec<usize> = candidates()
        .filter(|(_, name)| pattern.finds(name))
        .map(|(at, _)| at)
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let names = candidates().map(|(_, name)| match pattern.is_qualified() {
        true => (name.to_string(), name.to_string()),
        false => (super::quoted(&name.name), name.to_string()),
    });
    Err(ChoiceError::NotFound {
        what: "table",
        pattern: pattern.to_string(),
        nearest: nearest(pattern, names.collect()),
    })
}

/// Everything in the schemas of this name, and the schemas themselves.
fn find_schema(contents: &Contents, pattern: &Pattern) -> Result<Vec<usize>, ChoiceError> {
    if pattern.is_qualified() {
        let pattern = pattern.to_string();
        return Err(ChoiceError::NotASchema { pattern });
    }
    let schema_of = |entry: &Entry| match entry.object_type.as_str() {
        "SCHEMA" => entry.name.clone(),
        "TABLE DATA" | "SEQUENCE SET" => {
            let of = entry.belongs_to.as_ref();
            of.map_or_else(|| entry.schema.clone(), |name| name.schema.clone())
        }
        // A grant on public has no schema to hang on: initdb made that.
        "ACL" | "COMMENT" if entry.schema.is_empty() => match &entry.anchor {
            Some((super::Family::Schema, name)) => name.name.clone(),
            _ => String::new(),
        },
        _ => entry.schema.clone(),
    };
    let in_no_schema = |name: String| Name {
        schema: String::new(),
        name,
    };
    let schemas: Vec<String> = contents.entries.iter().map(schema_of).collect();
    let is_wanted =
        |schema: &&String| !schema.is_empty() && pattern.finds(&in_no_schema((*schema).clone()));
    let found: Vec<usize> = (0..schemas.len())
        .filter(|at| is_wanted(&&schemas[*at]))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let quoted = |schema: String| (super::quoted(&schema), super::quoted(&schema));
    let names = schemas.into_iter().filter(|schema| !schema.is_empty());
    Err(ChoiceError::NotFound {
        what: "schema",
        pattern: pattern.to_string(),
        nearest: nearest(pattern, names.map(quoted).collect()),
    })
}

/// The names most like the pattern; each comes as it is compared and as it is
/// shown.
fn nearest(pattern: &Pattern, names: BTreeSet<(String, String)>) -> Vec<String> {
    let wanted = pattern.to_string().to_lowercase();
    let likeness = |(compared, shown): (String, String)| {
        let likeness = strsim::normalized_damerau_levenshtein(&wanted, &compared.to_lowercase());
        (likeness, shown)
    };
    let mut alike: Vec<(f64, String)> = names.into_iter().map(likeness).collect();
    alike.retain(|(likeness, _)| *likeness >= LIKENESS_MIN);
    alike.sort_by(|one, other| other.0.total_cmp(&one.0));
    let names = alike.into_iter().take(NEAREST_SHOWN);
    names.map(|(_, shown)| shown).collect()
}

/// Takes out what cannot come, until all that is in can.
fn prune(
    contents: &Contents,
    closure: &mut Closure<'_>,
    named: &BTreeSet<usize>,
) -> Result<Vec<LeftOut>, ChoiceError> {
    let mut left_out = Vec::new();
    loop {
        let mut changed = false;
        for (at, entry) in contents.entries.iter().enumerate() {
            if !closure.is_in(at) {
                continue;
            }
            let lacks = closure.lacks(at);
            if lacks.is_empty() {
                continue;
            }
            let is_table = matches!(entry.object_type.as_str(), "TABLE" | "FOREIGN TABLE");
            if is_table || named.contains(&at) {
                return Err(ChoiceError::Needs {
                    what: entry.to_string(),
                    needs: lacks.iter().map(ToString::to_string).collect(),
                });
            }
            closure.exclude(at);
            changed = true;
            if !follows(entry) {
                left_out.push((at, without(entry, &lacks)));
            }
        }
        if !changed {
            break;
        }
    }
    left_out.sort_by_key(|(at, _)| *at);
    Ok(left_out.into_iter().map(|(_, left_out)| left_out).collect())
}

/// What goes with the object it hangs on is not worth a word of its own.
fn follows(entry: &Entry) -> bool {
    matches!(
        entry.object_type.as_str(),
        "COMMENT"
            | "ACL"
            | "SECURITY LABEL"
            | "SEQUENCE SET"
            | "STATISTICS DATA"
            | "INDEX ATTACH"
            | "TABLE ATTACH"
    )
}

fn without(entry: &Entry, lacks: &BTreeSet<Name>) -> LeftOut {
    let names: Vec<String> = lacks.iter().map(ToString::to_string).collect();
    let verb = plural(names.len(), "is", "are");
    LeftOut {
        what: entry.to_string(),
        why: format!("because {} {verb} not chosen", names.join(", ")),
    }
}

/// What ties a chosen table to things that are not chosen.
fn unattached(contents: &Contents, closure: &Closure<'_>) -> Vec<LeftOut> {
    let chosen: HashSet<Name> = relations(contents, closure).into_iter().collect();
    let mut left_out = Vec::new();
    for (at, entry) in contents.entries.iter().enumerate() {
        let object_type = entry.object_type.as_str();
        let tied = match object_type {
            "TABLE ATTACH" => entry.brings.as_ref().map(|(_, name)| name),
            "PUBLICATION TABLE" => entry.belongs_to.as_ref(),
            _ => None,
        };
        let Some(table) = tied.filter(|name| !closure.is_in(at) && chosen.contains(*name)) else {
            continue;
        };
        left_out.push(match (object_type, &entry.belongs_to) {
            ("TABLE ATTACH", Some(root)) => LeftOut {
                what: format!("{table} as a partition of {root}"),
                why: "because that is not chosen; it comes as a table of its own".to_owned(),
            },
            _ => LeftOut {
                what: format!("{table} as a member of a publication"),
                why: "because publications are the whole database's".to_owned(),
            },
        });
    }
    if !contents.ledger.large_objects.is_empty() {
        left_out.push(LeftOut {
            what: "the dump's large objects".to_owned(),
            why: "because it does not say which table they belong to".to_owned(),
        });
    }
    left_out
}

fn relations(contents: &Contents, closure: &Closure<'_>) -> Vec<Name> {
    let entries = contents.entries.iter().enumerate();
    let chosen = entries.filter(|(at, entry)| closure.is_in(*at) && entry.is_relation());
    chosen.map(|(_, entry)| entry.own_name()).collect()
}

fn part(contents: &Contents, closure: &Closure<'_>) -> Part {
    let mut part = Part::default();
    for (at, entry) in contents.entries.iter().enumerate() {
        match (entry.object_type.as_str(), &entry.belongs_to) {
            _ if !closure.is_in(at) => {}
            ("TABLE DATA", Some(table)) => {
                part.tables.insert(table.clone());
            }
            ("SEQUENCE SET", _) => part.sequences.extend(entry.sequence_text.clone()),
            _ => {}
        }
    }
    part
}

/// The chosen sections and all that are nobody's: head, settings, trailer.
fn passes(contents: &Contents, closure: &Closure<'_>) -> Vec<Range<u64>> {
    let mut passes: Vec<Range<u64>> = Vec::new();
    for section in &contents.sections {
        if section.entry.is_some_and(|at| !closure.is_in(at)) {
            continue;
        }
        match passes.last_mut() {
            Some(last) if last.end == section.bytes.start => last.end = section.bytes.end,
            _ => passes.push(section.bytes.clone()),
        }
    }
    passes
}
