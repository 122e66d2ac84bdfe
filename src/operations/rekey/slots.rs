//! Decides which slots an archive is to have. Writes nothing.

use super::KeyOutcome;
use super::vouched::Vouched;
use crate::catalog::Unproven;
use crate::format::header::{self, Header, HeaderError, Opened, SLOTS_MAX};
use crate::format::keyring::Keyring;
use crate::format::keys::KeyId;
use crate::format::slots::{Slot, SlotName};
use crate::pipeline::PassphraseSalt;

/// What is to become of the keys of archives. Keys are places in the ring.
pub enum KeyChange {
    Add {
        keys: Vec<usize>,
    },
    Drop {
        keys: Vec<DroppedKey>,
        /// Also where no configured key opens the archive afterwards.
        force: bool,
    },
    /// Every archive that the key of this place opens gets the ring's writing
    /// keys in place of it.
    Rotate {
        from: usize,
    },
    /// The same slots, written anew into both copies.
    Repair,
}

pub enum DroppedKey {
    Place(usize),
    /// A raw key that need not be there.
    Id(KeyId),
}

/// A change, and what it needs to know of the run.
pub(super) struct Changing<'a> {
    pub change: &'a KeyChange,
    pub ring: &'a Keyring,
    /// So many keys of the ring, its first, are configured.
    pub configured: usize,
    pub salt: PassphraseSalt,
}

pub(super) enum Verdict {
    Rewrite(Vec<Slot>),
    /// It is so already.
    Already,
    /// The key that is to be exchanged opens it not.
    OtherKey,
}

/// Why a change is not made.
pub(super) enum Refusal {
    Header(HeaderError),
    Because(String),
    /// It would get a slot, and is not ours.
    Unproven(Unproven),
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

impl Changing<'_> {
    pub fn is_rotation(&self) -> bool {
        matches!(self.change, KeyChange::Rotate { .. })
    }

    pub fn judge(
        &self,
        opened: &Opened,
        vouched: &Result<Vouched<'_>, Unproven>,
    ) -> Result<Verdict, Refusal> {
        let header = &opened.header;
        let verdict = match self.change {
            KeyChange::Add { keys } => self.with(header, vouched, header.slots.clone(), keys)?,
            KeyChange::Drop { keys, force } => self.without(header, keys, *force)?,
            KeyChange::Rotate { from } => {
                let gone = slots_of(self.ring, header, *from);
                let writers: Vec<usize> = self.ring.writers().map(|(index, _)| index).collect();
                let is_theirs = |index: &usize| !slots_of(self.ring, header, *index).is_empty();
                match gone.is_empty() {
                    true if writers.iter().any(is_theirs) => Verdict::Already,
                    true => return Ok(Verdict::OtherKey),
                    false => self.with(header, vouched, remaining(header, &gone), &writers)?,
                }
            }
            KeyChange::Repair => Verdict::Already,
        };
        // What a crash has left between the copies, or damage, is put right now.
        let is_uneven = opened.is_between || opened.damaged_copy.is_some();
        Ok(match verdict {
            Verdict::Already if is_uneven => Verdict::Rewrite(header.slots.clone()),
            verdict => verdict,
        })
    }

    /// `slots`, and one for each of the keys that has none in the header.
    fn with(
        &self,
        header: &Header,
        vouched: &Result<Vouched<'_>, Unproven>,
        mut slots: Vec<Slot>,
        keys: &[usize],
    ) -> Result<Verdict, Refusal> {
        for &index in keys {
            if slots_of(self.ring, header, index).is_empty() {
                let vouched = vouched.as_ref();
                let vouched = vouched.map_err(|why| Refusal::Unproven(why.clone()))?;
                slots.push(vouched.new_slot(self.ring, index, &self.salt)?);
            }
        }
        if slots == header.slots {
            return Ok(Verdict::Already);
        }
        if slots.len() > SLOTS_MAX {
            return Err(Refusal::Because(format!(
                "it would have {} key slots, and there is room for {SLOTS_MAX}; `kluis key drop` \
                 makes room",
                slots.len()
            )));
        }
        let changed = Header {
            slots,
            ..header.clone()
        };
        for &index in keys {
            let can_open = self
                .ring
                .keys()
                .get(index)
                .is_some_and(|k| k.material.opens());
            if can_open && changed.opened_by(self.ring, index).is_empty() {
                return Err(Refusal::Because(
                    "a slot that was made for it does not open; nothing was written".to_owned(),
                ));
            }
        }
        Ok(Verdict::Rewrite(changed.slots))
    }

    fn without(
        &self,
        header: &Header,
        keys: &[DroppedKey],
        force: bool,
    ) -> Result<Verdict, Refusal> {
        let slots = keys.iter().flat_map(|key| match key {
            DroppedKey::Place(index) => slots_of(self.ring, header, *index),
            DroppedKey::Id(id) => named(header, &SlotName::Key(*id)),
        });
        let gone: Vec<usize> = slots.collect();
        if gone.is_empty() {
            return Ok(Verdict::Already);
        }
        let left = Header {
            slots: remaining(header, &gone),
            ..header.clone()
        };
        if left.slots.is_empty() {
            return Err(Refusal::Because(
                "nothing else opens it: the last key is never dropped; `kluis key add` another \
                 one first, or `kluis delete` the backup"
                    .to_owned(),
            ));
        }
        let mut configured = 0..self.configured;
        if !force && !configured.any(|index| !left.opened_by(self.ring, index).is_empty()) {
            return Err(Refusal::Because(format!(
                "no configured key would open it afterwards, only {}; --force drops it all the \
                 same",
                names(&left).join(" or ")
            )));
        }
        Ok(Verdict::Rewrite(left.slots))
    }
}

/// The slots of the ring's key of that place: those that it opens, and of age's
/// those that name its recipient.
pub(super) fn slots_of(ring: &Keyring, header: &Header, index: usize) -> Vec<usize> {
    let mut slots = header.opened_by(ring, index);
    let key = ring.keys().get(index);
    if let Some(recipient) = key.and_then(|key| key.material.recipient()) {
        slots.extend(named(header, &SlotName::Age(Some(recipient.to_string()))));
    }
    slots
}

fn named(header: &Header, name: &SlotName) -> Vec<usize> {
    let slots = header.slots.iter().enumerate();
    let named = slots.filter(|(_, slot)| slot.name() == *name);
    named.map(|(at, _)| at).collect()
}

fn remaining(header: &Header, gone: &[usize]) -> Vec<Slot> {
    let slots = header.slots.iter().enumerate();
    let stays = slots.filter(|(at, _)| !gone.contains(at));
    stays.map(|(_, slot)| slot.clone()).collect()
}

/// What opens it, for people.
pub(super) fn names(header: &Header) -> Vec<String> {
    let slots = header.slots.iter();
    slots.map(|slot| slot.name().to_string()).collect()
}

/// Neither the old key nor a configured one opens it. Where all writing keys are
/// age recipients, that is how an archive looks that is done.
pub(super) fn not_opened(ring: &Keyring, head: &[u8], wants: Vec<String>) -> KeyOutcome {
    let has_all = header::peek(head).is_ok_and(|header| {
        let mut writers = ring.writers();
        writers.all(|(index, _)| !slots_of(ring, &header, index).is_empty())
    });
    match has_all {
        true => KeyOutcome::Already,
        false => KeyOutcome::OtherKey(wants.join(" or ")),
    }
}
