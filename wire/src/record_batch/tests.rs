use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::compression::Compression;

const MIB: usize = 1 << 20;

/// Two records in a transaction, written by hand from the format's description; the CRC comes from another program.
const KNOWN: &[u8] = b"\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x45\x00\x00\x00\x07\x02\x48\xd9\xae\x1e\
    \x00\x10\x00\x00\x00\x01\x00\x00\x01\x8b\xcf\xe5\x68\x00\x00\x00\x01\x8b\xcf\xe5\x68\x03\
    \x00\x00\x00\x00\x00\x00\x12\x67\x00\x03\x00\x00\x00\x09\x00\x00\x00\x02\
    \x18\x00\x00\x00\x02k\x04v1\x02\x02h\x01\x0c\x00\x06\x02\x01\x01\x00";

pub(super) fn parse(bytes: &[u8]) -> RecordBatch<'_> {
    let (batch, rest) = RecordBatch::split_from(bytes).unwrap();
    assert!(rest.is_empty());
    batch
}

/// Writes the CRC that fits.
pub(super) fn reseal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// The batch with another payload, sealed.
pub(super) fn with_payload(batch: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut batch = [&batch[..HEADER_LEN], payload].concat();
    let length = (batch.len() - LENGTH_OVERHEAD) as i32;
    batch[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&length.to_be_bytes());
    reseal(&mut batch);
    batch
}

fn plain(timestamps: &[i64]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for &timestamp in timestamps {
        builder.append(&NewRecord { timestamp, key: Some(b"key"), value: Some(b"value"), headers: &[] });
    }
    builder
}

#[test]
fn the_known_batch_reads_as_it_was_written() {
    let batch = parse(KNOWN);
    assert_eq!((batch.base_offset(), batch.last_offset(), batch.next_offset()), (42, 43, 44));
    assert_eq!((batch.batch_length(), batch.size(), batch.magic()), (69, 81, 2));
    assert_eq!((batch.partition_leader_epoch(), batch.last_offset_delta(), batch.record_count()), (7, 1, 2));
    assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_700_000_000_000, 1_700_000_000_003));
    assert_eq!((batch.producer_id(), batch.producer_epoch()), (4711, 3));
    assert_eq!((batch.base_sequence(), batch.last_sequence()), (9, 10));
    assert_eq!(batch.crc(), 0x48d9_ae1e);
    assert!(batch.has_valid_crc());
    let attributes = batch.attributes();
    assert_eq!(attributes.compression(), Some(Compression::None));
    assert_eq!(attributes.timestamp_type(), TimestampType::CreateTime);
    assert!(attributes.is_transactional() && !attributes.is_control() && !attributes.has_delete_horizon());

    let records: Vec<_> = batch.records(batch.payload()).map(Result::unwrap).collect();
    assert_eq!(records.len(), 2);
    assert_eq!((records[0].offset, records[0].timestamp, records[0].sequence), (42, 1_700_000_000_000, 9));
    assert_eq!((records[0].key, records[0].value), (Some(&b"k"[..]), Some(&b"v1"[..])));
    assert_eq!(records[0].headers.collect::<Vec<_>>(), [(&b"h"[..], None)]);
    assert_eq!((records[1].offset, records[1].timestamp, records[1].sequence), (43, 1_700_000_000_003, 10));
    assert_eq!((records[1].key, records[1].value, records[1].headers.len()), (None, None, 0));
}

#[test]
fn the_builder_writes_the_known_batch() {
    let mut builder = BatchBuilder::new().base_offset(42).leader_epoch(7).producer(4711, 3, 9).transactional(true);
    let headers = &[(&b"h"[..], None)];
    builder.append(&NewRecord { timestamp: 1_700_000_000_000, key: Some(b"k"), value: Some(b"v1"), headers });
    builder.append(&NewRecord { timestamp: 1_700_000_000_003, key: None, value: None, headers: &[] });
    assert_eq!(builder.uncompressed_size(), KNOWN.len());
    assert_eq!(builder.build(), KNOWN);
}

