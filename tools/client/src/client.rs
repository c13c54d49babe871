//! A whole client without sockets and without a clock: events in, actions out.
//!
//! ```text
//! opened, received, closed -> Client -> poll -> Connect, Send, Close
//!                               |
//!                               +-> deliveries, read events, group events, answers to calls
//! ```
//!
//! Time is a parameter, a duration since any moment that its owner chose; it never goes back. After every event, and when
//! [`Client::deadline`] has come, [`Client::poll`] is called and its actions are done.

use std::time::Duration;

use corelog_wire::record_batch::NewRecord;

use crate::address::Address;
use crate::call::{Call, CallError, CallId, Calls};
use crate::cluster::{Action, Cluster, ConnectionId, Tag};
use crate::connection::{Answer, ConnectionError};
use crate::consumer::{Consumer, ConsumerConfig, Position, ReadError, ReadEvent};
use crate::group_member::{GroupConfig, GroupEvent, GroupMember};
use crate::metadata::Metadata;
use crate::producer::{Delivery, Producer, ProducerConfig, Refusal};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// What it calls itself; brokers log it.
    pub client_id: String,
    /// Where to begin: brokers that tell about all others.
    pub bootstrap: Vec<Address>,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Whether the cluster may create a topic that the client wants and that is not there.
    pub may_create_topics: bool,
    /// How it writes.
    pub producer: ProducerConfig,
    /// How it reads.
    pub consumer: ConsumerConfig,
}

impl ClientConfig {
    /// The defaults.
    pub fn new(bootstrap: Vec<Address>) -> Self {
        Self {
            client_id: "corelog".to_owned(),
            bootstrap,
            request_timeout: Duration::from_secs(30),
            may_create_topics: false,
            producer: ProducerConfig::default(),
            consumer: ConsumerConfig::default(),
        }
    }
}

/// A client.
#[derive(Debug)]
pub struct Client {
    cluster: Cluster,
    producer: Producer,
    consumer: Consumer,
    group: Option<GroupMember>,
    calls: Calls,
}

impl Client {
    /// A client that knows nothing yet. Panics if there is no address to begin with, or if the producer's settings
    /// contradict each other.
    pub fn new(config: ClientConfig) -> Self {
        let ClientConfig { client_id, bootstrap, request_timeout, may_create_topics, producer, consumer } = config;
        Self {
            cluster: Cluster::new(&client_id, bootstrap, request_timeout, may_create_topics),
            producer: Producer::new(producer),
            consumer: Consumer::new(consumer),
            group: None,
            calls: Calls::default(),
        }
    }

    /// A connection that was asked for is open.
    pub fn opened(&mut self, now: Duration, id: ConnectionId) {
        self.cluster.opened(now, id);
    }

    /// Room to read bytes of a connection into; never empty. None if the client has given the connection up.
    pub fn room(&mut self, id: ConnectionId) -> Option<&mut [u8]> {
        self.cluster.room(id)
    }

    /// So many bytes were read into that room.
    pub fn received(&mut self, now: Duration, id: ConnectionId, count: usize) {
        self.cluster.received(now, id, count);
        self.settle(now);
    }

    /// A connection broke, or could not be opened.
    pub fn closed(&mut self, now: Duration, id: ConnectionId, error: ConnectionError) {
        self.cluster.closed(now, id, error);
        self.settle(now);
    }

    /// Gives what became of requests to whoever made them.
    fn settle(&mut self, now: Duration) {
        while self.cluster.has_outcomes() {
            for (tag, result) in self.cluster.take_outcomes() {
                match tag {
                    Tag::Metadata => self.cluster.metadata_answered(now, &result),
                    Tag::ProducerId => self.producer.identified(now, &result),
                    Tag::Produce(serial) => self.producer.answered(now, &mut self.cluster, serial, &result),
                    Tag::Offsets(serial) => self.consumer.offsets_answered(now, &mut self.cluster, serial, &result),
                    Tag::Fetch(serial) => self.consumer.fetch_answered(now, &mut self.cluster, serial, &result),
                    Tag::Call(id) => self.calls.answered(id, result),
                    Tag::Group(serial) => {
                        if let Some(group) = &mut self.group {
                            group.answered(now, &mut self.cluster, &mut self.consumer, serial, &result);
                        }
                    }
                }
            }
        }
    }

    /// Does what is to be done now, and adds what is to be done with sockets to `actions`.
    pub fn poll(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.cluster.tick(now);
        self.settle(now);
        self.calls.poll(now, &mut self.cluster);
        self.producer.poll(now, &mut self.cluster);
        if let Some(group) = &mut self.group {
            group.poll(now, &mut self.cluster, &mut self.consumer);
        }
        self.consumer.poll(now, &mut self.cluster);
        // They may have found out that what is known is old.
        self.cluster.refresh(now);
        self.cluster.take_actions(actions);
    }

