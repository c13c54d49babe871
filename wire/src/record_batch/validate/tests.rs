use alloc::vec::Vec;

use proptest::prelude::*;

use super::super::tests::{parse, reseal, with_payload};
use super::super::*;
use super::*;
use crate::compression::compress;

const NOW: i64 = 1_700_000_000_000;
const HOUR: i64 = 3_600_000;

fn rules() -> ProduceRules {
    ProduceRules { produce_version: 9, now_ms: NOW, ..ProduceRules::default() }
}

fn batch_of(timestamps: &[i64]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for timestamp in timestamps {
        builder.append(&NewRecord { timestamp: *timestamp, key: Some(b"key"), value: Some(b"value"), headers: &[] });
    }
    builder
}

fn good() -> Vec<u8> {
    batch_of(&[NOW, NOW + 2, NOW + 1]).build()
}

/// The batch with `bytes` written over it, sealed.
fn with_field(batch: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut batch = batch.to_vec();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    reseal(&mut batch);
    batch
}

fn code(records: &[u8], rules: &ProduceRules) -> Option<ErrorCode> {
    validate(records, rules).err().map(|rejection| rejection.code)
}

const INVALID: Option<ErrorCode> = Some(ErrorCode::INVALID_RECORD);
const CORRUPT: Option<ErrorCode> = Some(ErrorCode::CORRUPT_MESSAGE);
const TIMESTAMP: Option<ErrorCode> = Some(ErrorCode::INVALID_TIMESTAMP);
const COMPRESSION: Option<ErrorCode> = Some(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
const TOO_LARGE: Option<ErrorCode> = Some(ErrorCode::MESSAGE_TOO_LARGE);

#[test]
fn a_good_batch_is_described() {
    let bytes = batch_of(&[NOW, NOW + 2, NOW + 1, NOW + 2]).producer(7, 1, i32::MAX - 1).transactional(true).build();
    let (batch, validated) = validate(&bytes, &rules()).unwrap();
    assert_eq!(batch.as_bytes(), bytes);
    assert_eq!(
        validated,
        Validated {
            size: bytes.len(),
            crc: batch.crc(),
            record_count: 4,
            last_offset_delta: 3,
            max_timestamp: NOW + 2,
            offset_delta_of_max_timestamp: 1,
            timestamp_patch: None,
            compression: Compression::None,
            producer_id: 7,
            producer_epoch: 1,
            base_sequence: i32::MAX - 1,
            last_sequence: 1,
            is_transactional: true,
        }
    );
}

#[test]
fn there_is_exactly_one_whole_batch() {
    let bytes = good();
    assert_eq!(code(&bytes, &rules()), None);
    for cut in 0..bytes.len() {
        assert_eq!(code(&bytes[..cut], &rules()), INVALID, "{cut} bytes");
    }
    assert_eq!(code(&[&bytes[..], &bytes[..]].concat(), &rules()), INVALID);
    assert_eq!(code(&[&bytes[..], b"x"].concat(), &rules()), INVALID);
}

#[test]
fn only_format_2_is_stored() {
    let mut bytes = good();
    for (magic, version, expected) in [
        (0, 2, Some(ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT)),
        (1, 0, Some(ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT)),
        (0, 3, INVALID),
        (1, 13, INVALID),
        (3, 9, CORRUPT),
        (-1, 2, CORRUPT),
    ] {
        bytes[MAGIC_AT] = i8::to_be_bytes(magic)[0];
        assert_eq!(code(&bytes, &ProduceRules { produce_version: version, ..rules() }), expected, "{magic} {version}");
    }
    let short = with_field(&good(), LENGTH_AT, &48i32.to_be_bytes());
    assert_eq!(code(&short, &rules()), CORRUPT);
}

#[test]
fn damage_on_the_way_is_told_from_a_wrong_batch() {
    let bytes = good();
    for at in CRC_AT..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert_eq!(code(&damaged, &rules()), CORRUPT, "byte {at}");
    }
}

