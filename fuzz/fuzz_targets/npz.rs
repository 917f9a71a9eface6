//! See `cortado_trials::targets::npz`.
#![no_main]

use cortado_fuzz::mutate_archive;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cortado_trials::targets::npz(bytes));
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_archive(data, size, max_size, seed)
});
