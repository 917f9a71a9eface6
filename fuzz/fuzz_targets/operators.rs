//! See `cortado_trials::targets::operators`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cortado_trials::targets::operators(bytes));
