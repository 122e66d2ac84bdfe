//! Whose things stand in a dump, as the dump itself tells.

use std::collections::BTreeSet;

use super::comments::ObjectTitle;
use super::watch::Watch;

/// They hold nothing that runs, and stand also where the object itself does not, such
/// as the schema `public` that every database has.
const SAID_OF_OTHERS: [&str; 3] = ["ACL", "COMMENT", "SECURITY LABEL"];

/// The owners that the objects' titles name.
#[derive(Debug, Default)]
pub struct Owners(BTreeSet<String>);

impl Owners {
    pub fn into_names(self) -> BTreeSet<String> {
        self.0
    }
}

impl Watch for Owners {
    fn object(&mut self, _: u64, title: ObjectTitle) {
        let is_its_own = !SAID_OF_OTHERS.contains(&title.object_type.as_str());
        if is_its_own && !title.owner.is_empty() {
            self.0.insert(title.owner);
        }
    }

    fn trailer(&mut self, _: u64) {}

    fn statement(&mut self, _: &[u8], _: bool, _: u64) {}
}
