//! Decoding allocates nothing, for good and bad bytes alike; encoding a response allocates a handful of times, however
//! many record bytes it has.

#![allow(clippy::unwrap_used)]

mod generate;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use corelog_wire::api::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use corelog_wire::api::metadata::MetadataRequest;
use corelog_wire::api::produce::ProduceRequest;
use corelog_wire::api_key::ApiKey;
use corelog_wire::decoder::Decoder;
use corelog_wire::frame::encode_response;
use corelog_wire::header::RequestHeader;
use corelog_wire::message::Message;
use corelog_wire::primitives::Records;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // The cell is gone while its thread ends.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is handed to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Reads a message and every partition in it.
fn walk(api: &str, bytes: &[u8], version: i16) -> usize {
    let mut decoder = Decoder::new(bytes);
    match api {
        "ProduceRequest" => {
            let Ok(request) = ProduceRequest::decode(&mut decoder, version) else { return 0 };
            let partitions = request.topic_data.iter().flat_map(|topic| topic.partition_data);
            partitions.map(|partition| partition.records.map_or(0, <[u8]>::len)).sum()
        }
        "FetchRequest" => {
            let Ok(request) = FetchRequest::decode(&mut decoder, version) else { return 0 };
            request.topics.iter().map(|topic| topic.partitions.iter().count()).sum()
        }
        "MetadataRequest" => {
            let Ok(request) = MetadataRequest::decode(&mut decoder, version) else { return 0 };
            request.topics.iter().flatten().map(|topic| topic.name.map_or(0, str::len)).sum()
        }
        _ => RequestHeader::decode(&mut decoder).map_or(0, |header| header.client_id.map_or(0, str::len)),
    }
}

#[test]
fn decoding_allocates_nothing() {
    // The allocator does count.
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8]))), 1);
    let mut walked = 0;
    for (entry, version) in generate::every_version() {
        for seed in 0..=255_u8 {
            let choices: Vec<u8> =
                (0..300_u32).map(|index| (index * 37 + u32::from(seed) * index) as u8 ^ seed).collect();
            let mut bytes = generate::generate(&entry, version, &choices, seed % 2 == 0);
            let name = entry.name();
            assert_eq!(allocations(|| walked += walk(&name, &bytes, version)), 0);
            assert_eq!(allocations(|| assert_eq!((entry.decode)(&bytes, version), Ok(0))), 0, "{name}");
            if let Some(middle) = bytes.len().checked_sub(1).map(|last| last / 2) {
                bytes[middle] = 0xff;
                assert_eq!(allocations(|| walked += walk(&name, &bytes, version)), 0);
                let decode = || _ = std::hint::black_box((entry.decode)(&bytes, version));
                assert_eq!(allocations(decode), 0, "{name}");
            }
        }
    }
    assert!(walked > 1000, "the messages have something in them");
}

#[test]
fn encoding_a_fetch_response_allocates_a_handful_of_times() {
    let batches = vec![Bytes::from(vec![7; 1 << 20]); 3];
    let partitions: Vec<_> = (0..4)
        .map(|partition_index| PartitionData {
            partition_index,
            records: Some(Records::Segments(&batches)),
            ..Default::default()
        })
        .collect();
    let responses = [FetchableTopicResponse { partitions: (&partitions).into(), ..Default::default() }];
    let response = FetchResponse { responses: (&responses).into(), ..Default::default() };
    let mut segments = Vec::new();
    let count = allocations(|| segments = encode_response(1, ApiKey::Fetch, 17, &response).unwrap());
    assert!(count <= 8, "{count} allocations");
    assert_eq!(segments.len(), 1 + 4 * 3 + 3 + 1);
}
