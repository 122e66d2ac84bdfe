//! Which entries come along with the chosen ones, and which cannot.
//!
//! Owns two steps. Growing: what hangs on a chosen object comes, and the types,
//! routines, sequences and extensions that it names. Pruning: what names a table
//! or view that is not chosen goes. A table or view never comes because
//! something names it: it would bring its rows, which nobody asked for.

use std::collections::{BTreeSet, HashMap};

use super::{Contents, Entry, Family, Key, Name};

pub(super) struct Closure<'a> {
    entries: &'a [Entry],
    /// Who defines a name.
    definers: HashMap<Key, Vec<usize>>,
    /// Who hangs on a name.
    dependents: HashMap<&'a Key, Vec<usize>>,
    is_in: Vec<bool>,
    /// Included, and what they bring not yet looked at.
    fresh: Vec<usize>,
}

impl<'a> Closure<'a> {
    pub fn new(contents: &'a Contents) -> Self {
        let entries = &contents.entries;
        let mut definers: HashMap<Key, Vec<usize>> = HashMap::new();
        let mut dependents: HashMap<&Key, Vec<usize>> = HashMap::new();
        for (at, entry) in entries.iter().enumerate() {
            if let Some(key) = entry.key() {
                definers.entry(key).or_default().push(at);
            }
            if let Some(key) = &entry.anchor {
                dependents.entry(key).or_default().push(at);
            }
        }
        Self {
            entries,
            definers,
            dependents,
            is_in: vec![false; entries.len()],
            fresh: Vec::new(),
        }
    }

    pub fn is_in(&self, at: usize) -> bool {
        self.is_in[at]
    }

    pub fn include(&mut self, at: usize) {
        // The publication itself never comes.
        let is_global = self.entries[at].object_type.starts_with("PUBLICATION");
        if !self.is_in[at] && !is_global {
            self.is_in[at] = true;
            self.fresh.push(at);
        }
    }

    pub fn exclude(&mut self, at: usize) {
        self.is_in[at] = false;
    }

    /// Brings in everything that belongs to what is in.
    pub fn grow(&mut self) {
        while let Some(at) = self.fresh.pop() {
            let entry = &self.entries[at];
            if let Some(key) = entry.key() {
                // Comments on columns of a composite type call it a relation.
                let as_relation = (Family::Relation, key.1.clone());
                self.include_all(&self.hanging(&key));
                if key.0 == Family::Type {
                    self.include_all(&self.hanging(&as_relation));
                }
            }
            if let Some(key) = &entry.brings {
                self.include_all(&self.defining(key));
            }
            if !entry.schema.is_empty() {
                self.include_all(&self.defining(&in_no_schema(Family::Schema, &entry.schema)));
            }
            if let Some(schema) = &entry.target_schema {
                self.include_all(&self.defining(&in_no_schema(Family::Schema, schema)));
            }
            // A trigger whose function was not asked for stays away: its function
            // may do anything anywhere.
            if entry.object_type != "TRIGGER" {
                for name in &entry.uses {
                    self.include_all(&self.needed(name));
                }
            }
        }
    }

    fn include_all(&mut self, entries: &[usize]) {
        entries.iter().for_each(|at| self.include(*at));
    }

    fn defining(&self, key: &Key) -> Vec<usize> {
        self.definers.get(key).cloned().unwrap_or_default()
    }

    /// What hangs on a name. A sequence's owner is not brought by the sequence,
    /// nor an attachment by the partition: only the other way round.
    fn hanging(&self, key: &Key) -> Vec<usize> {
        self.dependents.get(key).cloned().unwrap_or_default()
    }

    /// Who defines a name that is used; in several namespaces perhaps, for the
    /// text does not say which is meant.
    fn known(&self, name: &Name) -> Vec<usize> {
        let families: &[Family] = match name.schema.is_empty() {
            true => &[Family::Extension, Family::Other],
            false => &[
                Family::Relation,
                Family::Type,
                Family::Routine,
                Family::Other,
            ],
        };
        let of = |family: &Family| self.defining(&(*family, name.clone()));
        families.iter().flat_map(of).collect()
    }

    /// What comes because its name is used. A name that the dump does not define
    /// must be made by an extension: all of its schema's come.
    fn needed(&self, name: &Name) -> Vec<usize> {
        let mut known = self.known(name);
        if known.is_empty() {
            let is_maker = |(_, entry): &(usize, &Entry)| {
                entry.object_type == "EXTENSION"
                    && entry.target_schema.as_deref() == Some(name.schema.as_str())
            };
            let makers = self.entries.iter().enumerate().filter(is_maker);
            return makers.map(|(at, _)| at).collect();
        }
        known.retain(|at| {
            let entry = &self.entries[*at];
            entry.object_type == "SEQUENCE"
                || entry.key().is_some_and(|key| key.0 != Family::Relation)
        });
        known
    }

    /// The names without which the entry cannot come; empty if it can.
    pub fn lacks(&self, at: usize) -> BTreeSet<Name> {
        let entry = &self.entries[at];
        let is_lacking = |definers: Vec<usize>| {
            !definers.is_empty() && !definers.iter().any(|at| self.is_in[*at])
        };
        let keys = entry.anchor.iter().chain(&entry.brings);
        let lacking_keys = keys.filter(|key| is_lacking(self.defining(key)));
        let lacking_uses = entry
            .uses
            .iter()
            .filter(|name| is_lacking(self.known(name)));
        let mut lacks: BTreeSet<Name> = lacking_keys
            .map(|(_, name)| name)
            .chain(lacking_uses)
            .cloned()
            .collect();
        if let Some((kind, name)) = &entry.member
            && self.is_member_out(entry, kind, name)
        {
            lacks.insert(Name {
                schema: String::new(),
                name: name.clone(),
            });
        }
        lacks
    }

    /// Whether the trigger, constraint, policy or rule that a comment speaks of
    /// stands in the dump and is not in.
    fn is_member_out(&self, comment: &Entry, kind: &str, name: &str) -> bool {
        let Some(key) = &comment.anchor else {
            return false;
        };
        self.hanging(key).iter().any(|at| {
            let entry = &self.entries[*at];
            !self.is_in[*at] && entry.object_type.ends_with(kind) && entry.name == name
        })
    }
}

fn in_no_schema(family: Family, name: &str) -> Key {
    let name = Name {
        schema: String::new(),
        name: name.to_owned(),
    };
    (family, name)
}
