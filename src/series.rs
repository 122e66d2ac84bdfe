//! What belongs together: a *series* is the backups of which one can stand for
//! another, and what retention, check, status, reports and `latest` count.
//!
//! A tree's series is the label of its host, its name and its root as it was given;
//! a database's is the label of its server and its name. A part, what was adopted, and
//! what a restore was about to replace, are series of their own.
//!
//! Invariant: only this file says which backups belong together. Two that do not
//! must never share a series, because then one is removed for the other; a series in
//! two pieces only keeps more.

use std::collections::BTreeMap;
use std::fmt;

use crate::format::manifest::{DatabaseContent, Kind, Manifest, State};

mod labels;
mod reference;

pub use labels::{LABEL_CHARS_MAX, Place, host_label, is_label, renamed, server_label};
pub use reference::{Reference, Titles, titles};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    pub kind: Kind,
    /// The database's or tree's own name: policies and thresholds go by it.
    pub name: String,
    /// Of the host, or of the server.
    pub label: String,
    /// A tree's, as it was given; `None` where it is not known.
    pub root: Option<String>,
    pub variant: Variant,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    Whole,
    /// Nobody knows whether it is whole: it stands for a whole one only where there is
    /// none.
    Adopted,
    /// The options that left something out, each behind a blank.
    Part(String),
    /// What restores were about to replace.
    Replaced,
}

impl Series {
    /// What the manifest says of itself, but for a label that it was given since.
    /// Older ones have none: then it is the host's, or the container's on that host.
    /// See [`series_of`] for how they belong to newer ones.
    pub fn of(manifest: &Manifest, state: &State) -> Self {
        match label(manifest, state) {
            Some(label) => Self::labelled(manifest, label.to_owned()),
            None => Self::as_made(manifest),
        }
    }

    /// The same, whatever its label is now.
    pub fn as_made(manifest: &Manifest) -> Self {
        let database = manifest.database.as_ref();
        let label = manifest.label.clone().unwrap_or_else(|| {
            let host = labels::host_of_older(&manifest.host);
            match database.and_then(|database| database.container.as_deref()) {
                Some(container) => server_label(&Place::Container(container), host),
                None => host.to_owned(),
            }
        });
        Self::labelled(manifest, label)
    }

    fn labelled(manifest: &Manifest, label: String) -> Self {
        let tree = manifest.source.as_ref();
        let root = tree.map(|tree| tree.given.as_ref().unwrap_or(&tree.root));
        Self {
            kind: manifest.kind,
            name: manifest.name.clone(),
            label,
            root: root.filter(|root| !root.is_empty()).cloned(),
            variant: variant(manifest),
        }
    }

    /// Any whole one of that name.
    #[cfg(test)]
    pub fn called(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            label: "here".to_owned(),
            root: None,
            variant: Variant::Whole,
        }
    }

    pub fn is_whole(&self) -> bool {
        self.variant == Variant::Whole
    }
}

/// `None` of one that was made before there were any.
pub fn label<'a>(manifest: &'a Manifest, state: &'a State) -> Option<&'a str> {
    state.label.as_deref().or(manifest.label.as_deref())
}

fn variant(manifest: &Manifest) -> Variant {
    if manifest.before_restore_of.is_some() {
        return Variant::Replaced;
    }
    let part = manifest.database.as_ref().map(left_out_by_options);
    match part.filter(|options| !options.is_empty()) {
        Some(options) => Variant::Part(options),
        None if manifest.is_adopted() => Variant::Adopted,
        None => Variant::Whole,
    }
}

/// Options of pg_dump that leave nothing out of what a database holds: they say how
/// it is written, or whose it is.
const WHOLE: &[&str] = &[
    "--attribute-inserts",
    "--blobs",
    "--column-inserts",
    "--disable-dollar-quoting",
    "--disable-triggers",
    "--extra-float-digits",
    "--include-foreign-data",
    "--inserts",
    "--large-objects",
    "--load-via-partition-root",
    "--no-acl",
    "--no-owner",
    "--no-privileges",
    "--no-statistics",
    "--no-sync",
    "--no-synchronized-snapshots",
    "--no-table-access-method",
    "--no-tablespaces",
    "--no-toast-compression",
    "--on-conflict-do-nothing",
    "--quote-all-identifiers",
    "--role",
    "--rows-per-insert",
    "--sequence-data",
    "--serializable-deferrable",
    "--statistics",
    "--strict-names",
    "--sync-method",
    "--use-set-session-authorization",
];

