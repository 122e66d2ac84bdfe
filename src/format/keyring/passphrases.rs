//! What was derived of a ring's passphrases, and what that may cost. Whoever can
//! write to a storage chooses salts and rounds: 8 slots of 10 million rounds took
//! 20 s an archive, and a purse that he can empty must not make ours look foreign.

use std::collections::HashSet;
use std::sync::Arc;

use crate::format::keys::{PASSPHRASE_ITERATIONS, SecretKey};

/// PBKDF2 rounds that a run spends, of each purse, on what then opens nothing.
const FRUITLESS_ITERATIONS_MAX: u64 = 12_000_000;
/// Salts that are preferred in a run: at most so many more derivations.
const PREFERRED_MAX: usize = 12;

/// Of what a fruitless derivation is paid: planted archives leave the records'
/// alone, and records the archives'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::format) enum Purse {
    Archives,
    Records,
}

/// Too much was spent already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooCostly;

#[derive(Default)]
pub(super) struct Passphrases {
    pub derived: Vec<Derived>,
    /// Rounds spent on what has opened nothing so far, by purse.
    fruitless: [u64; 2],
    /// Salt and rounds of what has.
    fruitful: HashSet<([u8; 16], u32)>,
    preferred: HashSet<[u8; 16]>,
    /// Salt and rounds of what the operator named.
    named: HashSet<([u8; 16], u32)>,
    pub has_refused: bool,
}

pub(super) struct Derived {
    /// Of the passphrase in the ring.
    pub index: usize,
    pub salt: [u8; 16],
    pub iterations: u32,
    /// What it was paid of.
    pub charged: Option<Purse>,
    pub key: Arc<SecretKey>,
}

impl Passphrases {
    pub fn known(&self, index: usize, salt: &[u8; 16], iterations: u32) -> Option<Arc<SecretKey>> {
        let is_it =
            |d: &&Derived| d.index == index && d.salt == *salt && d.iterations == iterations;
        let mut derived = self.derived.iter();
        derived.find(is_it).map(|known| Arc::clone(&known.key))
    }

    fn is_free(&self, salt: &[u8; 16], iterations: u32) -> bool {
        let is_preferred = iterations == PASSPHRASE_ITERATIONS && self.preferred.contains(salt);
        let slot = (*salt, iterations);
        is_preferred || self.fruitful.contains(&slot) || self.named.contains(&slot)
    }

    pub fn refuses(&self, salt: &[u8; 16], iterations: u32, purse: Purse) -> bool {
        let spent = self.fruitless[purse as usize] + u64::from(iterations);
        !self.is_free(salt, iterations) && spent > FRUITLESS_ITERATIONS_MAX
    }

    /// Pays for a derivation, and says of which purse.
    pub fn pay(
        &mut self,
        salt: &[u8; 16],
        iterations: u32,
        purse: Purse,
    ) -> Result<Option<Purse>, TooCostly> {
        if self.refuses(salt, iterations, purse) {
            self.has_refused = true;
            return Err(TooCostly);
        }
        if self.is_free(salt, iterations) {
            return Ok(None);
        }
        self.fruitless[purse as usize] += u64::from(iterations);
        Ok(Some(purse))
    }

    pub fn opened_something(&mut self, salt: &[u8; 16], iterations: u32) {
        if !self.fruitful.insert((*salt, iterations)) {
            return;
        }
        let is_of = |it: &&mut Derived| it.salt == *salt && it.iterations == iterations;
        for derived in self.derived.iter_mut().filter(is_of) {
            if let Some(purse) = derived.charged.take() {
                let spent = &mut self.fruitless[purse as usize];
                *spent = spent.saturating_sub(u64::from(iterations));
            }
        }
    }

    #[cfg(test)]
    pub fn spend_all(&mut self) {
        self.fruitless = [FRUITLESS_ITERATIONS_MAX; 2];
    }

    pub fn proven(&self) -> impl Iterator<Item = [u8; 16]> + '_ {
        let usual = |(_, iterations): &&([u8; 16], u32)| *iterations == PASSPHRASE_ITERATIONS;
        self.fruitful.iter().filter(usual).map(|(salt, _)| *salt)
    }

    pub fn name(&mut self, salt: [u8; 16], iterations: u32) {
        self.named.insert((salt, iterations));
    }

    pub fn prefer(&mut self, salts: &[[u8; 16]]) -> bool {
        let before = self.preferred.len();
        for salt in salts {
            if self.preferred.len() < PREFERRED_MAX {
                self.preferred.insert(*salt);
            }
        }
        self.preferred.len() > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAR: u32 = 10_000_000;
    const OURS: [u8; 16] = [2; 16];

    fn emptied(purse: Purse) -> Passphrases {
        let mut passphrases = Passphrases::default();
        passphrases.fruitless[purse as usize] = FRUITLESS_ITERATIONS_MAX;
        passphrases
    }

    #[test]
    fn what_opens_nothing_is_not_derived_without_end() {
        let mut passphrases = emptied(Purse::Archives);
        let paid = passphrases.pay(&[1; 16], DEAR, Purse::Archives);
        assert_eq!(paid, Err(TooCostly));
        assert!(passphrases.has_refused);
        passphrases.opened_something(&OURS, 100_000);
        let paid = passphrases.pay(&OURS, 100_000, Purse::Archives);
        assert_eq!(paid, Ok(None));
        assert!(passphrases.refuses(&[1; 16], 100_000, Purse::Archives));
    }

    #[test]
    fn an_empty_purse_stops_neither_the_other_nor_the_storages_own_salt() {
        let mut passphrases = emptied(Purse::Archives);
        assert!(!passphrases.refuses(&OURS, PASSPHRASE_ITERATIONS, Purse::Records));
        assert!(passphrases.refuses(&OURS, PASSPHRASE_ITERATIONS, Purse::Archives));
        assert!(passphrases.prefer(&[OURS]));
        assert!(!passphrases.prefer(&[OURS]), "it is known");
        let paid = passphrases.pay(&OURS, PASSPHRASE_ITERATIONS, Purse::Archives);
        assert_eq!(paid, Ok(None));
        // Its name on a dear slot buys nothing.
        assert!(passphrases.refuses(&OURS, DEAR, Purse::Archives));
        // Unless the operator asks for just that.
        passphrases.name(OURS, DEAR);
        assert!(!passphrases.refuses(&OURS, DEAR, Purse::Archives));
    }

    #[test]
    fn preferring_has_an_end_too() {
        let mut passphrases = emptied(Purse::Records);
        let many: Vec<[u8; 16]> = (0..=255).map(|byte| [byte; 16]).collect();
        passphrases.prefer(&many);
        assert_eq!(passphrases.preferred.len(), PREFERRED_MAX);
    }
}
