//! Connections: who is asked, in which version, and what ends one.

use corelog_wire::error_code::ErrorCode;

use super::*;

fn only_open(world: &World) -> ConnectionId {
    *world.open.keys().next().unwrap()
}

/// Opens the first connection, and gives the request for versions.
fn begun(world: &mut World) -> Sent {
    world.poll();
    let (id, address) = world.connecting.pop_front().unwrap();
    world.open.insert(id, address);
    world.client.opened(world.now, id);
    world.poll();
    world.next(ApiKey::ApiVersions)
}

fn versions_answer(world: &mut World, sent: &Sent, version: i16, error_code: ErrorCode, ranges: &[(i16, i16, i16)]) {
    let ranges: Vec<_> = ranges
        .iter()
        .map(|(api_key, min_version, max_version)| ApiVersion {
            api_key: *api_key,
            min_version: *min_version,
            max_version: *max_version,
        })
        .collect();
    let response = ApiVersionsResponse { error_code, api_keys: (&ranges).into(), ..Default::default() };
    let sent = Sent { version, ..sent.clone() };
    world.answer(&sent, &response);
}

#[test]
fn the_highest_common_version_is_used() {
    let mut world = World::new(|_| {});
    let sent = begun(&mut world);
    versions_answer(&mut world, &sent, sent.version, ErrorCode::NONE, &[(3, 0, 9), (18, 0, 3)]);
    world.poll();
    assert_eq!(world.next(ApiKey::Metadata).version, 9);
}

#[test]
fn a_broker_that_lacks_our_versions_is_asked_in_its_own() {
    for (ranges, asked_next) in [(&[(18, 0, 2), (3, 0, 9)][..], 2), (&[], 0), (&[(18, 0, 99)], 4)] {
        let mut world = World::new(|_| {});
        let sent = begun(&mut world);
        assert_eq!(sent.version, 5);
        versions_answer(&mut world, &sent, 0, ErrorCode::UNSUPPORTED_VERSION, ranges);
        world.poll();
        let sent = world.next(ApiKey::ApiVersions);
        assert_eq!(sent.version, asked_next);
        versions_answer(&mut world, &sent, asked_next, ErrorCode::NONE, &[(3, 0, 9)]);
        world.poll();
        assert_eq!(world.next(ApiKey::Metadata).version, 9);
    }
}

#[test]
fn a_broker_that_lacks_an_api_is_not_asked_for_it() {
    let mut world = World::new(|_| {});
    world.versions.retain(|api| api.api_key != ApiKey::Metadata.key());
    world.pass(Duration::from_secs(1));
    assert!(world.sent.is_empty() && world.client.is_connected() && !world.client.metadata().is_known());
}

#[test]
fn answers_may_come_in_pieces() {
    let mut world = World::new(|_| {});
    let sent = begun(&mut world);
    let ranges = all_versions();
    let response = ApiVersionsResponse { api_keys: (&ranges).into(), ..Default::default() };
    let bytes = encode_response(sent.correlation_id, sent.api, sent.version, &response).unwrap().concat();
    for byte in &bytes {
        assert!(!world.client.is_connected());
        world.receive(sent.connection, std::slice::from_ref(byte));
    }
    assert!(world.client.is_connected());
}

#[test]
fn two_answers_may_come_at_once() {
    let mut world = World::ready(&[1], |_| {});
    for _ in 0..2 {
        world.client.call(world.now, crate::admin::describe_cluster());
    }
    world.run();
    let (first, second) = (world.next(ApiKey::DescribeCluster), world.next(ApiKey::DescribeCluster));
    let response = corelog_wire::api::describe_cluster::DescribeClusterResponse::default();
    let frames = [&first, &second].map(|sent| encode_response(sent.correlation_id, sent.api, sent.version, &response));
    let bytes = frames.map(|frame| frame.unwrap().concat()).concat();
    world.receive(first.connection, &bytes);
    assert!(world.client.take_answer(CallId(0)).unwrap().is_ok());
    assert!(world.client.take_answer(CallId(1)).unwrap().is_ok());
    assert!(world.client.take_answer(CallId(1)).is_none(), "an answer is given once");
}

