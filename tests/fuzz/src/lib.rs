//! What the fuzz targets share: each function takes any bytes and must come back, soon, with little memory, and with
//! what it found out consistent. Anything else is a panic, which the fuzzer reports.

#[path = "../../../wire/tests/generate/mod.rs"]
pub mod generate;

use corelog_wire::compression::{Compression, CompressionError, compress, decompress};
use corelog_wire::consumer_offsets::{GroupMetadataValue, Key, OffsetCommitValue};
use corelog_wire::consumer_protocol::assignment::ConsumerProtocolAssignment;
use corelog_wire::consumer_protocol::subscription::{ConsumerProtocolSubscription, subscribed_topics};
use corelog_wire::decoder::Decoder;
use corelog_wire::frame::frame_length;
use corelog_wire::header::RequestHeader;
use corelog_wire::record_batch::{
    Depth, ProduceRules, RecordBatch, TimestampType, batches, find_max_timestamp, find_offset_by_timestamp, validate,
};

use crate::generate::{Entry, entries};

/// How many bytes a batch or a compressed block may unfold to here.
const UNFOLDED_BYTES_MAX: usize = 256 * 1024;

/// The input is a version and the bytes of the message `name` in it.
pub fn message(name: &str, input: &[u8]) {
    thread_local! {
        static ENTRIES: Vec<Entry> = entries();
    }
    let Some((version, bytes)) = input.split_first() else { return };
    let version = i16::from(*version);
    ENTRIES.with(|entries| {
        let entry = entries.iter().find(|entry| entry.name() == name).expect("the target names a message");
        read_and_write(entry, version, bytes);
    });
}

/// Whatever the bytes are read as can be written, and then reads as the same.
fn read_and_write(entry: &Entry, version: i16, bytes: &[u8]) {
    if let Ok((_, written)) = (entry.convert)(bytes, version, version) {
        assert!(entry.api.versions.contains(version));
        let written = written.expect("what was read can be written in its version");
        assert_eq!(entry.round_trip(&written, version).as_ref(), Ok(&written));
    }
}

/// The input is a frame with its length.
pub fn request_frame(input: &[u8]) {
    let Some((prefix, rest)) = input.split_first_chunk() else { return };
    let Ok(length) = frame_length(*prefix, 1 << 20) else { return };
    let frame = &rest[..length.min(rest.len())];
    let mut decoder = Decoder::new(frame);
    let Ok(header) = RequestHeader::decode(&mut decoder) else { return };
    let Some(api) = header.api() else { return };
    let entries = entries();
    let entry = entries.iter().find(|entry| entry.api.served == Some(api) && entry.is_request);
    let entry = entry.expect("every API has a request");
    read_and_write(entry, header.request_api_version, decoder.rest());
}

/// The input is a message with its version, or a record's key with its type.
pub fn with_version_in_front(input: &[u8]) {
    let written = match Key::from_bytes(input) {
        Ok(Key::OffsetCommit(key)) => Some((Key::OffsetCommit(key), key.to_bytes())),
        Ok(Key::GroupMetadata(key)) => Some((Key::GroupMetadata(key), key.to_bytes())),
        Ok(Key::Other(_)) | Err(_) => None,
    };
    if let Some((key, written)) = written {
        let written = written.expect("what was read can be written");
        assert_eq!(Key::from_bytes(&written), Ok(key));
    }
    let Some(version) = input.first_chunk().map(|version| i16::from_be_bytes(*version)) else { return };
    if let Ok(value) = OffsetCommitValue::from_bytes(input) {
        let written = value.to_bytes(version).expect("what was read can be written in its version");
        assert_eq!(OffsetCommitValue::from_bytes(&written), Ok(value));
    }
    if let Ok(value) = GroupMetadataValue::from_bytes(input) {
        let written = value.to_bytes(version).expect("what was read can be written in its version");
        assert_eq!(GroupMetadataValue::from_bytes(&written), Ok(value));
    }
    // Of later versions than the newest known, the known part is read.
    let newest = version.min(3);
    if let Ok(subscription) = ConsumerProtocolSubscription::from_bytes(input) {
        let written = subscription.to_bytes(newest).expect("what was read can be written in its version");
        assert_eq!(written[2..], input[2..written.len()]);
        assert_eq!(subscribed_topics(input), Ok(subscription.topics));
    }
    if let Ok(assignment) = ConsumerProtocolAssignment::from_bytes(input) {
        let written = assignment.to_bytes(newest).expect("what was read can be written in its version");
        assert_eq!(written[2..], input[2..written.len()]);
    }
}

/// The input is record batches. Each is read as it is, and once more with its checksum put right.
pub fn record_batches(input: &[u8]) {
    let mut size = 0;
    for batch in batches(input) {
        let Ok(batch) = batch else { break };
        size += batch.size();
        record_batch(&batch);
        let mut bytes = batch.as_bytes().to_vec();
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let (batch, rest) = RecordBatch::split_from(&bytes).expect("only the checksum changed");
        assert!(rest.is_empty() && batch.has_valid_crc());
        record_batch(&batch);
    }
    assert!(size <= input.len());
}

fn record_batch(batch: &RecordBatch<'_>) {
    for depth in [Depth::Header, Depth::PlainRecords, Depth::AllRecords] {
        for keys_required in [false, true] {
            let rules = ProduceRules {
                produce_version: 13,
                depth,
                keys_required,
                timestamp_type: if keys_required { TimestampType::LogAppendTime } else { TimestampType::CreateTime },
                now_ms: 1_700_000_000_000,
                timestamp_before_max_ms: i64::MAX,
                timestamp_after_max_ms: 3_600_000,
                decompressed_bytes_max: UNFOLDED_BYTES_MAX,
                decompressed_record_bytes_max: if keys_required { 1_000 } else { usize::MAX },
                records_max: 100_000,
            };
            if let Ok((validated_batch, validated)) = validate(batch.as_bytes(), &rules) {
                assert!(batch.has_valid_crc());
                assert_eq!(validated.size, batch.size());
                assert_eq!(validated_batch.as_bytes(), batch.as_bytes());
                assert!(validated.record_count > 0);
            }
        }
    }
    let _ = find_offset_by_timestamp(batch, batch.base_timestamp(), batch.base_offset(), UNFOLDED_BYTES_MAX);
    let _ = find_max_timestamp(batch, batch.base_offset(), UNFOLDED_BYTES_MAX);
    let Ok(payload) = batch.decompressed_payload(UNFOLDED_BYTES_MAX) else { return };
    for record in batch.records(&payload) {
        let Ok(record) = record else { break };
        let headers = record.headers.len();
        assert_eq!(record.headers.count(), headers);
    }
}

/// The input is compressed bytes; then it is bytes to compress.
pub fn codec(compression: Compression, input: &[u8]) {
    match decompress(compression, input, UNFOLDED_BYTES_MAX) {
        Ok(bytes) => assert!(bytes.len() <= UNFOLDED_BYTES_MAX),
        Err(CompressionError::TooLarge { bytes_max }) => assert_eq!(bytes_max, UNFOLDED_BYTES_MAX),
        Err(CompressionError::Corrupt(codec)) => assert_eq!(codec, compression),
    }
    let mut compressed = Vec::new();
    compress(compression, None, input, &mut compressed);
    assert_eq!(decompress(compression, &compressed, input.len()).as_deref(), Ok(input));
    if let Some(less) = input.len().checked_sub(1) {
        assert!(decompress(compression, &compressed, less).is_err());
    }
}
