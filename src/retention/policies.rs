//! Which rules hold for which name.

use super::KeepRules;
use crate::format::manifest::Kind;

/// The rules for everything, and those for single names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    pub rules: KeepRules,
    /// The first that fits a backup holds for it, instead of `rules`.
    pub named: Vec<NamedRules>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedRules {
    /// `None` is either.
    pub kind: Option<Kind>,
    /// The database's or tree's own name.
    pub name: String,
    pub rules: KeepRules,
}

impl Policies {
    pub fn of(&self, kind: Kind, name: &str) -> &KeepRules {
        let fits = |named: &&NamedRules| {
            named.name == name && named.kind.is_none_or(|wanted| wanted == kind)
        };
        let named = self.named.iter().find(fits);
        named.map_or(&self.rules, |named| &named.rules)
    }
}

impl From<KeepRules> for Policies {
    fn from(rules: KeepRules) -> Self {
        Self {
            rules,
            named: Vec::new(),
        }
    }
}