#[test]
fn a_span_needs_the_header_and_nothing_else() {
    let span = BatchSpan { base_offset: 42, last_offset: 43, leader_epoch: 7, size: KNOWN.len() };
    assert_eq!(BatchSpan::read(KNOWN), Ok(span));
    assert_eq!(BatchSpan::read(&KNOWN[..HEADER_LEN]), Ok(span));
    for len in 0..HEADER_LEN {
        assert_eq!(BatchSpan::read(&KNOWN[..len]), Err(MalformedBatch::Incomplete(HEADER_LEN)));
    }
    let mut header = KNOWN[..HEADER_LEN].to_vec();
    header[MAGIC_AT] = 1;
    assert_eq!(BatchSpan::read(&header), Err(MalformedBatch::Magic(1)));
    header[MAGIC_AT] = 2;
    header[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&48_i32.to_be_bytes());
    assert_eq!(BatchSpan::read(&header), Err(MalformedBatch::Length(48)));
}

#[test]
fn malformed_starts_are_told_apart() {
    for len in 0..KNOWN.len() {
        let needed = if len < LENGTH_OVERHEAD { MAGIC_AT + 1 } else { KNOWN.len() };
        assert_eq!(RecordBatch::split_from(&KNOWN[..len]).unwrap_err(), MalformedBatch::Incomplete(needed), "{len}");
    }
    let mut bytes = KNOWN.to_vec();
    bytes[MAGIC_AT] = 1;
    assert_eq!(RecordBatch::split_from(&bytes).unwrap_err(), MalformedBatch::Magic(1));
    bytes[MAGIC_AT] = 2;
    for length in [i32::MIN, -1, 0, 48] {
        bytes[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&length.to_be_bytes());
        assert_eq!(RecordBatch::split_from(&bytes).unwrap_err(), MalformedBatch::Length(length));
        assert_eq!(declared_size(&bytes), None);
    }
    bytes[LENGTH_AT..LEADER_EPOCH_AT].copy_from_slice(&i32::MAX.to_be_bytes());
    let size = i32::MAX as usize + LENGTH_OVERHEAD;
    assert_eq!(RecordBatch::split_from(&bytes).unwrap_err(), MalformedBatch::Incomplete(size));
    assert_eq!(declared_size(&bytes), Some(size));
}

#[test]
fn batches_stop_at_a_partial_one_and_report_a_malformed_one() {
    let first = plain(&[1, 2]).build();
    let second = plain(&[3]).base_offset(2).build();
    let both = [&first[..], &second[..]].concat();
    let mut iterator = batches(&both);
    assert_eq!(iterator.next().unwrap().unwrap().next_offset(), 2);
    assert_eq!((iterator.position(), iterator.rest()), (first.len(), &second[..]));
    assert_eq!(iterator.next().unwrap().unwrap().next_offset(), 3);
    assert!(iterator.next().is_none());
    assert_eq!(iterator.position(), both.len());

    for cut in first.len()..both.len() {
        let mut iterator = batches(&both[..cut]);
        assert_eq!(iterator.by_ref().map(Result::unwrap).count(), 1);
        assert_eq!(iterator.position(), first.len());
    }

    let mut broken = both.clone();
    broken[first.len() + MAGIC_AT] = 3;
    let mut iterator = batches(&broken);
    assert!(iterator.next().unwrap().is_ok());
    assert_eq!(iterator.next().unwrap().unwrap_err(), MalformedBatch::Magic(3));
    assert!(iterator.next().is_none());
    assert_eq!(iterator.position(), first.len());
}

#[test]
fn sequences_wrap_at_the_end_of_their_range() {
    assert_eq!(advance_sequence(5, 3), 8);
    assert_eq!(advance_sequence(i32::MAX, 0), i32::MAX);
    assert_eq!(advance_sequence(i32::MAX, 1), 0);
    assert_eq!(advance_sequence(i32::MAX - 1, 5), 3);
    let batch = plain(&[0; 3]).producer(1, 0, i32::MAX - 1).build();
    let batch = parse(&batch);
    assert_eq!(batch.last_sequence(), 0);
    let sequences: Vec<_> = batch.records(batch.payload()).map(|record| record.unwrap().sequence).collect();
    assert_eq!(sequences, [i32::MAX - 1, i32::MAX, 0]);
    let batch = plain(&[0; 3]).build();
    assert_eq!(parse(&batch).last_sequence(), NO_SEQUENCE);
}

