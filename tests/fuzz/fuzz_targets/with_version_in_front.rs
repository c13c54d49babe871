//! Reads keys and values of `__consumer_offsets`, subscriptions and assignments, with their versions in front.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| corelog_fuzz::with_version_in_front(input));
