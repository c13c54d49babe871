//! Who is to push what, and which pushes are taken.

use super::*;
use core::net::Ipv4Addr;
use corelog_wire::compression::compress;

fn source(client_id: &str) -> Source<'_> {
    let peer = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 7), 40_000));
    Source { client_id, software: ("apache-kafka-java", "4.4.0"), peer }
}

fn telemetry(subscriptions: &[(&str, &[(&str, &str)])]) -> Telemetry {
    let mut telemetry = Telemetry::new(7);
    for (name, configs) in subscriptions {
        telemetry.set(name, &configs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect());
    }
    telemetry
}

fn push<'a>(wanted: &Wanted, metrics: &'a [u8]) -> Push<'a> {
    let Wanted { id, subscription_id, .. } = *wanted;
    Push { id, subscription_id, is_terminating: false, codec: 0, metrics }
}

#[test]
fn clients_are_told_what_matches_them() {
    let mut telemetry = telemetry(&[
        ("all", &[("metrics", "a.,b."), ("interval.ms", "60000")]),
        (
            "java",
            &[("metrics", "c."), ("interval.ms", "1000"), ("match", "client_software_name=.*java,client_id=app.*")],
        ),
        ("here", &[("metrics", "*"), ("match", "client_source_address=10\\.0\\.0\\.8,client_source_port=40.*")]),
    ]);
    let plain = telemetry.subscribe(ClientInstanceId::ZERO, &source("x"), 0).unwrap();
    assert!(!plain.id.is_zero());
    assert_eq!((plain.metrics.join(" ").as_str(), plain.interval_ms), ("a. b.", 60_000));
    let app = telemetry.subscribe(ClientInstanceId::ZERO, &source("app1"), 0).unwrap();
    assert_eq!((app.metrics.join(" ").as_str(), app.interval_ms), ("a. b. c.", 1_000));
    assert_ne!((app.id, app.subscription_id), (plain.id, plain.subscription_id));
    let peer = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 8), 40_001));
    let here = telemetry.subscribe(ClientInstanceId::ZERO, &Source { peer, ..source("x") }, 0).unwrap();
    assert_eq!(here.metrics, [""], "all of them");
    let id = ClientInstanceId([9; 16]);
    assert_eq!(telemetry.subscribe(id, &source("x"), 0).unwrap().id, id, "an id of another broker stays");
}

#[test]
fn who_comes_too_early_waits_unless_something_has_changed() {
    let mut telemetry = telemetry(&[]);
    let wanted = telemetry.subscribe(ClientInstanceId::ZERO, &source("x"), 0).unwrap();
    assert_eq!((wanted.metrics.len(), wanted.interval_ms), (0, 300_000));
    let again = |telemetry: &mut Telemetry, now_ms| telemetry.subscribe(wanted.id, &source("x"), now_ms);
    assert_eq!(again(&mut telemetry, 299_999), Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED));
    assert!(again(&mut telemetry, 300_000).is_ok());
    telemetry.set("m", &BTreeMap::from([("metrics".to_string(), "a.".to_string())]));
    let changed = again(&mut telemetry, 300_001).unwrap();
    assert_eq!(changed.metrics, ["a."]);
    let outdated = Push { subscription_id: wanted.subscription_id, ..push(&changed, b"") };
    let refused = telemetry.push(&outdated, &source("x"), 1_000, 300_002);
    assert_eq!(refused, Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID));
    assert!(again(&mut telemetry, 300_003).is_ok(), "it has to find out");
    telemetry.forget(wanted.id);
    assert!(again(&mut telemetry, 300_004).is_ok(), "on a new connection");
}

#[test]
fn pushes_are_checked_and_told() {
    let mut telemetry = telemetry(&[("m", &[("metrics", "*"), ("interval.ms", "1000")])]);
    let wanted = telemetry.subscribe(ClientInstanceId::ZERO, &source("app"), 0).unwrap();
    let bytes = otlp::tests::metrics(&[("x.y", 2.5)]);
    for (codec, compression) in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
            .into_iter()
            .enumerate()
    {
        let mut compressed = Vec::new();
        compress(compression, None, &bytes, &mut compressed);
        let now_ms = 1_000 * codec as u64;
        let push = Push { codec: codec as i8, ..push(&wanted, &compressed) };
        let said = telemetry.push(&push, &source("app"), 1_000, now_ms).unwrap().unwrap();
        assert!(said.contains("'app' (apache-kafka-java 4.4.0") && said.ends_with("x.y=2.5"), "{said}");
        let early = telemetry.push(&push, &source("app"), 1_000, now_ms + 1);
        assert_eq!(early, Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED));
    }
    let mut now_ms = 10_000;
    let mut outcome = |push: Push<'_>| {
        now_ms += 1_000;
        telemetry.push(&push, &source("app"), 1_000, now_ms).err().unwrap_or(ErrorCode::NONE)
    };
    assert_eq!(outcome(Push { codec: 5, ..push(&wanted, &bytes) }), ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
    assert_eq!(outcome(push(&wanted, &[0; 1_001])), ErrorCode::TELEMETRY_TOO_LARGE);
    assert_eq!(outcome(push(&wanted, b"no metrics")), ErrorCode::INVALID_RECORD);
    assert_eq!(outcome(Push { codec: 1, ..push(&wanted, b"no gzip") }), ErrorCode::INVALID_RECORD);
    let mut bomb = Vec::new();
    compress(Compression::Zstd, None, &[0; 100_000], &mut bomb);
    assert_eq!(outcome(Push { codec: 4, ..push(&wanted, &bomb) }), ErrorCode::TELEMETRY_TOO_LARGE);
    assert_eq!(outcome(Push { id: ClientInstanceId::ZERO, ..push(&wanted, &[]) }), ErrorCode::INVALID_REQUEST);
    assert_eq!(outcome(Push { is_terminating: true, ..push(&wanted, &bytes) }), ErrorCode::NONE);
    assert_eq!(outcome(push(&wanted, &bytes)), ErrorCode::INVALID_REQUEST, "it has gone away");
}

#[test]
fn instances_are_bounded_and_expire() {
    let mut telemetry = telemetry(&[]);
    for number in 0..=limits::TELEMETRY_INSTANCES_MAX as u64 {
        telemetry.subscribe(ClientInstanceId::ZERO, &source("x"), number).unwrap();
    }
    assert_eq!(telemetry.instances.len(), limits::TELEMETRY_INSTANCES_MAX);
    telemetry.subscribe(ClientInstanceId::ZERO, &source("x"), 10_000_000).unwrap();
    assert_eq!((telemetry.instances.len(), telemetry.by_expiry.len()), (1, 1));
}
