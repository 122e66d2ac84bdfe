//! How long times are told.

/// Behind what it is the age of.
pub(super) fn age_in_words(seconds: f64) -> String {
    match seconds < 60.0 {
        true => "was made just now".to_owned(),
        false => format!("is {} old", days_and_hours(seconds)),
    }
}

/// "53 min", "26 h", "3 d 4 h".
pub(super) fn days_and_hours(seconds: f64) -> String {
    let hours = (seconds / 3600.0) as u64;
    match (hours / 24, hours % 24) {
        (0, 0) => format!("{} min", (seconds / 60.0) as u64),
        (0, hours) => format!("{hours} h"),
        (days, hours) => format!("{days} d {hours} h"),
    }
}
