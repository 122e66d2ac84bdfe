//! Rules that several tests prune by.

/// Keeps the newest alone.
pub const KEEP_LAST_1: [&str; 7] = [
    "prune",
    "--keep-last=1",
    "--keep-hourly=0",
    "--keep-daily=0",
    "--keep-weekly=0",
    "--keep-monthly=0",
    "--keep-yearly=0",
];