#[test]
fn codecs_are_those_that_the_version_allows() {
    for compression in Compression::ALL {
        let bytes = batch_of(&[NOW; 5]).compression(compression, None).build();
        for produce_version in 3..=13 {
            let rules = ProduceRules { produce_version, ..rules() };
            let refused = compression == Compression::Zstd && produce_version < 7;
            assert_eq!(code(&bytes, &rules), if refused { COMPRESSION } else { None }, "{compression}");
        }
    }
    for id in 5..8 {
        assert_eq!(code(&with_field(&good(), ATTRIBUTES_AT, &[0, id]), &rules()), COMPRESSION);
    }
}

#[test]
fn attributes_are_a_clients() {
    let bytes = good();
    for (attributes, expected) in
        [(0x08u8, TIMESTAMP), (0x20, INVALID), (0x30, INVALID), (0x40, INVALID), (0x10, INVALID), (0x80, None)]
    {
        assert_eq!(code(&with_field(&bytes, ATTRIBUTES_AT, &[0, attributes]), &rules()), expected, "{attributes:#x}");
    }
    let rules = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    assert_eq!(code(&with_field(&bytes, ATTRIBUTES_AT, &[0, 0x08]), &rules), TIMESTAMP);
}

#[test]
fn offsets_and_counts_agree() {
    let bytes = good();
    let with_counts = |last_offset_delta: i32, count: i32| {
        let bytes = with_field(&bytes, LAST_OFFSET_DELTA_AT, &last_offset_delta.to_be_bytes());
        with_field(&bytes, RECORD_COUNT_AT, &count.to_be_bytes())
    };
    for depth in [Depth::Header, Depth::AllRecords] {
        let rules = ProduceRules { depth, ..rules() };
        for (last_offset_delta, count) in
            [(1, 3), (3, 3), (-1, 0), (0, 0), (-2, -1), (i32::MAX, i32::MIN), (2, 0), (2, 2), (i32::MIN, i32::MIN)]
        {
            assert_eq!(code(&with_counts(last_offset_delta, count), &rules), INVALID, "{last_offset_delta} {count}");
        }
    }
    assert_eq!(code(&with_counts(1, 2), &rules()), INVALID);
    assert_eq!(code(&with_counts(3, 4), &rules()), INVALID);
    assert_eq!(code(&with_counts(999_999, 1_000_000), &rules()), INVALID);
    assert_eq!(code(&with_counts(i32::MAX - 1, i32::MAX), &rules()), TOO_LARGE);
    assert_eq!(code(&bytes, &ProduceRules { records_max: 3, ..rules() }), None);
    assert_eq!(code(&bytes, &ProduceRules { records_max: 2, ..rules() }), TOO_LARGE);
    for base_offset in [1i64, -1, i64::MAX, i64::MIN] {
        assert_eq!(code(&with_field(&bytes, 0, &base_offset.to_be_bytes()), &rules()), INVALID);
    }
}

#[test]
fn producers_fields_agree() {
    for (producer_id, producer_epoch, base_sequence, transactional, expected) in [
        (7, 0, 0, false, None),
        (7, 0, 0, true, None),
        (7, -1, 0, false, INVALID),
        (7, 0, -1, false, INVALID),
        (0, i16::MAX, i32::MAX, false, None),
        (-2, 0, 0, false, INVALID),
        (-1, -1, -1, true, INVALID),
        // Without a producer id nobody looks at the others; some clients leave zeros.
        (-1, 0, 0, false, None),
    ] {
        let builder = batch_of(&[NOW]).producer(producer_id, producer_epoch, base_sequence);
        let bytes = builder.transactional(transactional).build();
        assert_eq!(code(&bytes, &rules()), expected, "{producer_id} {producer_epoch} {base_sequence} {transactional}");
    }
}

