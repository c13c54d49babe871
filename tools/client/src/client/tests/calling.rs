//! Calls: to whom, how often, and how they end.

use corelog_wire::api::describe_cluster::DescribeClusterResponse;
use std::sync::Arc;

use super::*;
use crate::admin;
use crate::call::Target;
use crate::connection::SendError;

#[test]
fn a_call_goes_where_it_is_told() {
    let mut world = World::ready(&[3], |_| {});
    for (target, broker) in
        [(Target::Any, 1), (Target::Controller, 2), (Target::Broker(3), 3), (Target::Leader(Arc::from(TOPIC), 0), 3)]
    {
        let id = world.client.call(world.now, admin::describe_cluster().to(target));
        world.run();
        let sent = world.next(ApiKey::DescribeCluster);
        assert_eq!(world.broker_of(&sent), broker);
        world.answer(&sent, &DescribeClusterResponse { cluster_id: "c", ..Default::default() });
        let answer = world.client.take_answer(id).unwrap().unwrap();
        assert_eq!(admin::cluster_described(&answer).unwrap().unwrap().id, "c");
    }
}

#[test]
fn a_call_that_changes_nothing_is_made_again() {
    let mut world = World::ready(&[1], |_| {});
    let id = world.client.call(world.now, admin::describe_cluster());
    world.run();
    let sent = world.next(ApiKey::DescribeCluster);
    world.break_connection(sent.connection);
    world.pass(Duration::from_secs(1));
    let sent = world.next(ApiKey::DescribeCluster);
    world.answer(&sent, &DescribeClusterResponse::default());
    assert!(world.client.take_answer(id).unwrap().is_ok());
}

#[test]
fn a_call_that_changes_something_is_made_once() {
    let mut world = World::ready(&[1], |_| {});
    let id = world.client.call(world.now, admin::delete_topics(vec!["t".to_owned()]));
    world.run();
    let sent = world.next(ApiKey::DeleteTopics);
    world.break_connection(sent.connection);
    world.pass(Duration::from_secs(1));
    assert!(world.sent.is_empty());
    let error = world.client.take_answer(id).unwrap().unwrap_err();
    assert!(matches!(error, CallError::Unknown(ApiKey::DeleteTopics, _)), "{error:?}");
    assert!(error.to_string().contains("is not known"), "{error}");
}

#[test]
fn a_call_ends_at_its_deadline() {
    let mut world = World::ready(&[1], |config| config.request_timeout = Duration::from_secs(5));
    let id = world.client.call(world.now, admin::describe_cluster().to(Target::Broker(9)));
    world.pass(Duration::from_millis(4990));
    assert!(world.client.take_answer(id).is_none());
    world.pass(Duration::from_millis(20));
    let error = world.client.take_answer(id).unwrap().unwrap_err();
    assert_eq!(error, CallError::TimedOut(ApiKey::DescribeCluster, None));
}

#[test]
fn a_call_that_times_out_says_what_went_wrong() {
    let mut world = World::new(|config| config.request_timeout = Duration::from_secs(2));
    let id = world.client.call(world.now, admin::describe_cluster());
    for _ in 0..10 {
        world.poll();
        if let Some((id, _)) = world.connecting.pop_front() {
            world.client.closed(world.now, id, ConnectionError::Broken("connection refused".to_owned()));
        }
        world.now += Duration::from_millis(300);
    }
    let error = world.client.take_answer(id).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "no broker answered DescribeCluster in time: b:9001: connection refused");
}

#[test]
fn what_the_broker_lacks_is_said_at_once() {
    let mut world = World::new(|_| {});
    world.versions.retain(|api| api.api_key != ApiKey::DescribeCluster.key());
    let id = world.client.call(world.now, admin::describe_cluster());
    world.run();
    let error = world.client.take_answer(id).unwrap().unwrap_err();
    assert_eq!(error, CallError::Unsendable(SendError::Unsupported(ApiKey::DescribeCluster)));
}

#[test]
fn requests_say_what_their_version_can_say() {
    use corelog_wire::api::delete_topics::DeleteTopicsRequest;
    for (max, by_state) in [(5, 0), (6, 2)] {
        let mut world = World::new(|_| {});
        let delete = |api: &&mut ApiVersion| api.api_key == ApiKey::DeleteTopics.key();
        world.versions.iter_mut().find(delete).unwrap().max_version = max;
        world.client.call(world.now, admin::delete_topics(vec!["a".to_owned(), "b".to_owned()]));
        world.run();
        let sent = world.next(ApiKey::DeleteTopics);
        let request: DeleteTopicsRequest<'_> = sent.decode();
        assert_eq!((request.topics.len(), request.topic_names.len()), (by_state, 2 - by_state));
    }
}
