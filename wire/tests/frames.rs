//! Whole frames: lengths, headers, splicing, nulls, defaults, tagged fields, and what is refused.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use corelog_wire::api::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use corelog_wire::api::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData, ReplicaState,
};
use corelog_wire::api::metadata::{MetadataRequest, MetadataRequestTopic};
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use corelog_wire::api_key::ApiKey;
use corelog_wire::array::Array;
use corelog_wire::decoder::{DecodeErrorKind, Decoder};
use corelog_wire::encoder::{EncodeErrorKind, Encoder, Segment};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::frame::{encode_request, encode_response, encode_response_with_gaps};
use corelog_wire::header::{RequestHeader, ResponseHeader};
use corelog_wire::ids::TopicId;
use corelog_wire::message::Message;
use corelog_wire::primitives::Records;

fn encoded<'a>(message: &impl Message<'a>, version: i16) -> Vec<u8> {
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, version).unwrap();
    encoder.into_segments().concat()
}

fn refused<'a>(message: &impl Message<'a>, version: i16) -> (EncodeErrorKind, &'static str) {
    let error = message.encode(&mut Encoder::new(), version).unwrap_err();
    (error.kind, error.field)
}

#[test]
fn record_bytes_are_spliced_into_a_response_and_never_copied() {
    let batches = [Bytes::from(vec![1; 100]), Bytes::new(), Bytes::from(vec![2; 50])];
    let other = [Bytes::from(vec![3; 10])];
    let partitions = [
        PartitionData { partition_index: 3, records: Some(Records::Segments(&batches)), ..Default::default() },
        PartitionData {
            partition_index: 4,
            current_leader: LeaderIdAndEpoch { leader_id: 2, leader_epoch: 7 },
            records: Some(Records::Segments(&other)),
            ..Default::default()
        },
    ];
    let responses =
        [FetchableTopicResponse { topic_id: TopicId([9; 16]), partitions: (&partitions).into(), ..Default::default() }];
    let response = FetchResponse { responses: (&responses).into(), ..Default::default() };
    let segments = encode_response(77, ApiKey::Fetch, 16, &response).unwrap();

    let pointers: Vec<_> = segments.iter().map(|segment| segment.as_ptr()).collect();
    assert_eq!(segments.len(), 6);
    assert_eq!(pointers[1], batches[0].as_ptr());
    assert_eq!(pointers[2], batches[2].as_ptr());
    assert_eq!(pointers[4], other[0].as_ptr());
    assert!(segments.iter().all(|segment| !segment.is_empty()));

    let frame = segments.concat();
    let mut decoder = Decoder::new(&frame);
    assert_eq!(decoder.int32().unwrap() as usize, frame.len() - 4);
    assert_eq!(ResponseHeader::decode(&mut decoder, ApiKey::Fetch, 16).unwrap().correlation_id, 77);
    let decoded = FetchResponse::decode(&mut decoder, 16).unwrap();
    decoder.finish().unwrap();
    assert_eq!(decoded, response);
    let topic = decoded.responses.first().unwrap();
    let records: Vec<_> = topic.partitions.iter().map(|partition| partition.records.unwrap()).collect();
    assert_eq!(records[0].as_slice().unwrap(), batches.concat());
    assert_eq!(records[1].as_slice().unwrap(), &other[0]);
}

#[test]
fn records_elsewhere_are_gaps_that_count_in_every_length() {
    let (first, second) = (Bytes::from(vec![1; 300]), Bytes::from(vec![2; 70_000]));
    let in_memory = [first.clone()];
    for version in [4, 11, 12, 16] {
        let frame = |second_records| {
            let partitions = [
                PartitionData {
                    partition_index: 3,
                    records: Some(Records::Segments(&in_memory)),
                    ..Default::default()
                },
                PartitionData { partition_index: 4, records: Some(second_records), ..Default::default() },
                PartitionData { partition_index: 5, records: Some(Records::Elsewhere(0)), ..Default::default() },
            ];
            let responses = [FetchableTopicResponse { partitions: (&partitions).into(), ..Default::default() }];
            let response = FetchResponse { responses: (&responses).into(), ..Default::default() };
            encode_response_with_gaps(77, ApiKey::Fetch, version, &response).unwrap()
        };
        let filled: Vec<Bytes> = frame(Records::Elsewhere(second.len()))
            .into_iter()
            .map(|segment| match segment {
                Segment::Bytes(bytes) => bytes,
                Segment::Gap(len) => second.slice(..len),
            })
            .collect();
        assert_eq!(filled.iter().filter(|bytes| bytes.as_ptr() == second.as_ptr()).count(), 1);
        let in_one_piece = frame(Records::Slice(&second));
        let in_one_piece: Vec<_> = in_one_piece
            .into_iter()
            .map(|segment| if let Segment::Bytes(bytes) = segment { bytes } else { panic!("no gap was asked for") })
            .collect();
        assert_eq!(filled.concat(), in_one_piece.concat(), "version {version}");
    }
}