#[test]
fn timestamps_lie_within_the_bounds_and_the_bad_ones_are_named() {
    let rules = ProduceRules { timestamp_before_max_ms: 1000, timestamp_after_max_ms: HOUR, ..rules() };
    for compression in Compression::ALL {
        let validated = |timestamps: &[i64]| {
            let bytes = batch_of(timestamps).compression(compression, None).build();
            validate(&bytes, &rules).map(|(_, validated)| validated)
        };
        assert!(validated(&[NOW - 1000, NOW + HOUR, NO_TIMESTAMP]).is_ok());
        let without = validated(&[NO_TIMESTAMP, NO_TIMESTAMP]).unwrap();
        assert_eq!((without.max_timestamp, without.timestamp_patch), (NO_TIMESTAMP, None));
        let rejection = validated(&[NOW, NOW - 1001, NO_TIMESTAMP, NOW + HOUR + 1]).unwrap_err();
        assert_eq!(rejection.code, ErrorCode::INVALID_TIMESTAMP);
        assert_eq!(rejection.record_errors.iter().map(|error| error.index).collect::<Vec<_>>(), [1, 3]);
        for timestamp in [i64::MAX, i64::MIN, -2, 0] {
            assert_eq!(validated(&[NOW, timestamp]).unwrap_err().code, ErrorCode::INVALID_TIMESTAMP, "{timestamp}");
        }
    }
    assert_eq!(code(&batch_of(&[0, NOW + HOUR]).build(), &self::rules()), None);
    assert_eq!(code(&batch_of(&[NOW + HOUR + 1]).build(), &self::rules()), TIMESTAMP);
    let many = validate(&batch_of(&[0; 1000]).build(), &rules).unwrap_err();
    assert_eq!(many.record_errors.len(), RECORD_ERRORS_MAX);
}

#[test]
fn a_record_of_a_compressed_batch_has_a_bound_of_its_own() {
    let rules = ProduceRules { decompressed_record_bytes_max: 1000, ..rules() };
    let batch_with = |value: usize, compression| {
        let mut builder = BatchBuilder::new();
        for value in [600, value, 600] {
            let value = alloc::vec![b'x'; value];
            builder.append(&NewRecord { timestamp: NOW, key: None, value: Some(&value), headers: &[] });
        }
        builder.compression(compression, None).build()
    };
    for compression in Compression::ALL {
        // Seven bytes of a record are not its value.
        assert_eq!(code(&batch_with(993, compression), &rules), None, "{compression:?}");
        let result = validate(&batch_with(994, compression), &rules).map(|_| ());
        if compression == Compression::None {
            assert!(result.is_ok(), "max.message.bytes bounds these");
            continue;
        }
        let rejection = result.unwrap_err();
        assert_eq!(rejection.code, ErrorCode::INVALID_RECORD);
        assert_eq!(rejection.record_errors.iter().map(|error| error.index).collect::<Vec<_>>(), [1]);
    }
}

#[test]
fn the_header_is_believed_where_records_are_not_looked_at() {
    let rules = ProduceRules { depth: Depth::PlainRecords, ..rules() };
    let compressed = |timestamps: &[i64]| batch_of(timestamps).compression(Compression::Zstd, None).build();
    let bytes = compressed(&[NOW + 5, NOW]);
    let (_, validated) = validate(&bytes, &rules).unwrap();
    assert_eq!((validated.max_timestamp, validated.offset_delta_of_max_timestamp), (NOW + 5, 1));
    let late = compressed(&[NOW + HOUR + 1, NOW]);
    let rejection = validate(&late, &rules).unwrap_err();
    assert_eq!((rejection.code, rejection.record_errors.len()), (ErrorCode::INVALID_TIMESTAMP, 1));
    let lying = with_field(&bytes, MAX_TIMESTAMP_AT, &i64::MAX.to_be_bytes());
    assert_eq!(code(&lying, &rules), TIMESTAMP);
    let nonsense = with_payload(&bytes, b"nonsense");
    assert_eq!(code(&nonsense, &rules), None);
    assert_eq!(code(&nonsense, &ProduceRules { depth: Depth::AllRecords, ..rules }), INVALID);
    let plain_nonsense = with_payload(&good(), b"nonsense");
    assert_eq!(code(&plain_nonsense, &rules), INVALID);
    assert_eq!(code(&plain_nonsense, &ProduceRules { depth: Depth::Header, ..rules }), None);
}

#[test]
fn a_wrong_max_timestamp_is_put_right() {
    for wrong in [NO_TIMESTAMP, NOW + 3, NOW, i64::MAX] {
        let bytes = with_field(&good(), MAX_TIMESTAMP_AT, &wrong.to_be_bytes());
        let (batch, validated) = validate(&bytes, &rules()).unwrap();
        assert_eq!(validated.timestamp_patch, Some((TimestampType::CreateTime, NOW + 2)));
        let patch = HeaderPatch { base_offset: 5, leader_epoch: 1, timestamp: validated.timestamp_patch };
        let stored = [&patched_header(&batch, &patch)[..], batch.payload()].concat();
        let stored = parse(&stored);
        assert!(stored.has_valid_crc());
        assert_eq!(stored.crc(), validated.crc);
        assert_eq!((stored.max_timestamp(), stored.base_offset()), (NOW + 2, 5));
    }
}

