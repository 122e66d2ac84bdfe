//! Whose things stand in a dump, as the dump itself tells.

use std::collections::BTreeSet;

use super::comments::ObjectTitle;
use super::watch::Watch;

/// They hold nothing that runs, and stand also where the object itself does not, such
/// as the schema `public` that every database has.
const SAID_OF_OTHERS: [&str; 3] = ["ACL", "COMMENT", "SECURITY LABEL"];

/// The owners that the objects' titles name.
#[derive(Debug, Default)]
pub struct Owners {
    named: BTreeSet<String>,
    /// Of the titles that can be read in more than one way: one of each is meant.
    unclear: BTreeSet<Vec<String>>,
}

impl Owners {
    /// All of them; `roles` are those that the dump's statements name. `None`: a title
    /// does not tell whose its object is.
    pub fn into_names(self, roles: &BTreeSet<String>) -> Option<BTreeSet<String>> {
        let mut names = self.named;
        for read in self.unclear {
            let is_nobodys = read.iter().any(String::is_empty);
            let mut meant = read
                .into_iter()
                .filter(|name| roles.contains(name))
                .peekable();
            if meant.peek().is_none() && !is_nobodys {
                return None;
            }
            names.extend(meant);
        }
        Some(names)
    }
}

impl Watch for Owners {
    fn object(&mut self, _: u64, title: ObjectTitle) {
        let is_clear = title.unclear_owners.is_empty();
        if is_clear && SAID_OF_OTHERS.contains(&title.object_type.as_str()) {
            return;
        }
        match is_clear {
            true => self
                .named
                .extend(Some(title.owner).filter(|owner| !owner.is_empty())),
            false => self.unclear.extend([title.unclear_owners]),
        }
    }

    fn trailer(&mut self, _: u64) {}

    fn statement(&mut self, _: &[u8], _: bool, _: u64) {}
}