#[test]
fn records_of_a_request_are_a_part_of_its_frame() {
    let partition_data = [PartitionProduceData { index: 1, records: Some(b"a batch") }];
    let topic_data = [TopicProduceData { name: "t", partition_data: (&partition_data).into(), ..Default::default() }];
    let request = ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: (&topic_data).into(), ..Default::default() };
    let header =
        RequestHeader { request_api_key: 0, request_api_version: 9, correlation_id: 5, client_id: Some("a client") };
    let frame = Bytes::from(encode_request(&header, &request).unwrap().concat());

    let mut decoder = Decoder::new(&frame[4..]);
    assert_eq!(RequestHeader::decode(&mut decoder).unwrap(), header);
    let decoded = ProduceRequest::decode(&mut decoder, 9).unwrap();
    assert_eq!(decoded, request);
    let records = decoded.topic_data.first().unwrap().partition_data.first().unwrap().records.unwrap();
    // `slice_ref` panics for bytes that do not lie in the frame.
    assert_eq!(frame.slice_ref(records), "a batch");
}

#[test]
fn a_request_needs_a_header_of_its_api() {
    let header = RequestHeader { request_api_key: 1, request_api_version: 9, ..Default::default() };
    assert_eq!(encode_request(&header, &ProduceRequest::default()).unwrap_err().kind, EncodeErrorKind::WrongApi);
    let header = RequestHeader { request_api_key: 0, request_api_version: 14, ..Default::default() };
    assert_eq!(
        encode_request(&header, &ProduceRequest::default()).unwrap_err().kind,
        EncodeErrorKind::UnsupportedVersion(14)
    );
}

#[test]
fn null_and_empty_arrays_differ() {
    let all = MetadataRequest { topics: None, ..Default::default() };
    let none = MetadataRequest { topics: Some(Array::EMPTY), ..Default::default() };
    for version in 1..=13 {
        let (all_bytes, none_bytes) = (encoded(&all, version), encoded(&none, version));
        assert_eq!(MetadataRequest::decode(&mut Decoder::new(&all_bytes), version).unwrap().topics, None);
        assert_eq!(MetadataRequest::decode(&mut Decoder::new(&none_bytes), version).unwrap().topics, none.topics);
    }
    assert_eq!(refused(&all, 0), (EncodeErrorKind::UnexpectedNull, "MetadataRequest.topics"));
    let error = MetadataRequest::decode(&mut Decoder::new(&[0xff; 4]), 0).unwrap_err();
    assert_eq!((error.kind, error.field), (DecodeErrorKind::UnexpectedNull, "MetadataRequest.topics"));
}

#[test]
fn a_null_string_is_refused_where_the_version_has_none() {
    let topics = [MetadataRequestTopic { topic_id: TopicId([1; 16]), name: None }];
    let request = MetadataRequest { topics: Some((&topics).into()), ..Default::default() };
    let bytes = encoded(&request, 12);
    assert_eq!(MetadataRequest::decode(&mut Decoder::new(&bytes), 12).unwrap(), request);
    assert_eq!(refused(&request, 9), (EncodeErrorKind::UnexpectedNull, "MetadataRequestTopic.name"));
    // One topic whose name is null.
    let error = MetadataRequest::decode(&mut Decoder::new(&[2, 0, 0, 1, 0, 0, 0]), 9).unwrap_err();
    assert_eq!((error.kind, error.field), (DecodeErrorKind::UnexpectedNull, "MetadataRequestTopic.name"));
}

