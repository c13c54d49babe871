//! Batches of real clients and brokers: what stands in the captured Produce requests is accepted as a leader accepts it,
//! and what stands in the captured Fetch responses is read to the last record.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use corelog_wire::api::fetch::FetchResponse;
use corelog_wire::api::produce::ProduceRequest;
use corelog_wire::api_key::ApiKey;
use corelog_wire::decoder::Decoder;
use corelog_wire::header::{RequestHeader, ResponseHeader};
use corelog_wire::limits::DECOMPRESSED_BATCH_BYTES_MAX_DEFAULT;
use corelog_wire::message::Message;
use corelog_wire::record_batch::{ProduceRules, batches, validate};

/// The captured frames of a message, without the length in front, with their names and versions.
fn captured(message: &str, side: &str) -> Vec<(String, i16, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut frames = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let Some((_, rest)) = name.split_once(&format!("-{message}-v")) else { continue };
        let Some(version) = rest.strip_suffix(&format!("-{side}.bin")) else { continue };
        let version = version.parse().unwrap();
        frames.push((name, version, std::fs::read(file.path()).unwrap()[4..].to_vec()));
    }
    frames
}

/// How many records the batches in `bytes` have; each is read.
fn count_records(name: &str, bytes: &[u8]) -> usize {
    let mut count = 0;
    for batch in batches(bytes) {
        let batch = batch.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(batch.has_valid_crc(), "{name}");
        let payload = batch
            .decompressed_payload(DECOMPRESSED_BATCH_BYTES_MAX_DEFAULT)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for record in batch.records(&payload) {
            let record = record.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(record.offset >= batch.base_offset() && record.offset <= batch.last_offset(), "{name}");
            count += 1;
        }
    }
    count
}

#[test]
fn captured_produce_requests_are_accepted() {
    let mut accepted = 0;
    for (name, version, frame) in captured("Produce", "request") {
        let mut decoder = Decoder::new(&frame);
        RequestHeader::decode(&mut decoder).unwrap();
        let request = ProduceRequest::decode(&mut decoder, version).unwrap();
        for partition in request.topic_data.iter().flat_map(|topic| topic.partition_data.iter()) {
            let records = partition.records.unwrap();
            let rules =
                ProduceRules { produce_version: version, timestamp_after_max_ms: i64::MAX, ..ProduceRules::default() };
            let (_, validated) = validate(records, &rules).unwrap_or_else(|rejection| panic!("{name}: {rejection}"));
            assert_eq!(validated.timestamp_patch, None, "{name}");
            assert_eq!(count_records(&name, records), validated.record_count as usize, "{name}");
            accepted += 1;
        }
    }
    assert!(accepted > 0, "there are no captured batches");
}

#[test]
fn captured_fetch_responses_are_read() {
    let mut records = 0;
    for (name, version, frame) in captured("Fetch", "response") {
        let mut decoder = Decoder::new(&frame);
        ResponseHeader::decode(&mut decoder, ApiKey::Fetch, version).unwrap();
        let response = FetchResponse::decode(&mut decoder, version).unwrap();
        for partition in response.responses.iter().flat_map(|topic| topic.partitions.iter()) {
            records += count_records(&name, partition.records.and_then(|records| records.as_slice()).unwrap_or(&[]));
        }
    }
    assert!(records > 0, "there are no captured records");
}