#[test]
fn a_topic_with_append_times_takes_any_timestamp() {
    let rules = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
    let bytes = batch_of(&[0, i64::MAX]).build();
    let (_, validated) = validate(&bytes, &rules).unwrap();
    assert_eq!((validated.max_timestamp, validated.offset_delta_of_max_timestamp), (NOW, 0));
    assert_eq!(validated.timestamp_patch, Some((TimestampType::LogAppendTime, NOW)));
}

#[test]
fn compacted_topics_need_keys_at_any_depth() {
    for compression in Compression::ALL {
        for depth in [Depth::Header, Depth::PlainRecords, Depth::AllRecords] {
            let rules = ProduceRules { keys_required: true, depth, ..rules() };
            let mut builder = batch_of(&[NOW, NOW]).compression(compression, None);
            builder.append(&NewRecord { timestamp: NOW, key: Some(b""), value: None, headers: &[] });
            assert_eq!(code(&builder.clone().build(), &rules), None);
            builder.append(&NewRecord { timestamp: NOW, key: None, value: Some(b"value"), headers: &[] });
            let bytes = builder.build();
            let rejection = validate(&bytes, &rules).unwrap_err();
            assert_eq!(rejection.code, ErrorCode::INVALID_RECORD);
            assert_eq!(rejection.record_errors.iter().map(|error| error.index).collect::<Vec<_>>(), [3]);
            assert_eq!(code(&bytes, &self::rules()), None);
        }
    }
}

/// The payload of a plain batch, compressed with every codec; the outcomes must be the same.
fn code_in_every_codec(header: &[u8], payload: &[u8]) -> Option<ErrorCode> {
    let plain = code(&with_payload(header, payload), &rules());
    for compression in &Compression::ALL[1..] {
        let mut compressed = Vec::new();
        compress(*compression, None, payload, &mut compressed);
        let header = with_field(header, ATTRIBUTES_AT, &[0, compression.id()]);
        assert_eq!(code(&with_payload(&header, &compressed), &rules()), plain, "{compression}");
    }
    plain
}

#[test]
fn records_that_do_not_add_up_are_refused_in_every_codec() {
    let batch = good();
    let payload = parse(&batch).payload().to_vec();
    assert_eq!(code_in_every_codec(&batch, &payload), None);
    // Length, attributes, timestamp delta, offset delta, key length, key, value length, value, header count.
    for (at, value) in [
        (0, 0x01),
        (0, payload[0] + 2),
        (0, payload[0] - 2),
        (3, 0x02),
        (3, 0x01),
        (4, 0x03),
        (4, 0x7f),
        (8, 0x05),
        (8, 0x7e),
        (14, 0x01),
        (14, 0x02),
        (14, 0x7e),
    ] {
        let mut payload = payload.clone();
        payload[at] = value;
        assert_eq!(code_in_every_codec(&batch, &payload), INVALID, "{value:#x} at {at}");
    }
    assert_eq!(code_in_every_codec(&batch, &payload[..payload.len() - 1]), INVALID);
    assert_eq!(code_in_every_codec(&batch, &[&payload[..], b"\0"].concat()), INVALID);
    assert_eq!(code_in_every_codec(&batch, b""), INVALID);
    let mut wrong_offset = payload.clone();
    wrong_offset[3] = 0x04;
    let rejection = validate(&with_payload(&batch, &wrong_offset), &rules()).unwrap_err().record_errors;
    assert_eq!((rejection.len(), rejection[0].index), (1, 0));
}

#[test]
fn a_timestamp_beyond_64_bits_wraps_and_is_out_of_bounds() {
    let bytes = with_field(&batch_of(&[NOW, NOW + 1]).build(), BASE_TIMESTAMP_AT, &i64::MAX.to_be_bytes());
    assert_eq!(parse(&bytes).records(parse(&bytes).payload()).last().unwrap().unwrap().timestamp, i64::MIN);
    assert_eq!(code(&bytes, &rules()), TIMESTAMP);
}

