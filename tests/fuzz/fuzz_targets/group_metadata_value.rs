//! Decodes groups of any version, as records have them.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| corelog_fuzz::message("GroupMetadataValue", input));
