//! See `cortado_trials::targets::pte`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cortado_trials::targets::pte(bytes));
