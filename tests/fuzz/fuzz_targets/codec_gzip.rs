//! Decompresses gzip.

#![no_main]

use corelog_wire::compression::Compression;

libfuzzer_sys::fuzz_target!(|input: &[u8]| corelog_fuzz::codec(Compression::Gzip, input));
