//! Bytes of real clients and brokers: every file in `fixtures/` decodes, to the last byte, and encodes to bytes that
//! decode to the same. `fixtures/README.md` says how they are named.

#![allow(clippy::unwrap_used)]

mod generate;

use std::path::Path;

use corelog_wire::decoder::Decoder;
use corelog_wire::frame::frame_length;
use corelog_wire::header::{RequestHeader, ResponseHeader};
use corelog_wire::limits::FRAME_BYTES_MAX_DEFAULT;

use crate::generate::{Entry, entries};

struct Fixture {
    name: String,
    entry: Entry,
    version: i16,
}

/// Reads `<client>-<api>-v<version>-<request|response>.bin`.
fn parse_name(name: &str) -> Option<Fixture> {
    let mut parts = name.strip_suffix(".bin")?.rsplitn(4, '-');
    let (side, version, api) = (parts.next()?, parts.next()?, parts.next()?);
    let _client = parts.next()?;
    let version = version.strip_prefix('v')?.parse().ok()?;
    let is_request = match side {
        "request" => true,
        "response" => false,
        _ => return None,
    };
    let api = api.replace('_', "").to_lowercase();
    let entry =
        entries().into_iter().find(|entry| entry.api.name().to_lowercase() == api && entry.is_request == is_request)?;
    Some(Fixture { name: name.into(), entry, version })
}

fn check(fixture: &Fixture, frame: &[u8]) {
    let Fixture { name, entry, version } = fixture;
    let (prefix, frame) = frame.split_first_chunk::<4>().expect("a frame begins with its length");
    let length = i32::from_be_bytes(*prefix) as usize;
    assert_eq!(length, frame.len(), "{name}: the length in front is that of the frame");
    let mut decoder = Decoder::new(frame);
    if entry.is_request {
        assert_eq!(frame_length(*prefix, FRAME_BYTES_MAX_DEFAULT), Ok(length), "{name}");
        let header = RequestHeader::decode(&mut decoder).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(header.api(), Some(entry.api), "{name}");
        assert_eq!(header.request_api_version, *version, "{name}");
    } else {
        ResponseHeader::decode(&mut decoder, entry.api, *version).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let written = entry.round_trip(decoder.rest(), *version).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(entry.round_trip(&written, *version).as_ref(), Ok(&written), "{name}");
}

#[test]
fn every_fixture_decodes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut checked = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        let fixture = parse_name(&name).unwrap_or_else(|| panic!("{name} is not named as fixtures are"));
        check(&fixture, &std::fs::read(file.path()).unwrap());
        checked += 1;
    }
    assert!(checked > 0, "there are no fixtures");
}

#[test]
fn names_say_what_is_inside() {
    let fixture = parse_name("librdkafka-2.10-api_versions-v3-response.bin").unwrap();
    assert_eq!((fixture.entry.name(), fixture.version), ("ApiVersionsResponse".into(), 3));
    for name in
        ["x-produce-v3-request", "produce-v3-request.bin", "x-produce-3-request.bin", "x-nothing-v3-request.bin"]
    {
        assert!(parse_name(name).is_none(), "{name}");
    }
}
