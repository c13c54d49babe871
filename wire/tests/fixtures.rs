//! Bytes of real clients and brokers: every file in `fixtures/` decodes, to the last byte, and encodes to the
//! same bytes. `fixtures/README.md` says how they are named.

#![allow(clippy::unwrap_used)]

mod generate;

use std::path::Path;

use corelog_wire::decoder::Decoder;
use corelog_wire::header::{RequestHeader, ResponseHeader};

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
    let entry = entries().into_iter().find(|entry| entry.api.name == api && entry.is_request == is_request)?;
    Some(Fixture { name: name.into(), entry, version })
}

fn check(fixture: &Fixture, bytes: &[u8]) {
    let Fixture { name, entry, version } = fixture;
    let (length, frame) = bytes.split_first_chunk().unwrap_or_else(|| panic!("{name} has no length"));
    assert_eq!(usize::try_from(i32::from_be_bytes(*length)), Ok(frame.len()), "{name}");
    let mut decoder = Decoder::new(frame);
    if entry.is_request {
        let header = RequestHeader::decode(&mut decoder).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(header.api(), entry.api.served, "{name}");
        assert_eq!(header.request_api_version, *version, "{name}");
    } else {
        let api = entry.api.served.unwrap_or_else(|| panic!("{name}: nobody can have answered this"));
        ResponseHeader::decode(&mut decoder, api, *version).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let written = entry.round_trip(decoder.rest(), *version).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(written, decoder.rest(), "{name}");
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
    let fixture = parse_name("confluent-kafka-2.16.1-ApiVersions-v3-response.bin").unwrap();
    assert_eq!((fixture.entry.name(), fixture.version), ("ApiVersionsResponse".into(), 3));
    for name in
        ["x-Produce-v3-request", "Produce-v3-request.bin", "x-Produce-3-request.bin", "x-produce-v3-request.bin"]
    {
        assert!(parse_name(name).is_none(), "{name}");
    }
}
