//! See `cortado_trials::targets::graphs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cortado_trials::targets::graphs(bytes));
