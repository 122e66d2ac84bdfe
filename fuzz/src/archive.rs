//! What is made of a damaged archive in custom or directory format, whatever bytes it is
//! of and wherever its gap is: a whole one, of which nothing more is lost.

use std::io::{self, BufRead, Read};

use kluis::format::mended::{Gap, Part, Plan, Stretches};
use kluis::format::tar::{MendedTar, mend};
use kluis::ledger::{mend_custom, mend_directory};

use super::Choices;

/// What is before a gap, and what is behind it.
struct Parts<'a> {
    parts: Vec<&'a [u8]>,
    given: u64,
}

impl<'a> Parts<'a> {
    fn whole(bytes: &'a [u8]) -> Self {
        Self {
            parts: vec![bytes],
            given: 0,
        }
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Parts<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let first = self.parts.first().copied().unwrap_or_default();
        Ok(&first[..first.len().min(512)])
    }

    fn consume(&mut self, bytes: usize) {
        if let Some(first) = self.parts.first_mut() {
            *first = &first[bytes..];
            self.given += bytes as u64;
        }
    }
}

impl Stretches for Parts<'_> {
    fn next_stretch(&mut self) -> io::Result<Option<Gap>> {
        if self.parts.len() < 2 {
            return Ok(None);
        }
        self.parts.remove(0);
        Ok(Some(Gap { bytes: None }))
    }

    fn position(&self) -> u64 {
        self.given
    }
}

fn made(plan: Plan, left: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in plan.into_parts() {
        match part {
            Part::Keep(place) => out.extend(&left[place.start as usize..place.end as usize]),
            Part::Bytes(bytes) => out.extend(bytes),
            Part::Zeros(bytes) => {
                // A header may claim any length.
                let room = (1 << 20) - out.len().min(1 << 20);
                out.resize(out.len() + room.min(bytes as usize), 0);
            }
        }
    }
    out
}

/// A byte for the form, four for the gap, and the archive.
pub(super) fn archive(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let is_custom = choices.byte().is_multiple_of(2);
    let (start, len) = (choices.number(2), choices.number(2));
    let whole = choices.0;
    let start = start.min(whole.len());
    let end = (start + len).min(whole.len());
    let left = [&whole[..start], &whole[end..]].concat();
    let parts = vec![&whole[..start], &whole[end..]];
    let mut stream = Parts { parts, given: 0 };
    match is_custom {
        true => {
            let Ok(done) = mend_custom(&mut stream, None) else {
                return;
            };
            let out = made(done.plan, &left);
            let again = mend_custom(&mut Parts::whole(&out), None);
            let again = again.expect("a whole archive");
            assert!(again.lost_tables.is_empty() && !again.lost_large_objects);
            assert_eq!(made(again.plan, &out), out);
        }
        false => {
            let tar = mend(&mut stream, None).expect("slices never fail");
            let out = made(tar.plan.clone(), &left);
            let Ok(done) = mend_directory(&mut Parts::whole(&out), &tar, None) else {
                return;
            };
            let files = made(done.plan, &out);
            let whole = MendedTar::default();
            let again = mend_directory(&mut Parts::whole(&files), &whole, None);
            let again = again.expect("a whole archive");
            assert!(again.lost_tables.is_empty() && !again.lost_large_objects);
            assert_eq!(made(again.plan, &files), files);
        }
    }
}