    /// When [`Self::poll`] is to be called though nothing happened.
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        let producer = self.producer.deadline(now);
        let consumer = self.consumer.deadline(now);
        let group = self.group.as_ref().and_then(|group| group.deadline(now));
        [self.cluster.deadline(now), producer, consumer, group, self.calls.deadline()].into_iter().flatten().min()
    }

    /// Grows whenever there is something more to be taken: a delivery, something read, news of the group, the answer to a
    /// call. Whoever waits for one of these looks before it waits for the network.
    pub fn news(&self) -> u64 {
        let group = self.group.as_ref().map_or(0, GroupMember::news);
        self.producer.news() + self.consumer.news() + group + self.calls.news()
    }

    /// What is known about the cluster.
    pub fn metadata(&self) -> &Metadata {
        &self.cluster.metadata
    }

    /// Learns about a topic, and keeps knowing.
    pub fn want_topic(&mut self, topic: &str) {
        self.cluster.metadata.want(topic);
    }

    /// Asks again what the cluster looks like, soon.
    pub fn refresh_metadata(&mut self) {
        self.cluster.metadata.mark_stale();
    }

    /// Whether some broker can be asked.
    pub fn is_connected(&self) -> bool {
        self.cluster.is_ready()
    }

    /// Whether every address to begin with has been tried and failed, and no connection is open.
    pub fn is_unreachable(&self) -> bool {
        self.cluster.is_unreachable()
    }

    /// Addresses that could not be reached when they were last tried, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&Address, &ConnectionError)> {
        self.cluster.failures()
    }

    /// Takes a record to be sent; without a partition its key decides which. `token` comes back with the delivery.
    ///
    /// # Errors
    /// It was not taken: too much waits, the topic is not known yet, or it has no such partition.
    pub fn produce(
        &mut self,
        now: Duration,
        topic: &str,
        partition: Option<i32>,
        record: &NewRecord<'_>,
        token: u64,
    ) -> Result<(), Refusal> {
        self.producer.accept(now, &mut self.cluster, topic, partition, record, token)
    }

    /// What became of records: once for every batch.
    pub fn take_delivery(&mut self) -> Option<Delivery> {
        self.producer.take_delivery()
    }

    /// Whether batches are sent without waiting for more records.
    pub fn set_flushing(&mut self, is_flushing: bool) {
        self.producer.set_flushing(is_flushing);
    }

    /// Whether every record that was taken has been reported, and every report taken.
    pub fn is_drained(&self) -> bool {
        self.producer.is_drained()
    }

    /// How many bytes of records wait to be delivered, framing included.
    pub fn buffered_bytes(&self) -> usize {
        self.producer.buffered_bytes()
    }

    /// Reads a partition from a position on; from elsewhere, if it was read already.
    pub fn assign(&mut self, topic: &str, partition: i32, position: Position) {
        self.consumer.assign(&mut self.cluster, topic, partition, position);
    }

    /// Stops reading a partition; what was read of it and not taken yet is dropped.
    pub fn unassign(&mut self, topic: &str, partition: i32) {
        self.consumer.unassign(topic, partition);
    }

    /// The offset that is read next, once it is known.
    pub fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        self.consumer.position(topic, partition)
    }

    /// What was read. A partition is read on when this was taken.
    pub fn take_read(&mut self) -> Option<ReadEvent> {
        loop {
            let event = self.consumer.take_event()?;
            match (&event, &mut self.group) {
                (ReadEvent::Failed { topic, partition, error: ReadError::OutOfRange(offset) }, Some(group))
                    if group.has(topic, *partition) =>
                {
                    self.consumer.assign(&mut self.cluster, topic, *partition, group.reset());
                    group.tell(GroupEvent::OutOfRange(topic.clone(), *partition, *offset));
                }
                _ => return Some(event),
            }
        }
    }

    /// Joins a group, whose partitions are then read as it is told; what is read of them comes from [`Self::take_read`].
    /// Panics if it has joined one already.
    pub fn join_group(&mut self, config: GroupConfig) {
        assert!(self.group.is_none(), "a client is a member of one group");
        self.group = Some(GroupMember::new(config, &mut self.cluster));
    }

    /// What became of the membership.
    pub fn take_group_event(&mut self) -> Option<GroupEvent> {
        self.group.as_mut()?.take_event()
    }

    /// Says that everything of a partition in front of `next` was dealt with, so that this is committed; the epoch is that of
    /// the [records](crate::consumer::Fetched::leader_epoch), or -1. Says whether the partition is still the member's own.
    pub fn consumed(&mut self, topic: &str, partition: i32, next: i64, leader_epoch: i32) -> bool {
        self.group.as_mut().is_some_and(|group| group.consumed(topic, partition, next, leader_epoch))
    }

    /// Commits what was dealt with, soon.
    pub fn commit_group(&mut self) {
        if let Some(group) = &mut self.group {
            group.commit_soon();
        }
    }

    /// Whether everything that was dealt with is committed.
    pub fn is_group_committed(&self) -> bool {
        self.group.as_ref().is_none_or(GroupMember::is_committed)
    }

    /// Whether the group has told the member what to read, and nothing is under way that would change it.
    pub fn is_group_settled(&self) -> bool {
        self.group.as_ref().is_some_and(GroupMember::is_settled)
    }

    /// The partitions that the group gave to this member.
    pub fn group_partitions(&self) -> impl Iterator<Item = &(std::sync::Arc<str>, i32)> {
        self.group.iter().flat_map(GroupMember::partitions)
    }

    /// Commits what was dealt with and leaves the group, within `timeout`; [`GroupEvent::Left`] says when that is done.
    pub fn leave_group(&mut self, now: Duration, timeout: Duration) {
        if let Some(group) = &mut self.group {
            group.leave(now, &mut self.cluster, &mut self.consumer, timeout);
        }
    }

    /// Whether this client is a member of no group, nor about to become one.
    pub fn is_out_of_group(&self) -> bool {
        self.group.as_ref().is_none_or(GroupMember::is_out)
    }

    /// Begins a call.
    pub fn call(&mut self, now: Duration, call: Call) -> CallId {
        self.calls.begin(now, &mut self.cluster, call)
    }

    /// The end of a call, if it has ended; it is given once.
    pub fn take_answer(&mut self, id: CallId) -> Option<Result<Answer, CallError>> {
        self.calls.take(id)
    }
}

#[cfg(test)]
mod tests;
