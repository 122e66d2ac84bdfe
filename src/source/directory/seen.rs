//! What a walk came to before. Owns how it is remembered: eight bytes a path, in
//! a hash whose key nobody knows, so that no name can be made to look as if it
//! had been read.

use std::hash::{BuildHasher, Hash, RandomState};

use crate::paths::Identity;

#[derive(Default)]
pub(super) struct Seen {
    key: RandomState,
    /// Of the passes before this one, in order.
    before: Vec<u64>,
    now: Vec<u64>,
    /// Whether this pass came to what none before it came to.
    news: bool,
}

#[derive(Hash)]
enum Fact<'a> {
    Path(&'a [u8]),
    /// That directory, at that path.
    Directory(&'a [u8], u64, u64),
}

impl Seen {
    pub fn add(&mut self, path: &[u8]) {
        self.news = true;
        self.now.push(self.key.hash_one(Fact::Path(path)));
    }

    pub fn add_directory(&mut self, path: &[u8], identity: Identity) {
        self.now.push(self.directory(path, identity));
    }

    /// Whether a pass before this one came to something at `path`.
    pub fn holds(&self, path: &[u8]) -> bool {
        self.held(self.key.hash_one(Fact::Path(path)))
    }

    /// Whether that was this directory.
    pub fn holds_directory(&self, path: &[u8], identity: Identity) -> bool {
        self.held(self.directory(path, identity))
    }

    /// Begins the next pass; tells whether the last one came to anything new.
    pub fn end_pass(&mut self) -> bool {
        self.before.append(&mut self.now);
        self.before.sort_unstable();
        std::mem::take(&mut self.news)
    }

    fn held(&self, fact: u64) -> bool {
        self.before.binary_search(&fact).is_ok()
    }

    fn directory(&self, path: &[u8], Identity { device, inode }: Identity) -> u64 {
        self.key.hash_one(Fact::Directory(path, device, inode))
    }
}
