//! Room on the disk: for bytes, and for files.

use super::{Finding, Level, Room, warning_if};

/// How many more files the disk can hold, and how many in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inodes {
    pub free: u64,
    pub total: u64,
}

/// `limit`: percent that must be free.
pub fn free(room: Room, limit: u32) -> Finding {
    let percent = percent(room.free_bytes, room.total_bytes);
    let text = format!("{percent:.0}% of the disk is free");
    finding("free", text, percent, limit)
}

/// A storage holds three small files for each backup. A disk that is nearly empty may
/// have none left for them.
pub fn inodes(inodes: Inodes, limit: u32) -> Option<Finding> {
    let percent = percent(inodes.free, inodes.total);
    let text = format!("{percent:.0}% of the disk's inodes are free");
    // Told where it matters: else it is one more line in every check.
    (percent < f64::from(limit)).then(|| finding("inodes", text, percent, limit))
}

fn percent(free: u64, total: u64) -> f64 {
    match total {
        0 => 0.0,
        total => free as f64 * 100.0 / total as f64,
    }
}

fn finding(check: &'static str, text: String, percent: f64, limit: u32) -> Finding {
    let finding = Finding::ok(check, "storage", text);
    let measured = finding.measured(percent, Some(f64::from(limit)), "%");
    let level = match percent < f64::from(limit) {
        true if percent < f64::from(limit) / 2.0 => Level::Critical,
        low => warning_if(low),
    };
    let remedy = "prune older backups (kluis prune), or enlarge the disk";
    measured.at(level, remedy)
}