#[test]
fn keys_values_and_headers_longer_than_the_window_are_skipped() {
    let long = alloc::vec![b'x'; 3 * crate::limits::RECORD_WINDOW_BYTES + 1];
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new().compression(compression, None);
        for _ in 0..3 {
            let headers = &[(&b"h"[..], None), (&long[..], Some(&long[..]))];
            builder.append(&NewRecord { timestamp: NOW, key: Some(&long), value: Some(&long), headers });
            builder.append(&NewRecord { timestamp: NOW, key: None, value: Some(&long), headers: &[] });
        }
        assert_eq!(code(&builder.build(), &rules()), None, "{compression}");
    }
}

#[test]
fn what_unfolds_too_far_is_refused() {
    let zeros = alloc::vec![0; 8 << 20];
    for compression in &Compression::ALL[1..] {
        let mut builder = BatchBuilder::new().compression(*compression, None);
        builder.append(&NewRecord { timestamp: NOW, key: None, value: Some(&zeros), headers: &[] });
        let bytes = builder.build();
        assert_eq!(code(&bytes, &rules()), None, "{compression}");
        let bounded = ProduceRules { decompressed_bytes_max: 1 << 20, ..rules() };
        assert_eq!(code(&bytes, &bounded), TOO_LARGE, "{compression}");
        let mut bomb = Vec::new();
        compress(*compression, None, &zeros, &mut bomb);
        assert_eq!(code(&with_payload(&bytes, &bomb), &rules()), INVALID, "{compression}");
    }
}

/// What a reader that takes every record apart makes of the batch: the same judgement, by other code.
fn model_accepts(bytes: &[u8]) -> bool {
    let batch = parse(bytes);
    let mut records = batch.records(batch.payload()).enumerate();
    records.all(|(index, record)| record.is_ok_and(|record| record.offset == index as i64))
}

proptest! {
    #[test]
    fn the_walk_agrees_with_a_full_reading_on_damaged_records(
        records in prop::collection::vec((prop::option::of("[a-z]{0,20}"), prop::option::of("[a-z]{0,80}"), 0usize..3), 1..12),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![0u8..16, any::<u8>()]), 0..3),
        codec in 1usize..5,
    ) {
        let rules = ProduceRules { timestamp_type: TimestampType::LogAppendTime, ..rules() };
        let mut builder = BatchBuilder::new();
        for (key, value, headers) in &records {
            let (key, value) = (key.as_ref().map(|key| key.as_bytes()), value.as_ref().map(|value| value.as_bytes()));
            let headers = &[(&b"a"[..], None), (&b"bc"[..], Some(&b"d"[..]))][..*headers];
            builder.append(&NewRecord { timestamp: NOW, key, value, headers });
        }
        let batch = builder.build();
        let mut payload = parse(&batch).payload().to_vec();
        for (at, value) in damage {
            let at = at.index(payload.len());
            payload[at] = value;
        }
        let bytes = with_payload(&batch, &payload);
        let accepted = validate(&bytes, &rules).is_ok();
        prop_assert_eq!(accepted, model_accepts(&bytes));

        let mut compressed = Vec::new();
        compress(Compression::ALL[codec], None, &payload, &mut compressed);
        let header = with_field(&batch, ATTRIBUTES_AT, &[0, Compression::ALL[codec].id()]);
        prop_assert_eq!(validate(&with_payload(&header, &compressed), &rules).is_ok(), accepted);
    }

    #[test]
    fn sealed_noise_never_panics(header in prop::array::uniform32(any::<u8>()), payload: Vec<u8>, attributes in 0u8..8) {
        let mut bytes = good();
        bytes.truncate(HEADER_LEN);
        bytes[LAST_OFFSET_DELTA_AT..LAST_OFFSET_DELTA_AT + 32].copy_from_slice(&header);
        let bytes = with_field(&with_payload(&bytes, &payload), ATTRIBUTES_AT, &[0, attributes]);
        let _ = validate(&bytes, &rules());
        let counted = with_field(&bytes, LAST_OFFSET_DELTA_AT, &4i32.to_be_bytes());
        let counted = with_field(&counted, RECORD_COUNT_AT, &5i32.to_be_bytes());
        let unidentified = with_field(&counted, PRODUCER_ID_AT, &(-1i64).to_be_bytes());
        let _ = validate(&unidentified, &rules());
    }
}
