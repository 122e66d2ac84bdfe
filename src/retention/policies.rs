//! Which rules hold for which series: one answer, whoever asks.

use super::KeepRules;
use crate::format::manifest::Kind;
use crate::series::Series;

/// The rules for everything, those for single names, and those of schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    pub rules: KeepRules,
    /// The first that fits a backup holds for it, before all others.
    pub named: Vec<NamedRules>,
    /// The one that fits best holds, instead of `rules`.
    pub scheduled: Vec<ScheduledRules>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRules {
    /// `None` is either.
    pub kind: Option<Kind>,
    /// The database's or tree's own name.
    pub name: String,
    pub rules: KeepRules,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledRules {
    pub coverage: Coverage,
    pub rules: KeepRules,
}

/// What a schedule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// `None` is either.
    pub kind: Option<Kind>,
    /// `None`: all of its kind that nobody else has rules for.
    pub of: Option<Vec<Covered>>,
}

/// A database or a tree that a schedule backs up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    pub name: String,
    /// A tree's, where it is known.
    pub root: Option<String>,
}

/// How well rules fit a series; more is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Kind,
    /// The name, of another root.
    Name,
    Whole,
}

impl Coverage {
    pub fn holds(&self, series: &Series) -> bool {
        self.fit(series).is_some()
    }

    fn fit(&self, series: &Series) -> Option<Fit> {
        if self.kind.is_some_and(|kind| kind != series.kind) {
            return None;
        }
        let Some(of) = &self.of else {
            return Some(Fit::Kind);
        };
        let named = of.iter().filter(|covered| covered.name == series.name);
        let fit = named.map(|covered| match (&covered.root, &series.root) {
            (Some(covered), Some(own)) if covered != own => Fit::Name,
            _ => Fit::Whole,
        });
        fit.max()
    }
}

impl Policies {
    pub fn of(&self, series: &Series) -> &KeepRules {
        let fits = |named: &&NamedRules| {
            named.name == series.name && named.kind.is_none_or(|wanted| wanted == series.kind)
        };
        if let Some(named) = self.named.iter().find(fits) {
            return &named.rules;
        }
        let fitting = self.scheduled.iter();
        let fitting = fitting.filter_map(|it| Some((it.coverage.fit(series)?, &it.rules)));
        let best = fitting.max_by_key(|(fit, _)| *fit);
        best.map_or(&self.rules, |(_, rules)| rules)
    }
}

impl From<KeepRules> for Policies {
    fn from(rules: KeepRules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }
}
