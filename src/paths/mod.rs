//! Directories that are worked on through descriptors only, held from the top:
//! the walk of a backup, the restore of a tree, the scratch directories and the files
//! that decide what kluis runs stand on it.
//!
//! Owns how a directory is opened below another, how one that was closed is
//! reached again, how a tree is removed and how a directory gets its name. Goes
//! down only: nothing here or above asks for the parent of a directory, and a
//! name that was checked is not believed a second time. Invariant: whatever
//! others rename, move or replace meanwhile, what is written, changed or removed
//! lies in a directory that was opened from one held before it, never through a
//! link, and is the one that it was: its device and inode are compared.

mod chain;
mod descent;
mod dir;
mod remove;

pub use chain::{Chain, Leaf, Rule};
pub use descent::{Descent, Left, Lost};
pub use dir::{Dir, Identity, Listed, Mount};
pub use remove::{remove_child, remove_tree};