/// What of a database was left out by who asked for the dump, as pg_dump's flags;
/// empty where it is whole. An option that is not known here leaves something out:
/// pg_dump takes abbreviations, and later ones have more.
pub fn left_out_by_options(database: &DatabaseContent) -> String {
    let mut text = database.selection.to_string();
    for option in &database.options {
        let option = option.to_string();
        let name = option.split_once('=').map_or(&*option, |(name, _)| name);
        if !WHOLE.contains(&name) {
            text.push(' ');
            text.push_str(&option);
        }
    }
    text
}

/// One line for people and for labels: `alpha:/srv/app`, `db.example:5432/shop`.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Some(root) if root.rsplit('/').next() == Some(&*self.name) => {
                write!(f, "{}:{root}", self.label)?;
            }
            Some(root) => write!(f, "{}:{root} as {}", self.label, self.name)?,
            None => write!(f, "{}/{}", self.label, self.name)?,
        }
        match &self.variant {
            Variant::Whole => Ok(()),
            Variant::Adopted => f.write_str(", adopted"),
            Variant::Part(options) => write!(f, ", part{options}"),
            Variant::Replaced => f.write_str(", before restores"),
        }
    }
}

impl Variant {
    /// What anybody wants back first comes first.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::Adopted => 1,
            Self::Part(_) => 2,
            Self::Replaced => 3,
        }
    }
}

/// What older and newer manifests both tell: it joins the older to the newer.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Trace<'a> {
    host: &'a str,
    /// "direct" or "docker"; empty where it is not known.
    mode: &'a str,
    /// The directory that was read; empty where it is not known.
    root: &'a str,
}

impl<'a> Trace<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let database = manifest.database.as_ref();
        Self {
            host: labels::host_of_older(&manifest.host),
            mode: database.map_or("", |database| &database.mode),
            root: manifest.source.as_ref().map_or("", |tree| &tree.root),
        }
    }

    fn may_be(&self, other: &Self) -> bool {
        let fits = |mine: &str, theirs: &str| mine.is_empty() || mine == theirs;
        self.host == other.host && fits(self.mode, other.mode) && fits(self.root, other.root)
    }
}

/// The series of each of the manifests of a storage, beside their states, in their
/// order.
///
/// Manifests without a label were made before there were any, when all of one name
/// were counted together. Where exactly one series with a label goes on with what
/// they are (kind, name, variant, machine, way to the server, directory), they are
/// its beginning: else it would start anew, and they would grow old by themselves
/// for ever. Where several do, nobody knows whose they are, and they stay apart. What
/// was adopted goes under the label of the whole ones, and is counted beside them.
pub fn series_of(all: &[(&Manifest, &State)]) -> Vec<Series> {
    let of = |(manifest, state): &(&Manifest, &State)| Series::of(manifest, state);
    let mut series: Vec<Series> = all.iter().map(of).collect();
    let manifests: Vec<&Manifest> = all.iter().map(|(manifest, _)| *manifest).collect();
    let is_labelled = |at: usize| label(all[at].0, all[at].1).is_some();
    let mut labelled: BTreeMap<(Kind, &str, Variant), BTreeMap<Trace<'_>, Vec<usize>>> =
        BTreeMap::new();
    let key = |at: usize| {
        let variant = series[at].variant.clone();
        (manifests[at].kind, &*manifests[at].name, variant)
    };
    for (at, manifest) in manifests.iter().enumerate() {
        if is_labelled(at) {
            let traces = labelled.entry(key(at)).or_default();
            let known = traces.entry(Trace::of(manifest)).or_default();
            if !known.iter().any(|&other| series[other] == series[at]) {
                known.push(at);
            }
        }
    }
    let heir = |at: usize| {
        let trace = Trace::of(manifests[at]);
        let (kind, name, variant) = key(at);
        let of = match &variant {
            Variant::Adopted => Variant::Whole,
            other => other.clone(),
        };
        let traces = labelled.get(&(kind, name, of))?.iter();
        let fitting = traces.filter(|(other, _)| trace.may_be(other));
        let mut heirs = fitting
            .flat_map(|(_, all)| all)
            .map(|&other| &series[other]);
        let first = heirs.next()?;
        let heir = || Series {
            variant,
            ..first.clone()
        };
        heirs.all(|other| other == first).then(heir)
    };
    let older = (0..manifests.len()).filter(|&at| !is_labelled(at));
    let joined: Vec<(usize, Series)> = older.filter_map(|at| Some((at, heir(at)?))).collect();
    for (at, heir) in joined {
        series[at] = heir;
    }
    series
}

#[cfg(test)]
mod tests;
