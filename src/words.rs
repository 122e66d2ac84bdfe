//! The grammar of counts.

/// Which of the two goes with that number.
pub fn plural<'a>(number: impl TryInto<u64>, one: &'a str, many: &'a str) -> &'a str {
    match number.try_into() {
        Ok(1) => one,
        _ => many,
    }
}

#[cfg(test)]
mod tests {
    use super::plural;

    #[test]
    fn one_alone_is_one() {
        assert_eq!(
            [0, 1, 2].map(|it: u64| plural(it, "run", "runs")),
            ["runs", "run", "runs"]
        );
        assert_eq!(plural(1_usize, "is", "are"), "is");
    }
}
