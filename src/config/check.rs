//! The settings of `[check]`: what is still healthy.

use std::collections::BTreeMap;
use std::time::Duration;

use super::duration::parse_age;
use super::layers::{Layers, or_default};
use super::settings::CheckSettings;
use super::{ConfigError, Sourced};
use crate::health::Thresholds;
use crate::retention::Age;

/// A night and some hours: the second one that is missed tells.
const MAX_AGE_DEFAULT: &str = "26h";
const PROOF_AGE_DEFAULT: &str = "31d";
const SIZE_DRIFT_DEFAULT: u32 = 50;
const TABLE_DRIFT_DEFAULT: u32 = 50;
const TABLE_DRIFT_ROWS_DEFAULT: u64 = 1000;
const FAILURES_DEFAULT: u32 = 2;
const FREE_DEFAULT: u32 = 10;
const DAYS_UNTIL_FULL_DEFAULT: u32 = 14;

impl Layers<'_> {
    pub(super) fn check(&self) -> Result<CheckSettings, ConfigError> {
        let keys = &self.keys.check;
        let age = |text: &str| text.parse::<Age>().ok();
        let off_or = |entry, default: &str| -> Result<Sourced<Option<Age>>, ConfigError> {
            let parse = |text: &str| match text {
                "off" => Ok(None),
                text => parse_age(text).map(Some),
            };
            Ok(or_default(self.parsed_key(entry, parse)?, age(default)))
        };
        let mut max_age_of = BTreeMap::new();
        for (name, entry) in &keys.max_age_of {
            if let Some(age) = self.parsed_key(entry, parse_age)? {
                max_age_of.insert(name.clone(), age.value);
            }
        }
        Ok(CheckSettings {
            max_age: off_or(&keys.max_age, MAX_AGE_DEFAULT)?,
            max_age_of,
            proof_age: off_or(&keys.proof_age, PROOF_AGE_DEFAULT)?,
            size_drift: or_default(self.key(&keys.size_drift), SIZE_DRIFT_DEFAULT),
            table_drift: or_default(self.key(&keys.table_drift), TABLE_DRIFT_DEFAULT),
            table_drift_rows: or_default(
                self.key(&keys.table_drift_rows),
                TABLE_DRIFT_ROWS_DEFAULT,
            ),
            failures: or_default(self.key(&keys.failures), FAILURES_DEFAULT),
            free: or_default(self.key(&keys.free), FREE_DEFAULT),
            days_until_full: or_default(self.key(&keys.days_until_full), DAYS_UNTIL_FULL_DEFAULT),
            unverified: self.key(&keys.unverified),
        })
    }
}

impl CheckSettings {
    /// A percentage or number of days of 0 turns its check off.
    ///
    /// `run_limit` is the run's own.
    pub fn thresholds(&self, run_limit: Duration, plain_is_meant: bool) -> Thresholds {
        let on = |number: &Sourced<u32>| (number.value > 0).then_some(number.value);
        Thresholds {
            max_age: self.max_age.value,
            max_age_of: self.max_age_of.clone(),
            size_drift_percent: on(&self.size_drift),
            table_drift_percent: on(&self.table_drift),
            table_drift_rows: self.table_drift_rows.value,
            failures: Some(self.failures.value),
            proof_age: self.proof_age.value,
            run_limit: (!run_limit.is_zero()).then_some(run_limit),
            free_percent: on(&self.free),
            days_until_full: on(&self.days_until_full),
            unverified: self.unverified.as_ref().map(|number| number.value),
            plain_is_meant,
        }
    }
}
