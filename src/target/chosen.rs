//! A part of a tree: what globs fit, all that lies below it, and the directories above
//! it. Owns what waits of those until something below them is chosen.

use crate::format::tar::{Attributes, Entry, EntryKind, TarError};
use crate::glob::Globs;
use crate::target::TargetError;

/// As for the directories that are restored.
const WAITING_BYTES_MAX: usize = 64 << 20;

pub(super) struct Chosen<'a> {
    /// `None`: all of it.
    globs: Option<&'a Globs>,
    /// The directories above the present place that were not chosen themselves.
    waiting: Vec<(Vec<u8>, Attributes)>,
    count: u64,
}

impl<'a> Chosen<'a> {
    pub fn new(globs: Option<&'a Globs>) -> Self {
        Self {
            globs,
            waiting: Vec::new(),
            count: 0,
        }
    }

    /// Whether the entry is restored. If so, the directories that it needs first are
    /// [`Chosen::above`].
    pub fn takes(&mut self, entry: &Entry) -> Result<bool, TargetError> {
        if self.globs.is_none() {
            return Ok(true);
        }
        let path = &entry.path;
        self.waiting.retain(|(above, _)| lies_below(path, above));
        if self.fits(path) {
            self.count += 1;
            return Ok(true);
        }
        if entry.kind == EntryKind::Directory {
            self.waiting.push((path.clone(), entry.attributes.clone()));
            let bytes = self
                .waiting
                .iter()
                .map(|(_, it)| bytes_of(it))
                .sum::<usize>();
            if bytes > WAITING_BYTES_MAX {
                let why = "brings more attributes of nested directories than are held at a time";
                return Err(TarError::refused(path, why).into());
            }
        }
        Ok(false)
    }

    /// The directories above the entry that was taken last, the topmost first; each
    /// once.
    pub fn above(&mut self) -> Vec<(Vec<u8>, Attributes)> {
        std::mem::take(&mut self.waiting)
    }

    /// Whether `path`, or a directory above it, is what a glob fits.
    pub fn fits(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut above = ends.map(|(at, _)| &path[..at]);
        self.globs
            .is_none_or(|globs| globs.is_match(path) || above.any(|above| globs.is_match(above)))
    }

    /// How many entries were taken, where not all are.
    pub fn count(&self) -> Option<u64> {
        self.globs.map(|_| self.count)
    }
}

fn lies_below(path: &[u8], above: &[u8]) -> bool {
    let rest = path.strip_prefix(above);
    above.is_empty() || rest.is_some_and(|rest| rest.first() == Some(&b'/'))
}

fn bytes_of(attributes: &Attributes) -> usize {
    let xattrs = attributes.xattrs.iter();
    xattrs.map(|it| it.name.len() + it.value.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob::Reach;

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry {
            path: path.as_bytes().to_vec(),
            kind,
            attributes: Attributes::default(),
        }
    }

    #[test]
    fn what_fits_comes_with_all_below_it_and_the_directories_above_it_once() {
        let globs = Globs::new([("etc/app", Reach::Path), ("*.conf", Reach::Name)]).unwrap();
        let mut chosen = Chosen::new(Some(&globs));
        let mut told = Vec::new();
        for (path, is_directory) in [
            ("", true),
            ("a", true),
            ("a/x", false),
            ("etc", true),
            ("etc/app", true),
            ("etc/app/deep", true),
            ("etc/app/deep/file", false),
            ("etc/b.conf", false),
            ("etc/other", false),
            ("z", true),
            ("z/c.conf", false),
        ] {
            let kind = match is_directory {
                true => EntryKind::Directory,
                false => EntryKind::File { bytes: 0 },
            };
            if chosen.takes(&entry(path, kind)).unwrap() {
                let above = chosen.above().into_iter().map(|(path, _)| path);
                told.extend(above.map(|path| String::from_utf8(path).unwrap() + "/"));
                told.push(path.to_owned());
            }
        }
        let expected = [
            "/",
            "etc/",
            "etc/app",
            "etc/app/deep",
            "etc/app/deep/file",
            "etc/b.conf",
            "z/",
            "z/c.conf",
        ];
        assert_eq!(told, expected);
        assert_eq!(chosen.count(), Some(5));
    }
}
