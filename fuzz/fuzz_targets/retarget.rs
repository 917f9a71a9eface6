//! See `cortado_trials::targets::retarget`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cortado_trials::targets::retarget(bytes));
