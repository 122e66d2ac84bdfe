//! Gives what libFuzzer makes up to one target, named by FUZZ_TARGET.
#![no_main]

use std::sync::OnceLock;

use kluis_fuzz::TARGETS;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fn choose() {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let target = TARGETS.iter().find(|(name, _)| *name == wanted);
    let Some((_, target)) = target else {
        eprintln!("FUZZ_TARGET={wanted:?} is no target; run tests/fuzz");
        std::process::exit(2);
    };
    TARGET.get_or_init(|| *target);
}

libfuzzer_sys::fuzz_target!(init: choose(), |bytes: &[u8]| {
    if let Some(target) = TARGET.get() {
        target(bytes);
    }
});
