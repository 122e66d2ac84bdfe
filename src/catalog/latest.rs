//! What `latest` means: the newest whole backup of one series, that nothing is known
//! against and that is not dated in the future. Whatever fits two series is refused: a
//! restore must not take the one that happens to be newer.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{Backup, Catalog, CatalogError, Foreign, Ours, Unproven};
use crate::format::manifest::{Kind, Standing};
use crate::health::CLOCK_TOLERANCE;
use crate::series::{Reference, Series, Variant};

impl Catalog {
    /// Only backups count here: what has no manifest must be named.
    pub(super) fn latest(
        &self,
        of: Option<&str>,
        now: Timestamp,
        location: &str,
    ) -> Result<&Ours, CatalogError> {
        let meant = self.meant(of)?;
        let all: Vec<&Ours> = self.fitting(&meant).collect();
        // Where none is good, the newest tells what is wrong with it.
        let mut in_time = all.iter().copied().filter(|it| !is_ahead(it, now));
        let newest = in_time.clone().next();
        match (in_time.find(|it| is_good(it)).or(newest), all.first()) {
            (Some(backup), _) => Ok(backup),
            (None, Some(ahead)) => Err(CatalogError::OnlyAhead {
                archive: ahead.archive.clone(),
                dated: ahead.created_at(),
            }),
            (None, None) => Err(self.no_latest(of, location)),
        }
    }

    /// The newest backup that `latest..` passes over, and why.
    pub fn passed_over(&self, wanted: &str, now: Timestamp) -> Option<String> {
        let of = wanted.strip_prefix("latest")?;
        let of = match of.strip_prefix(':') {
            None if !of.is_empty() => return None,
            of => of,
        };
        let meant = self.meant(of).ok()?;
        let newest = self.fitting(&meant).next()?;
        if is_ahead(newest, now) {
            return Some(format!(
                "{} is dated in the future ({:.0}) and passed over; name it to take it, or set \
                 the clock right",
                newest.archive,
                newest.created_at()
            ));
        }
        let taken = self.latest(of, now, "").ok()?;
        let what = match newest.standing()? {
            Standing::Good(_) => return self.newer_adopted(&meant, newest),
            Standing::DoesNotRestore => "does not restore",
            Standing::Damaged => "is damaged",
        };
        (taken.archive != newest.archive).then(|| {
            format!(
                "{}, the newest, {what} and is passed over for {} of {:.0}; name it to take it \
                 all the same",
                newest.archive,
                taken.archive,
                taken.created_at()
            )
        })
    }

    /// It may be a part, so that it takes the place of no whole one.
    fn newer_adopted(&self, meant: &BTreeSet<&Series>, taken: &Ours) -> Option<String> {
        let is_beside = |it: &&Series| {
            it.variant == Variant::Adopted && !meant.contains(it) && meant.contains(&it.whole())
        };
        let beside = self.series().into_iter().filter(is_beside).collect();
        let newest = self.fitting(&beside).find(|it| is_good(it))?;
        (newest.created_at() > taken.created_at()).then(|| {
            format!(
                "{} of {:.0} was adopted, and nothing tells whether all is in it; it is passed \
                 over for {} of {:.0}; name it to take it all the same",
                newest.archive,
                newest.created_at(),
                taken.archive,
                taken.created_at()
            )
        })
    }

    /// The newest first.
    fn fitting<'a>(&'a self, meant: &BTreeSet<&Series>) -> impl Iterator<Item = &'a Ours> {
        let fits = |ours: &&Ours| {
            let series = ours.series.as_ref();
            series.is_some_and(|series| meant.contains(series))
        };
        self.backups.iter().filter(fits)
    }

    fn meant(&self, of: Option<&str>) -> Result<BTreeSet<&Series>, CatalogError> {
        let all = self.series();
        let Some(text) = of else {
            return Ok(wholes_first(&all, |_| true));
        };
        match Reference::find(text, &all) {
            Reference::Kind(kind) => Ok(wholes_first(&all, |it| it.kind == kind)),
            Reference::Series(series) => Ok(series.into_iter().collect()),
            Reference::Nothing => Ok(BTreeSet::new()),
            Reference::Ambiguous(series) => {
                let titles = self.titles();
                let title = |it: &Series| titles.get(&it.whole()).cloned();
                let told = |it: &&Series| {
                    let title = title(it).unwrap_or_else(|| it.to_string());
                    format!("latest:{title} ({} {it})", it.kind.word())
                };
                Err(CatalogError::SeveralSeries {
                    wanted: text.to_owned(),
                    fitting: series.iter().map(told).collect(),
                })
            }
        }
    }

    fn no_latest(&self, of: Option<&str>, location: &str) -> CatalogError {
        let kind = |text: &str| {
            [Kind::Db, Kind::Source]
                .into_iter()
                .find(|it| it.word() == text)
        };
        let matches = |backup: &Backup| match of {
            None => true,
            Some(text) => {
                let series = backup.series.as_ref();
                backup.name() == text
                    || backup.kind().is_some() && backup.kind() == kind(text)
                    || series.is_some_and(|series| series.whole().is_called(text))
            }
        };
        let location = location.to_owned();
        if let Some(alone) = self.backups.iter().find(|backup| matches(backup)) {
            return CatalogError::NoManifest {
                archive: alone.archive.clone(),
                location,
            };
        }
        let foreign = || self.foreign.iter().filter(|it| matches(it.described()));
        // It may be ours, whatever was planted before it.
        let not_tried = foreign().find(|it| it.why == Unproven::NotTried);
        match not_tried.or_else(|| foreign().next()) {
            Some(foreign) => Foreign::not_latest(foreign, &location),
            None => CatalogError::Empty {
                of: match of.map(|text| (text, kind(text))) {
                    None => String::new(),
                    Some((_, Some(Kind::Db))) => "of a database ".to_owned(),
                    Some((_, Some(Kind::Source))) => "of a source tree ".to_owned(),
                    // It may come from the command line as it is.
                    Some((name, None)) => format!("of {} ", name.escape_debug()),
                },
                location,
            },
        }
    }
}

fn is_good(backup: &Backup) -> bool {
    backup.standing().is_some_and(Standing::is_good)
}

fn is_ahead(backup: &Backup, now: Timestamp) -> bool {
    backup.created_at().duration_since(now) > CLOCK_TOLERANCE
}

/// The whole ones; where there are none, adopted ones, then parts; and only where there
/// is nothing else what restores were about to replace, which somebody wanted to be rid
/// of.
fn wholes_first<'a>(
    all: &BTreeSet<&'a Series>,
    of: impl Fn(&Series) -> bool,
) -> BTreeSet<&'a Series> {
    let fitting = || all.iter().copied().filter(|series| of(series));
    let best = fitting().map(|series| series.variant.rank()).min();
    fitting()
        .filter(|series| Some(series.variant.rank()) == best)
        .collect()
}