#[test]
fn patches_change_what_they_say_and_keep_the_crc_valid() {
    let original = plain(&[5, 9, 7]).build();
    let batch = parse(&original);
    for timestamp in [None, Some((TimestampType::LogAppendTime, 123_456)), Some((TimestampType::CreateTime, 8))] {
        let patch = HeaderPatch { base_offset: 1 << 40, leader_epoch: 77, timestamp };
        let mut in_place = original.clone();
        patch_in_place(&mut in_place, &patch);
        let copied = [&patched_header(&batch, &patch)[..], batch.payload()].concat();
        assert_eq!(in_place, copied);
        let mut step_by_step = original.clone();
        set_base_offset(&mut step_by_step, patch.base_offset);
        set_leader_epoch(&mut step_by_step, patch.leader_epoch);
        if let Some((timestamp_type, max_timestamp)) = timestamp {
            set_max_timestamp(&mut step_by_step, timestamp_type, max_timestamp);
        }
        assert_eq!(step_by_step, copied);
        let patched = parse(&in_place);
        assert!(patched.has_valid_crc());
        assert_eq!((patched.base_offset(), patched.partition_leader_epoch()), (1 << 40, 77));
        let (timestamp_type, max_timestamp) = timestamp.unwrap_or((TimestampType::CreateTime, 9));
        assert_eq!(patched.attributes().timestamp_type(), timestamp_type);
        assert_eq!(patched.max_timestamp(), max_timestamp);
        assert_eq!(patched.payload(), batch.payload());
        let timestamps: Vec<_> = patched.records(patched.payload()).map(|record| record.unwrap().timestamp).collect();
        match timestamp_type {
            TimestampType::CreateTime => assert_eq!(timestamps, [5, 9, 7]),
            TimestampType::LogAppendTime => assert_eq!(timestamps, [max_timestamp; 3]),
        }
    }
    let prefix = patched_prefix(&batch, -3, i32::MAX);
    let mut patched = original.clone();
    set_base_offset(&mut patched, -3);
    set_leader_epoch(&mut patched, i32::MAX);
    assert_eq!([&prefix[..], &original[PREFIX_LEN..]].concat(), patched);
    let patched = parse(&patched);
    assert_eq!((patched.base_offset(), patched.partition_leader_epoch()), (-3, i32::MAX));
    assert!(patched.has_valid_crc());
}

#[test]
fn the_records_iterator_refuses_what_does_not_add_up() {
    let good = plain(&[1, 2]).build();
    let payload = parse(&good).payload().to_vec();
    let errors = |batch: &[u8]| {
        let batch = parse(batch);
        let mut records = batch.records(batch.payload());
        let error = records.by_ref().find_map(Result::err);
        assert!(records.next().is_none(), "an iterator ends after an error");
        error
    };
    assert_eq!(errors(&good), None);
    let with_count = |count: i32| {
        let mut batch = good.clone();
        batch[RECORD_COUNT_AT..HEADER_LEN].copy_from_slice(&count.to_be_bytes());
        batch
    };
    let error = |index, fault| Some(RecordsError { index, fault });
    assert_eq!(errors(&with_count(-5)), error(None, RecordFault::NegativeCount(-5)));
    assert_eq!(errors(&with_count(1)), error(None, RecordFault::TrailingBytes));
    assert_eq!(errors(&with_count(3)), error(Some(2), RecordFault::Truncated));
    assert_eq!(errors(&with_count(i32::MAX)), error(Some(2), RecordFault::Truncated));
    let cut = with_payload(&good, &payload[..payload.len() - 1]);
    assert_eq!(errors(&cut), error(Some(1), RecordFault::Truncated));
    for (at, value, fault) in [
        (0, 0x01, RecordFault::NegativeLength(-1)),
        (0, payload[0] + 2, RecordFault::BodyLength(i32::from(payload[0]) / 2 + 1)),
        (0, payload[0] - 2, RecordFault::BodyLength(i32::from(payload[0]) / 2 - 1)),
        (4, 0x03, RecordFault::NegativeLength(-2)),
        (8, 0x05, RecordFault::NegativeLength(-3)),
        (14, 0x01, RecordFault::HeaderCount(-1)),
        (14, 0x7e, RecordFault::HeaderCount(63)),
    ] {
        let mut payload = payload.clone();
        payload[at] = value;
        assert_eq!(errors(&with_payload(&good, &payload)), error(Some(0), fault), "{value} at {at}");
    }
}

