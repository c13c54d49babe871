//! Splits, validates and reads record batches.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| corelog_fuzz::record_batches(input));
