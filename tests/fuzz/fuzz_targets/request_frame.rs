//! Takes a frame as a broker does: length, header, then the body of whatever API that names.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| corelog_fuzz::request_frame(input));
