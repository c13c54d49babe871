//! Decodes keys of groups, without the two bytes in front.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| corelog_fuzz::message("GroupMetadataKey", input));