#[test]
fn an_empty_batch_after_compaction_is_legal() {
    let empty = BatchBuilder::new().base_offset(10).last_offset_delta(4).build();
    let batch = parse(&empty);
    assert_eq!((batch.size(), batch.next_offset(), batch.record_count()), (HEADER_LEN, 15, 0));
    assert_eq!(batch.records(batch.payload()).count(), 0);
    assert_eq!(find_offset_by_timestamp(&batch, -1, 0, MIB), Ok(None));
    assert_eq!(find_max_timestamp(&batch, 0, MIB), Ok(None));
}

#[test]
fn lookups_by_timestamp_look_inside_every_codec() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new().base_offset(100).compression(compression, None);
        for (offset_delta, timestamp) in [(0, 10), (3, 30), (4, 20), (9, 30), (12, NO_TIMESTAMP)] {
            builder.append_at(offset_delta, &NewRecord { timestamp, ..NewRecord::default() });
        }
        let bytes = builder.build();
        let batch = parse(&bytes);
        for (timestamp, found) in [
            (i64::MIN, Some((100, 10))),
            (10, Some((100, 10))),
            (11, Some((103, 30))),
            (30, Some((103, 30))),
            (31, None),
            (i64::MAX, None),
        ] {
            assert_eq!(find_offset_by_timestamp(&batch, timestamp, 0, MIB), Ok(found), "{compression}");
        }
        assert_eq!(find_max_timestamp(&batch, 0, MIB), Ok(Some((103, 30))));
        if compression != Compression::None {
            assert!(find_max_timestamp(&batch, 0, 20).is_err(), "the bound is kept");
        }
        for (from, at_10, at_30, max) in [
            (i64::MIN, Some((100, 10)), Some((103, 30)), Some((103, 30))),
            (100, Some((100, 10)), Some((103, 30)), Some((103, 30))),
            (101, Some((103, 30)), Some((103, 30)), Some((103, 30))),
            (104, Some((104, 20)), Some((109, 30)), Some((109, 30))),
            (110, None, None, None),
            (113, None, None, None),
        ] {
            assert_eq!(find_offset_by_timestamp(&batch, 10, from, MIB), Ok(at_10), "{compression} from {from}");
            assert_eq!(find_offset_by_timestamp(&batch, 30, from, MIB), Ok(at_30), "{compression} from {from}");
            assert_eq!(find_max_timestamp(&batch, from, MIB), Ok(max), "{compression} from {from}");
        }
    }
    let stamped = plain(&[1, 2, 3]).base_offset(7).log_append_time(50).build();
    let batch = parse(&stamped);
    assert_eq!(find_offset_by_timestamp(&batch, 50, 0, MIB), Ok(Some((7, 50))));
    assert_eq!(find_offset_by_timestamp(&batch, 51, 0, MIB), Ok(None));
    assert_eq!(find_max_timestamp(&batch, 0, MIB), Ok(Some((7, 50))));
    let without = plain(&[NO_TIMESTAMP; 3]).build();
    assert_eq!(find_max_timestamp(&parse(&without), 0, MIB), Ok(None));
}

