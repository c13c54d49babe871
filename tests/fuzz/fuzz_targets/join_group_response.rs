//! Decodes JoinGroup responses of any version.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| corelog_fuzz::message("JoinGroupResponse", input));
