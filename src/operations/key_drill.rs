//! A drill: every header is unlocked with each key by itself, and a sample of the
//! backups is read whole. Tells beforehand what the loss of a key would cost.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::key_survey::{SurveyedArchive, survey_keys};
use super::read::{drain, read_backup};
use super::verify::remember_damage;
use super::{OperationError, Run, Vault, refuse_hollow};
use crate::catalog::{Backup, Catalog};
use crate::lock::LockKind;

pub struct KeyDrillDone<'a> {
    /// Newest first, unencrypted ones too.
    pub archives: Vec<SurveyedArchive<'a>>,
    /// Newest first.
    pub sample: Vec<Drilled<'a>>,
    pub took: Duration,
}

/// A backup that was read whole.
pub struct Drilled<'a> {
    pub backup: &'a Backup,
    pub result: Result<(), OperationError>,
    pub took: Duration,
}

impl KeyDrillDone<'_> {
    /// The first archive that is not right, if there is one: integrity goes
    /// before what only could not be read.
    pub fn worst(&self) -> Option<&OperationError> {
        let unopened = self.archives.iter().filter_map(|it| it.problem.as_ref());
        let unread = self.sample.iter().filter_map(|it| it.result.as_ref().err());
        let mut all = unopened.chain(unread);
        let first = all.clone().next();
        all.find(|error| error.is_integrity()).or(first)
    }
}

/// Drills with every key of the ring. `sample`: how many of those that open are
/// read whole, spread over their ages.
pub fn key_drill<'a>(
    vault: &Vault<'_>,
    catalog: &'a Catalog,
    sample: usize,
    now: Timestamp,
) -> Result<KeyDrillDone<'a>, OperationError> {
    let begun = Instant::now();
    let _lock = vault.lock(LockKind::Shared, now)?;
    let run = Run::start_reading(vault, None, now)?;
    let result = drill(vault, catalog, sample, now).map_err(|error| vault.stopped_or(error));
    // A drill that found something failed, and its record says what.
    let worst = match &result {
        Ok(done) => done.worst(),
        Err(error) => Some(error),
    };
    let read =
        |done: &KeyDrillDone<'_>| done.sample.iter().map(|it| it.backup.stored_bytes()).sum();
    let bytes = result.as_ref().map_or(0, read);
    // It reads whatever lies there.
    run.end_reading(worst.map_or(Ok(bytes), |error| Err(error.recorded(true))));
    result.map(|done| KeyDrillDone {
        took: begun.elapsed(),
        ..done
    })
}

fn drill<'a>(
    vault: &Vault<'_>,
    catalog: &'a Catalog,
    sample: usize,
    now: Timestamp,
) -> Result<KeyDrillDone<'a>, OperationError> {
    let archives = survey_keys(vault, catalog.all())?;
    let opened = archives.iter().filter(|it| !it.opened_by.is_empty());
    let opened: Vec<&Backup> = opened.map(|it| it.backup).collect();
    let mut done = Vec::new();
    for at in spread(opened.len(), sample) {
        let backup = opened[at];
        let begun = Instant::now();
        let phase = format!("reading {}", backup.name());
        let (archive, bytes) = (&backup.archive, backup.stored_bytes());
        // A manifest says how long its archive is, and reading goes by that.
        let readable = match backup.file {
            Some(_) => Ok(()),
            None => refuse_hollow(vault.storage, archive, bytes, "verify"),
        };
        let read = readable.and_then(|()| read_backup(vault, backup, &phase, drain));
        let result = match read {
            Err(error @ OperationError::Cancelled(_)) => return Err(error),
            Err(error) => {
                remember_damage(vault, backup, &error, now);
                Err(error)
            }
            Ok(_) => Ok(()),
        };
        done.push(Drilled {
            backup,
            result,
            took: begun.elapsed(),
        });
    }
    Ok(KeyDrillDone {
        archives,
        sample: done,
        took: Duration::ZERO,
    })
}

/// `wanted` of `count` places, first and last among them, evenly between.
fn spread(count: usize, wanted: usize) -> Vec<usize> {
    let wanted = wanted.min(count);
    match wanted {
        0 => Vec::new(),
        1 => vec![0],
        _ => (0..wanted)
            .map(|n| n * (count - 1) / (wanted - 1))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn a_sample_has_the_newest_the_oldest_and_some_between() {
        assert_eq!(spread(100, 5), [0, 24, 49, 74, 99]);
        assert_eq!(spread(3, 5), [0, 1, 2]);
        assert_eq!(spread(7, 2), [0, 6]);
        assert_eq!(spread(7, 1), [0]);
        assert_eq!(spread(0, 5), [0; 0]);
        assert_eq!(spread(9, usize::MAX).len(), 9);
    }
}
