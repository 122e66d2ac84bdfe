//! What lies in the storage and cannot be believed: manifests that cannot be read,
//! and what claims to be ours and is not as it was written.

use super::{BackupFact, Facts, Finding, Level};
use crate::format::manifest::{ProofLevel, Standing};
use crate::words::plural;

/// What was found against backups of one series, the newest first.
pub fn standings(group: &[&BackupFact]) -> Vec<Finding> {
    let kinds = [
        (
            "damaged",
            Standing::Damaged,
            ["was found damaged", "were found damaged"],
        ),
        (
            "restores",
            Standing::DoesNotRestore,
            ["does not restore", "do not restore"],
        ),
    ];
    let found = kinds.map(|(check, standing, [one, many])| {
        let newest = group.first()?;
        let bad: Vec<_> = group.iter().filter(|it| it.standing == standing).collect();
        let backups = plural(group.len(), "backup", "backups");
        let words = plural(bad.len(), one, many);
        let text = format!("{} of {} {backups} {words}", bad.len(), group.len());
        let finding = Finding::ok(check, &newest.title, text);
        let measured = finding.measured(bad.len() as f64, Some(0.0), "");
        let Some(worst) = bad.first() else {
            return Some(measured);
        };
        let level = match newest.standing == standing {
            true => Level::Critical,
            false => Level::Warning,
        };
        Some(measured.at(level, remedy(group, worst)))
    });
    found.into_iter().flatten().collect()
}

/// `bad` is the newest of its sort. A backup that is no good may be the only one that
/// still holds something: its removal is spoken of only where a newer one was proven.
fn remedy(group: &[&BackupFact], bad: &BackupFact) -> String {
    let id = &bad.id;
    let what = match bad.standing {
        Standing::DoesNotRestore => format!("kluis show {id} says why; its data is all there"),
        _ => format!("kluis show {id} says what is wrong"),
    };
    let newer = group.iter().take_while(|it| it.id != bad.id);
    let proven = newer
        .filter_map(|it| it.standing.proof())
        .any(|proof| proof >= ProofLevel::Verified);
    if proven {
        return format!("{what}; newer ones are proven, so kluis delete {id} may remove it");
    }
    match group.iter().find(|it| it.standing.is_good()) {
        Some(good) => format!(
            "make a new one with kluis backup, and keep this one until that is proven; the \
             newest good one is of {:.0}: kluis restore {}; {what}",
            good.created_at, good.id
        ),
        None => format!(
            "make a new one with kluis backup at once, and keep this one: there is no good one; \
             {what}"
        ),
    }
}

pub fn damaged(facts: &Facts) -> Vec<Finding> {
    let finding = |text: String, remedy: &str| {
        Finding::ok("damaged", "storage", text).at(Level::Critical, remedy)
    };
    let unreadable = facts.unreadable.iter().map(|key| {
        let text = format!("{key} cannot be read");
        finding(text, "move it away and adopt its archive: kluis adopt FILE")
    });
    let alarming = facts.alarming.iter().map(|(archive, why)| {
        let remedy = "look at it with kluis verify FILE, and find out who writes to the storage";
        finding(format!("{archive}: {why}"), remedy)
    });
    unreadable.chain(alarming).chain(not_tried(facts)).collect()
}

/// Somebody plants passphrase slots, and so hides what is ours from a host that has opened
/// none of it.
fn not_tried(facts: &Facts) -> Option<Finding> {
    let number = facts.uncounted.not_tried;
    let text = format!(
        "{number} {} not tried, and may be ours: passphrase slots of other archives took what a \
         run spends on them",
        plural(number as usize, "archive was", "archives were")
    );
    const REMEDY: &str = "find out who writes to the storage; kluis verify FILE, of a backup that \
                          you know, has this host remember its salt: all that share it count again";
    let finding = Finding::ok("damaged", "storage", text);
    (number > 0).then(|| finding.at(Level::Critical, REMEDY))
}

/// A run leaves none, so somebody put them there.
pub fn repeated(facts: &Facts) -> Vec<Finding> {
    let finding = |(archive, why): &(String, String)| {
        let text = format!("{archive}: {why}; it counts nowhere");
        let finding = Finding::ok("repeated", "storage", text);
        const REMEDY: &str = "find out who writes to the storage; kluis delete FILE removes it";
        finding.at(Level::Warning, REMEDY)
    };
    facts.repeated.iter().map(finding).collect()
}
