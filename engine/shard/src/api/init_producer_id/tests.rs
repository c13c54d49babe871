//! Ids are unique, wait for their block, and are asked for ahead.

use alloc::collections::BTreeSet;
use alloc::vec;

use corelog_wire::api_key::ApiKey;

use super::*;
use crate::front::testing::{Host, decode};

const IDEMPOTENT: InitProducerIdRequest<'_> =
    InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 0, producer_id: -1, producer_epoch: -1 };

fn answer(version: i16, reply: &[u8]) -> (ErrorCode, i64, i16) {
    let response: InitProducerIdResponse = decode(ApiKey::InitProducerId, version, reply);
    (response.error_code, response.producer_id, response.producer_epoch)
}

#[test]
fn ids_wait_for_their_block_and_are_unique() {
    let mut host = Host::new();
    let id = host.open(1);
    let mut seen = BTreeSet::new();
    for version in 0..=5 {
        host.send(id, version, &IDEMPOTENT);
    }
    assert_eq!(host.try_reply(id), None, "the block is not committed");
    assert_eq!(host.apply_metadata(), 1, "one block serves all who wait");
    for version in 0..=5 {
        let reply = host.reply(id);
        let (error, producer_id, epoch) = answer(version, &reply);
        assert_eq!((error, epoch), (ErrorCode::NONE, 0));
        assert!(seen.insert(producer_id));
    }
    let mut blocks = 0;
    for _ in 0..3 * i64::from(PRODUCER_ID_BLOCK_LENGTH) {
        let reply = host.ask(id, 5, &IDEMPOTENT);
        assert!(seen.insert(answer(5, &reply).1), "asked for ahead, so nobody waits");
        blocks += host.apply_metadata();
    }
    assert_eq!(blocks, 3);
    assert_eq!(host.image().next_producer_id().0, 4_000);
}

#[test]
fn a_block_that_is_late_makes_producers_wait() {
    let mut host = Host::new();
    let id = host.open(1);
    host.send(id, 5, &IDEMPOTENT);
    host.apply_metadata();
    for _ in 0..PRODUCER_ID_BLOCK_LENGTH {
        host.reply(id);
        host.send(id, 5, &IDEMPOTENT);
    }
    assert_eq!(host.try_reply(id), None);
    host.apply_metadata();
    let reply = host.reply(id);
    assert_eq!(answer(5, &reply), (ErrorCode::NONE, i64::from(PRODUCER_ID_BLOCK_LENGTH), 0));
}

#[test]
fn a_block_that_somebody_else_took_is_asked_for_again() {
    let mut host = Host::new();
    let id = host.open(1);
    let other = controller::allocate_producer_ids(host.image(), BrokerId(1), 10).unwrap();
    host.propose(&other.records);
    host.send(id, 5, &IDEMPOTENT);
    assert_eq!(host.apply_metadata(), 3);
    let reply = host.reply(id);
    assert_eq!(answer(5, &reply), (ErrorCode::NONE, 10, 0));
}

#[test]
fn a_producer_that_resumes_gets_a_new_id() {
    let mut host = Host::new();
    let id = host.open(1);
    host.send(id, 3, &InitProducerIdRequest { producer_id: 77, producer_epoch: 3, ..IDEMPOTENT });
    host.apply_metadata();
    let reply = host.reply(id);
    assert_eq!(answer(3, &reply), (ErrorCode::NONE, 0, 0));
}

#[test]
fn refusals() {
    let mut host = Host::with_large_metadata();
    let id = host.open(1);
    let cases = vec![
        (InitProducerIdRequest { transactional_id: Some("tx"), ..IDEMPOTENT }, ErrorCode::UNSUPPORTED_VERSION),
        (InitProducerIdRequest { transactional_id: Some(""), ..IDEMPOTENT }, ErrorCode::INVALID_REQUEST),
        (InitProducerIdRequest { producer_id: 5, ..IDEMPOTENT }, ErrorCode::INVALID_REQUEST),
        (InitProducerIdRequest { producer_epoch: 5, ..IDEMPOTENT }, ErrorCode::INVALID_REQUEST),
    ];
    for (request, expected) in cases {
        let reply = host.ask(id, 5, &request);
        assert_eq!(answer(5, &reply), (expected, -1, -1));
    }
    host.overload_metadata();
    let reply = host.ask(id, 5, &IDEMPOTENT);
    assert_eq!(answer(5, &reply), (ErrorCode::THROTTLING_QUOTA_EXCEEDED, -1, -1));
}