#[test]
fn transaction_markers_say_who_ended_what() {
    for (control_type, id) in [(ControlType::Abort, 0), (ControlType::Commit, 1)] {
        let bytes = end_transaction_marker(control_type, 4711, 5, 12, 1000);
        let batch = parse(&bytes);
        assert!(batch.has_valid_crc());
        assert!(batch.attributes().is_control() && batch.attributes().is_transactional());
        assert_eq!((batch.producer_id(), batch.producer_epoch(), batch.base_sequence()), (4711, 5, NO_SEQUENCE));
        let record = batch.records(batch.payload()).next().unwrap().unwrap();
        assert_eq!(record.key, Some(&[0, 0, 0, id][..]));
        assert_eq!(record.value, Some(&[0, 0, 0, 0, 0, 12][..]));
        let parsed = ControlRecord { control_type, coordinator_epoch: Some(12) };
        assert_eq!(ControlRecord::parse(&record), Some(parsed));

        let longer = Record { key: Some(&[0, 1, 0, id, 9]), value: Some(&[0, 1, 0, 0, 0, 12, 9]), ..record };
        assert_eq!(ControlRecord::parse(&longer), Some(parsed));
        for (key, value) in [
            (None, record.value),
            (Some(&[0, 0, 0][..]), record.value),
            (Some(&[0xff, 0xff, 0, id]), record.value),
            (record.key, None),
            (record.key, Some(&[0, 0, 0, 0, 0][..])),
            (record.key, Some(&[0x80, 0, 0, 0, 0, 0])),
        ] {
            assert_eq!(ControlRecord::parse(&Record { key, value, ..record }), None);
        }
        let other = Record { key: Some(&[0, 0, 0, 3]), value: None, ..record };
        let parsed = ControlRecord { control_type: ControlType::Other(3), coordinator_epoch: None };
        assert_eq!(ControlRecord::parse(&other), Some(parsed));
    }
}

#[test]
#[should_panic(expected = "offsets increase")]
fn the_builder_refuses_offsets_that_go_back() {
    let mut builder = plain(&[1]);
    builder.append_at(0, &NewRecord::default());
}

#[test]
fn a_batch_of_an_unknown_codec_is_an_error_to_read() {
    let mut bytes = plain(&[1]).build();
    bytes[ATTRIBUTES_AT + 1] |= 0x05;
    let batch = parse(&bytes);
    assert_eq!(batch.decompressed_payload(MIB), Err(RecordsError::UNKNOWN_COMPRESSION));
    assert_eq!(find_max_timestamp(&batch, 0, MIB), Err(RecordsError::UNKNOWN_COMPRESSION));
}

/// A record that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
struct OwnedRecord {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn any_record() -> impl Strategy<Value = OwnedRecord> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    // The other implementations want text in header keys, and none of them twice.
    let headers = prop::collection::btree_map("[a-z]{0,8}", bytes(), 0..4)
        .prop_map(|headers| headers.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect());
    (0i64..4_000_000_000_000, bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| OwnedRecord {
        timestamp,
        key,
        value,
        headers,
    })
}

fn build(mut builder: BatchBuilder, records: &[OwnedRecord]) -> Vec<u8> {
    for record in records {
        let headers: Vec<_> = record.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(&NewRecord { timestamp: record.timestamp, key, value, headers: &headers });
    }
    builder.build()
}

fn read(bytes: &[u8]) -> Vec<OwnedRecord> {
    let batch = parse(bytes);
    let payload = batch.decompressed_payload(64 * MIB).unwrap();
    let records = batch.records(&payload).enumerate().map(|(index, record)| {
        let record = record.unwrap();
        assert_eq!(record.offset, batch.base_offset() + index as i64);
        OwnedRecord {
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect(),
        }
    });
    records.collect()
}

