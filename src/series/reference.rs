//! How an operator names a series: `NAME`, `LABEL/NAME`, `ROOT`, `LABEL:ROOT`, each
//! also behind `db/` or `source/`; parts behind `part/`, what was adopted behind
//! `adopted/`, what restores replaced behind `replaced/`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Series, Variant};
use crate::format::manifest::Kind;

impl Series {
    /// The texts that name it, the shortest first. A part has none that is a whole's.
    fn references(&self) -> Vec<String> {
        let (name, label) = (&self.name, &self.label);
        let mut plain = vec![name.clone(), format!("{label}/{name}")];
        if let Some(root) = &self.root {
            plain.extend([root.clone(), format!("{label}:{root}")]);
        }
        let first = match &self.variant {
            Variant::Whole => None,
            Variant::Adopted => Some("adopted/"),
            Variant::Part(_) => Some("part/"),
            Variant::Replaced => Some("replaced/"),
        };
        let kind = self.kind.word();
        let of_kind: Vec<String> = plain.iter().map(|it| format!("{kind}/{it}")).collect();
        plain.extend(of_kind);
        match first {
            None => plain,
            Some(first) => plain.iter().map(|it| format!("{first}{it}")).collect(),
        }
    }

    pub fn is_called(&self, text: &str) -> bool {
        self.references().iter().any(|reference| reference == text)
    }

    /// The whole that it is a part of, a copy of before a restore, or may be.
    pub fn whole(&self) -> Self {
        Self {
            variant: Variant::Whole,
            ..self.clone()
        }
    }
}

/// What a text names of the series of a storage.
#[derive(Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// All whole ones of a kind.
    Kind(Kind),
    /// These, of which one may be the whole, or several the parts of one.
    Series(Vec<&'a Series>),
    /// They do not belong together.
    Ambiguous(Vec<&'a Series>),
    /// None; it is a kind's word where there is none of the kind either.
    Nothing,
}

impl<'a> Reference<'a> {
    /// A kind's word is that kind, unless a series is called so. Where only adopted ones,
    /// parts, or copies from before restores have the name, they are meant.
    pub fn find(text: &str, all: &BTreeSet<&'a Series>) -> Self {
        let kind = [Kind::Db, Kind::Source];
        let kind = kind.into_iter().find(|kind| kind.word() == text);
        let called = || all.iter().copied().filter(|series| series.is_called(text));
        let exact: Vec<&Series> = called().collect();
        if let Some(kind) = kind {
            if exact.is_empty() {
                return Self::Kind(kind);
            }
            // Both are told, each by what names it alone.
            let of_kind = all.iter().copied();
            let of_kind = of_kind.filter(|it| it.kind == kind && it.variant == Variant::Whole);
            let others = of_kind.filter(|it| !exact.contains(it));
            let both = exact.iter().copied().chain(others);
            return Self::Ambiguous(both.collect());
        }
        if !exact.is_empty() {
            return Self::together(exact);
        }
        let of_whole = |wanted: fn(&Variant) -> bool| -> Vec<&'a Series> {
            let named = all.iter().copied().filter(|series| wanted(&series.variant));
            named
                .filter(|series| series.whole().is_called(text))
                .collect()
        };
        for variant in [
            |it: &Variant| matches!(it, Variant::Adopted),
            |it: &Variant| matches!(it, Variant::Part(_)),
            |it: &Variant| matches!(it, Variant::Replaced),
        ] {
            let named = of_whole(variant);
            if !named.is_empty() {
                return Self::together(named);
            }
        }
        Self::Nothing
    }

    /// Parts of one database belong together, whatever they leave out.
    fn together(named: Vec<&'a Series>) -> Self {
        let wholes: BTreeSet<Series> = named.iter().map(|series| series.whole()).collect();
        match wholes.len() > 1 {
            true => Self::Ambiguous(named),
            false => Self::Series(named),
        }
    }
}

/// By series.
pub type Titles = BTreeMap<Series, String>;

/// The shortest text that names each of them alone, for tables and for commands to
/// paste. Parts of one database share one.
pub fn titles<'a>(all: impl IntoIterator<Item = &'a Series>) -> Titles {
    let all: BTreeSet<&Series> = all.into_iter().collect();
    let mut named: HashMap<String, BTreeSet<Series>> = HashMap::new();
    for series in &all {
        for reference in series.references() {
            named.entry(reference).or_default().insert(series.whole());
        }
    }
    let kinds = [Kind::Db, Kind::Source].map(Kind::word);
    let is_plain = |text: &String| {
        let alone = named.get(text).is_some_and(|series| series.len() == 1);
        alone && !kinds.contains(&text.as_str())
    };
    let title = |series: &Series| {
        let shortest = series.references().into_iter().find(is_plain);
        shortest.unwrap_or_else(|| series.to_string())
    };
    let titled = all.iter().map(|&series| (series.clone(), title(series)));
    titled.collect()
}
