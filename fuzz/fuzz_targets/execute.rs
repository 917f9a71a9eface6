//! See `cortado_trials::targets::execute`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cortado_trials::targets::execute(bytes));