/// Checks against another implementation of the format; the crates share their types' names.
macro_rules! differential {
    ($name:ident, $other:ident , $extra_field:ident: $extra_value:expr) => {
        mod $name {
            use $other::records::{self as other, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions};

            use super::*;

            fn other_codec(compression: Compression) -> other::Compression {
                match compression {
                    Compression::None => other::Compression::None,
                    Compression::Gzip => other::Compression::Gzip,
                    Compression::Snappy => other::Compression::Snappy,
                    Compression::Lz4 => other::Compression::Lz4,
                    Compression::Zstd => other::Compression::Zstd,
                }
            }

            fn other_record(record: &OwnedRecord, index: usize) -> other::Record {
                let bytes = |bytes: &Option<Vec<u8>>| bytes.clone().map(bytes::Bytes::from);
                other::Record {
                    transactional: false,
                    control: false,
                    $extra_field: $extra_value,
                    partition_leader_epoch: 3,
                    producer_id: 77,
                    producer_epoch: 2,
                    timestamp_type: other::TimestampType::Creation,
                    offset: index as i64,
                    sequence: 1000 + index as i32,
                    timestamp: record.timestamp,
                    key: bytes(&record.key),
                    value: bytes(&record.value),
                    headers: record
                        .headers
                        .iter()
                        .map(|(key, value)| {
                            (alloc::string::String::from_utf8(key.clone()).unwrap().into(), bytes(value))
                        })
                        .collect(),
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(64))]

                #[test]
                fn what_we_write_the_other_reads(
                    records in prop::collection::vec(any_record(), 1..20),
                    compression in prop::sample::select(&Compression::ALL[..]),
                ) {
                    let builder = BatchBuilder::new().leader_epoch(3).producer(77, 2, 1000);
                    let batch = build(builder.compression(compression, None), &records);
                    let mut bytes = bytes::Bytes::from(batch);
                    let sets = RecordBatchDecoder::decode_all(&mut bytes).unwrap();
                    prop_assert_eq!(sets.len(), 1);
                    prop_assert_eq!(sets[0].compression, other_codec(compression));
                    let expected: Vec<_> =
                        records.iter().enumerate().map(|(index, record)| other_record(record, index)).collect();
                    prop_assert_eq!(&sets[0].records, &expected);
                }

                #[test]
                fn what_the_other_writes_we_accept_and_read(
                    records in prop::collection::vec(any_record(), 1..20),
                    compression in prop::sample::select(&Compression::ALL[..]),
                ) {
                    let theirs: Vec<_> =
                        records.iter().enumerate().map(|(index, record)| other_record(record, index)).collect();
                    let options = RecordEncodeOptions { version: 2, compression: other_codec(compression) };
                    let mut bytes = bytes::BytesMut::new();
                    RecordBatchEncoder::encode(&mut bytes, &theirs, &options).unwrap();
                    let rules = ProduceRules { timestamp_after_max_ms: i64::MAX, ..ProduceRules::default() };
                    let (batch, validated) = validate(&bytes, &rules).unwrap();
                    prop_assert_eq!(batch.partition_leader_epoch(), 3);
                    prop_assert_eq!(validated.record_count as usize, records.len());
                    prop_assert_eq!(validated.timestamp_patch, None);
                    prop_assert_eq!(validated.compression, compression);
                    let producer = (validated.producer_id, validated.producer_epoch, validated.base_sequence);
                    prop_assert_eq!(producer, (77, 2, 1000));
                    let max = records.iter().map(|record| record.timestamp).max().unwrap();
                    let first = records.iter().position(|record| record.timestamp == max).unwrap();
                    prop_assert_eq!(validated.max_timestamp, max);
                    prop_assert_eq!(validated.offset_delta_of_max_timestamp as usize, first);
                    prop_assert_eq!(read(&bytes), records);
                }
            }
        }
    };
}

differential!(against_kafka_protocol, kafka_protocol, delete_horizon: false);
differential!(against_proto_kafka, proto_kafka, delete_horizon_ms: None);

proptest! {
    #[test]
    fn reading_noise_never_panics(
        noise in prop::collection::vec(any::<u8>(), 0..400),
        attributes in 0u8..8,
        count in -1i32..300,
    ) {
        let _ = batches(&noise).count();
        let mut bytes = BatchBuilder::new().build();
        bytes[ATTRIBUTES_AT + 1] = attributes;
        bytes[RECORD_COUNT_AT..HEADER_LEN].copy_from_slice(&count.to_be_bytes());
        let bytes = with_payload(&bytes, &noise);
        let batch = parse(&bytes);
        let _ = alloc::format!("{batch:?}");
        for payload in [Ok(vec![]), batch.decompressed_payload(10_000).map(|payload| payload.into_owned())] {
            for record in batch.records(&payload.unwrap_or_default()) {
                let Ok(record) = record else { continue };
                prop_assert_eq!(record.headers.len(), record.headers.count());
            }
        }
        let _ = find_offset_by_timestamp(&batch, i64::MIN, 0, 10_000);
        let _ = find_max_timestamp(&batch, 0, 10_000);
    }
}
