//! What shards tell each other, what is remembered, and what time costs.

use super::*;
use alloc::format;
use corelog_replication::controller::{CONSUMER_BYTE_RATE, PRODUCER_BYTE_RATE, REQUEST_PERCENTAGE};
use corelog_replication::metadata::QuotaName;

fn quotas(shards: u32) -> Quotas {
    Quotas::new(&MetadataImage::default(), &BrokerConfig::default(), shards)
}

/// A limit for every client of its own, or for all together.
fn limit(quotas: &mut Quotas, of_user: bool, key: &str, value: f64) {
    let entity = match of_user {
        true => QuotaEntity { user: Some(QuotaName::Default), ..Default::default() },
        false => QuotaEntity { client_id: Some(QuotaName::Default), ..Default::default() },
    };
    quotas.set(&entity, &[(key.to_string(), QuotaLimit::new(value))].into());
}

#[test]
fn nothing_is_measured_while_nobody_has_a_limit() {
    let mut quotas = quotas(2);
    assert_eq!(quotas.client(Some("a"), 0), Client::NOBODY);
    quotas.record(Client::NOBODY, Kind::Produce, 1e9, 0);
    assert_eq!(quotas.throttle_ms(Client::NOBODY, Kind::Produce, 0), 0);
    assert_eq!((quotas.len(), quotas.next_deadline_us(), quotas.measures_time()), (0, None, false));
    assert_eq!(quotas.take_mutations(Client::NOBODY, 7, true, 0), Mutations::default());
}

#[test]
fn a_limit_is_the_nodes_and_not_the_shards() {
    for of_user in [false, true] {
        let (mut here, mut there) = (quotas(2), quotas(2));
        for shard in [&mut here, &mut there] {
            limit(shard, of_user, PRODUCER_BYTE_RATE, 1_000.0);
        }
        let now_us = 5_000_000;
        let a = here.client(Some("a"), now_us / 1_000);
        let b = there.client(Some("a"), now_us / 1_000);
        here.record(a, Kind::Produce, 8_000.0, now_us);
        there.record(b, Kind::Produce, 8_000.0, now_us);
        assert_eq!((here.throttle_ms(a, Kind::Produce, now_us), there.throttle_ms(b, Kind::Produce, now_us)), (0, 0));
        assert_eq!(here.next_deadline_us(), Some(now_us + EXCHANGE_US));
        assert!(here.take_untold(now_us).is_none(), "not yet");
        let used = here.take_untold(now_us + EXCHANGE_US).unwrap();
        assert_eq!(here.next_deadline_us(), None, "once");
        there.told(&used.copy(), now_us + EXCHANGE_US);
        let held = there.throttle_ms(b, Kind::Produce, now_us + EXCHANGE_US);
        assert_eq!(held, 5_900, "16,000 bytes, of which 10.1 s allow 10,100");
        let back = there.take_untold(now_us + EXCHANGE_US).unwrap();
        here.told(&back, now_us + EXCHANGE_US);
        assert_eq!(
            here.throttle_ms(a, Kind::Produce, now_us + EXCHANGE_US),
            5_900,
            "each is told once, of the other alone"
        );
    }
}

#[test]
fn a_change_acts_at_once() {
    let mut quotas = quotas(1);
    limit(&mut quotas, false, CONSUMER_BYTE_RATE, 1_000.0);
    let client = quotas.client(Some("a"), 0);
    quotas.record(client, Kind::Fetch, 20_000.0, 0);
    assert_eq!(quotas.throttle_ms(client, Kind::Fetch, 0), 10_000);
    assert_eq!(quotas.fetch_bytes_max(client), Some(10_000));
    limit(&mut quotas, false, CONSUMER_BYTE_RATE, 4_000.0);
    let client = quotas.client(Some("a"), 0);
    assert_eq!(quotas.throttle_ms(client, Kind::Fetch, 0), 0);
    let entity = QuotaEntity { client_id: Some(QuotaName::Default), ..Default::default() };
    quotas.set(&entity, &BTreeMap::new());
    assert_eq!(quotas.client(Some("a"), 0), Client::NOBODY);
}

#[test]
fn clients_that_are_remembered_are_bounded() {
    let mut quotas = quotas(1);
    limit(&mut quotas, false, PRODUCER_BYTE_RATE, 1_000.0);
    let first = quotas.client(Some("first"), 0);
    quotas.record(first, Kind::Produce, 1e6, 0);
    for number in 0..limits::QUOTA_CLIENTS_MAX {
        quotas.client(Some(&format!("c{number}")), 2_000 + number as u64);
    }
    assert_eq!(quotas.len(), limits::QUOTA_CLIENTS_MAX);
    assert_eq!(quotas.throttle_ms(first, Kind::Produce, 2_000_000), 0, "who is forgotten is nobody");
    let again = quotas.client(Some("first"), 20_000);
    assert_ne!(again, first);
    quotas.client(Some("late"), 20_000 + IDLE_MS);
    assert_eq!(quotas.len(), limits::QUOTA_CLIENTS_MAX);
}

#[test]
fn time_is_shared_by_those_who_took_it() {
    let mut quotas = quotas(1);
    limit(&mut quotas, false, REQUEST_PERCENTAGE, 1.0);
    assert!(quotas.measures_time());
    let (a, b) = (quotas.client(Some("a"), 0), quotas.client(Some("b"), 0));
    quotas.taken_up(a);
    quotas.time_passed(90_000, 0);
    assert_eq!(quotas.throttle_ms(a, Kind::Request, 0), 0, "0.9 percent of ten seconds");
    quotas.taken_up(a);
    quotas.taken_up(b);
    quotas.time_passed(60_000, 0);
    assert_eq!(quotas.throttle_ms(a, Kind::Request, 0), 1_000, "a window at most");
    assert_eq!(quotas.throttle_ms(b, Kind::Request, 0), 0);
    quotas.time_passed(1_000_000, 0);
    assert_eq!(quotas.throttle_ms(b, Kind::Request, 0), 0, "time in which no request was handled is nobody's");
}