#[test]
fn a_field_that_a_version_lacks_is_dropped_only_if_it_may_be() {
    let request =
        MetadataRequest { allow_auto_topic_creation: false, topics: Some(Array::EMPTY), ..Default::default() };
    assert_eq!(refused(&request, 3), (EncodeErrorKind::NotInVersion(3), "MetadataRequest.allow_auto_topic_creation"));
    let request = FetchRequest { rack_id: "here", session_epoch: 3, ..Default::default() };
    let bytes = encoded(&request, 4);
    let decoded = FetchRequest::decode(&mut Decoder::new(&bytes), 4).unwrap();
    assert_eq!(decoded, FetchRequest::default());
    assert_eq!((decoded.session_epoch, decoded.max_bytes, decoded.replica_id), (-1, i32::MAX, -1));
}

#[test]
fn tagged_fields_are_sent_only_if_set_and_unknown_ones_are_skipped() {
    let plain = encoded(&FetchRequest::default(), 15);
    let replica_state = ReplicaState { replica_id: 1, replica_epoch: 2 };
    let tagged = encoded(&FetchRequest { replica_state, ..Default::default() }, 15);
    assert_eq!(plain.last(), Some(&0));
    assert_eq!(tagged.len(), plain.len() + 2 + 13);
    assert_eq!(FetchRequest::decode(&mut Decoder::new(&tagged), 15).unwrap().replica_state, replica_state);

    // Behind the known one an unknown one: tag 200, three bytes.
    let mut unknown = tagged.clone();
    unknown[plain.len() - 1] = 2;
    unknown.extend([200, 1, 3, 0xaa, 0xbb, 0xcc]);
    let mut decoder = Decoder::new(&unknown);
    assert_eq!(FetchRequest::decode(&mut decoder, 15).unwrap().replica_state, replica_state);
    decoder.finish().unwrap();

    // A known one with a byte too many.
    let mut long = tagged;
    long[plain.len() + 1] += 1;
    long.push(0);
    let error = FetchRequest::decode(&mut Decoder::new(&long), 15).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::TrailingBytes(1));

    // More tagged fields than bytes.
    let mut many = plain;
    many.pop();
    many.extend([0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
    let error = FetchRequest::decode(&mut Decoder::new(&many), 15).unwrap_err();
    assert!(matches!(error.kind, DecodeErrorKind::Truncated { left: 2, .. }), "{error}");
}

#[test]
fn counts_beyond_the_frame_are_refused_before_anything_is_read() {
    // Acks, timeout, and 2^31 - 1 topics in a frame that has no byte for one.
    let bytes = [0xff, 0xff, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff];
    let error = ProduceRequest::decode(&mut Decoder::new(&bytes), 3).unwrap_err();
    let left = 0;
    assert_eq!(
        (error.kind, error.field),
        (DecodeErrorKind::Truncated { needed: i32::MAX as usize, left }, "ProduceRequest.topic_data")
    );
    let bytes = [0xff, 0xff, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xfe];
    let error = ProduceRequest::decode(&mut Decoder::new(&bytes), 3).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::NegativeLength(-2));
}

#[test]
fn an_answer_to_an_api_versions_request_from_the_future() {
    let header = [0, 18, 0, 9, 0, 0, 0, 1, 0, 1, b'c', 0, 0xde, 0xad];
    let mut decoder = Decoder::new(&header);
    let header = RequestHeader::decode(&mut decoder).unwrap();
    assert_eq!((header.api(), header.request_api_version), (Some(ApiKey::ApiVersions), 9));
    assert_eq!(decoder.rest(), [0xde, 0xad]);
    let error = ApiVersionsRequest::decode(&mut decoder, 9).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::UnsupportedVersion(9));

    let api_keys = [ApiVersion { api_key: 18, min_version: 0, max_version: 5 }];
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: (&api_keys).into(),
        ..Default::default()
    };
    let segments = encode_response(header.correlation_id, ApiKey::ApiVersions, 0, &response).unwrap();
    assert_eq!(segments.concat(), [0, 0, 0, 16, 0, 0, 0, 1, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 5]);
}