#[test]
fn what_is_no_kafka_costs_the_connection() {
    for (bytes, wanted) in [
        (&b"HTTP/1.1 400 Bad Request\r\n"[..], "it announced an answer of"),
        (&[0, 0, 0, 4, 0, 0, 0, 99], "not in the order"),
        (&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0], "ends"),
        (&[0xff; 8], "it announced an answer of"),
        (&[0, 0, 0, 0], "not in the order"),
    ] {
        let mut world = World::new(|_| {});
        let sent = begun(&mut world);
        world.receive(sent.connection, bytes);
        world.poll();
        assert_eq!(world.closed, [sent.connection], "{bytes:?}");
        let (failed, error) = world.client.failures().next().unwrap();
        assert_eq!(failed, &address(1));
        assert!(matches!(error, ConnectionError::NotKafka(_)), "{error:?}");
        let said = error.to_string();
        assert!(
            said.contains("does not speak Kafka's protocol") && (said.contains(wanted) || wanted == "ends"),
            "{said}"
        );
        assert!(world.client.is_unreachable());
    }
}

#[test]
fn an_answer_that_nobody_asked_for_costs_the_connection() {
    let mut world = World::ready(&[1], |_| {});
    let id = only_open(&world);
    world.receive(id, &[0, 0, 0, 4, 0, 0, 0, 9]);
    world.poll();
    assert_eq!(world.closed, [id]);
}

#[test]
fn addresses_take_turns_until_one_answers() {
    let mut world = World::new(|config| config.bootstrap = vec![address(1), address(2)]);
    world.poll();
    let (id, tried) = world.connecting.pop_front().unwrap();
    assert_eq!(tried, address(1));
    assert!(!world.client.is_unreachable());
    world.client.closed(world.now, id, ConnectionError::Broken("refused".to_owned()));
    assert!(!world.client.is_unreachable());
    world.poll();
    let (id, tried) = world.connecting.pop_front().unwrap();
    assert_eq!(tried, address(2));
    world.client.closed(world.now, id, ConnectionError::Broken("refused".to_owned()));
    assert!(world.client.is_unreachable());
    world.poll();
    assert!(world.connecting.is_empty(), "the backoff of the first is not over");
    let again = world.client.deadline(world.now).unwrap();
    assert_eq!(again, world.now + crate::limits::RETRY_BACKOFF);
    world.now = again;
    world.run();
    assert!(world.client.is_connected() && !world.client.is_unreachable());
    assert_eq!(world.client.failures().count(), 1, "the one that answers is well again");
}

#[test]
fn the_wait_between_attempts_doubles_up_to_its_bound() {
    let mut world = World::new(|_| {});
    let mut waits = Vec::new();
    for _ in 0..6 {
        world.poll();
        let (id, _) = world.connecting.pop_front().unwrap();
        world.client.closed(world.now, id, ConnectionError::Broken("refused".to_owned()));
        let at = world.client.deadline(world.now).unwrap();
        waits.push((at - world.now).as_millis());
        world.now = at;
    }
    assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
}

#[test]
fn a_connection_that_does_not_open_is_given_up() {
    let mut world = World::new(|_| {});
    world.poll();
    let (id, _) = world.connecting.pop_front().unwrap();
    world.now = world.client.deadline(world.now).unwrap();
    world.poll();
    assert_eq!(world.closed, [id]);
    assert!(world.client.failures().next().unwrap().1.to_string().contains("in time"));
}

#[test]
fn metadata_that_nobody_sends_cost_the_connection_and_are_asked_again() {
    let mut world = World::ready(&[1], |config| config.request_timeout = Duration::from_secs(2));
    let id = only_open(&world);
    world.client.refresh_metadata();
    world.now += Duration::from_secs(1);
    world.poll();
    world.next(ApiKey::Metadata);
    world.now += Duration::from_secs(2);
    world.poll();
    assert_eq!(world.closed, [id]);
    assert_eq!(world.client.failures().next().unwrap().1, &ConnectionError::TimedOut(ApiKey::Metadata));
    world.pass(Duration::from_secs(1));
    assert!(world.client.is_connected());
}
