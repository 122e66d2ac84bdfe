//! How much is tried of what is tried again and again: everything where KLUIS_SOAK is
//! set, as `tests/run --soak` does, and a sample of the same spread otherwise.

/// What is left out of a usual run: three of four.
const SAMPLE: usize = 4;

pub fn is_soak() -> bool {
    std::env::var_os("KLUIS_SOAK").is_some()
}

/// So many in a soak.
pub fn rounds(full: usize) -> usize {
    match is_soak() {
        true => full,
        false => full.div_ceil(SAMPLE),
    }
}

/// Every one in a soak, or else every fourth: the step of a walk over them.
pub fn step() -> usize {
    match is_soak() {
        true => 1,
        false => SAMPLE,
    }
}

/// All of them in a soak, or else the one whose turn it is.
pub fn by_turns<T: Copy>(all: &[T], turn: usize) -> Vec<T> {
    match is_soak() {
        true => all.to_vec(),
        false => vec![all[turn % all.len()]],
    }
}
