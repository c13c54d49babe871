//! Sends records: batches per partition, at most once or exactly as often as they were given, in order.
//!
//! Invariants:
//! - Every record that was accepted is reported once, with the offset it got or with why it has none, in a [`Delivery`].
//! - The batches of a partition get their sequence numbers in the order in which they are first sent, and keep them when
//!   they are sent again. While one of them is to be sent again, nothing behind it is sent before it is through.
//! - A batch that is too large for its topic is sent again in two, which keep its numbers.
//! - The first batch of a partition, or under a producer id, is through before the second is sent.
//! - When a batch of an idempotent producer is given up, the numbers behind it would leave a gap. Everything under way is
//!   waited for, then a new producer id begins at 0; what was sent under the old one without an answer is given up, too.
//! - Record bytes are copied once into their batch, and once more by the frame that carries it.

mod lane;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use corelog_wire::api::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use corelog_wire::compression::Compression;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::NewRecord;

use crate::cluster::{Cluster, Tag};
use crate::connection::{Answer, ConnectionError, SendError};
use crate::limits::{EXPIRY_CHECK, REQUESTS_IN_FLIGHT_MAX, RETRY_BACKOFF};
use crate::partitioner::partition_of;
use lane::{Batch, Lane};

/// Who must have a record before it counts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nobody: it counts as delivered when it was sent, and its offset stays unknown.
    None,
    /// The leader.
    Leader,
    /// Every replica in sync.
    All,
}

impl Acks {
    /// The number on the wire.
    pub fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How records are sent.
#[derive(Clone, Copy, Debug)]
pub struct ProducerConfig {
    /// Who must have them.
    pub acks: Acks,
    /// How batches are compressed.
    pub compression: Compression,
    /// The codec's level, where not its default.
    pub compression_level: Option<i32>,
    /// How long a batch waits for more records.
    pub linger: Duration,
    /// A batch that has this many bytes waits no longer.
    pub batch_bytes: usize,
    /// How many bytes of batches a request has at most, unless one batch alone has more.
    pub request_bytes_max: usize,
    /// How many produce requests are under way to one broker, at most [`REQUESTS_IN_FLIGHT_MAX`].
    pub requests_in_flight: usize,
    /// How many bytes of records may wait to be delivered.
    pub buffer_bytes: usize,
    /// How long a record may take from here to its delivery, tries included.
    pub delivery_timeout: Duration,
    /// How long the replicas in sync may take.
    pub replicas_timeout: Duration,
    /// Whether the broker is to recognise what is sent twice (KIP-98). Needs [`Acks::All`].
    pub idempotent: bool,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            compression: Compression::None,
            compression_level: None,
            linger: Duration::from_millis(5),
            batch_bytes: 256 << 10,
            request_bytes_max: 1 << 20,
            requests_in_flight: REQUESTS_IN_FLIGHT_MAX,
            buffer_bytes: 32 << 20,
            delivery_timeout: Duration::from_secs(120),
            replicas_timeout: Duration::from_secs(30),
            idempotent: true,
        }
    }
}

/// Why a record was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too much waits to be delivered: come again when something was.
    Full,
    /// The topic's partitions are not known yet: come again when metadata came.
    Unknown,
    /// The topic has no such partition.
    NoPartition,
}

/// Why a batch was not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryError {
    /// The broker refused it, in its own words where it has any.
    Refused(ErrorCode, Option<String>),
    /// Time was up. With what the last try met, if there was one; the records may have been written all the same.
    TimedOut(Option<String>),
    /// The broker lacks what is needed to send it.
    Unsendable(SendError),
}

impl std::fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(error, None) => error.fmt(f),
            Self::Refused(error, Some(words)) => write!(f, "{error}: {words}"),
            Self::TimedOut(None) => f.write_str("there was no broker to send it to in time"),
            Self::TimedOut(Some(last)) => write!(f, "it was not delivered in time; the last try met {last}"),
            Self::Unsendable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DeliveryError {}

/// What became of a batch.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset of the first record, the others follow; -1 with [`Acks::None`]. Or why there is none.
    pub result: Result<i64, DeliveryError>,
    /// What the records were given with, in their order.
    pub tokens: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// None is wanted.
    Anonymous,
    /// None there; once nothing is under way, it is asked for.
    Missing {
        not_before: Duration,
    },
    UnderWay,
    Known {
        id: i64,
        epoch: i16,
    },
}

/// A produce request under way.
#[derive(Debug)]
struct Request {
    broker: i32,
    /// The batches and their lanes, in the order of the request.
    batches: Vec<(usize, Batch)>,
}

/// Where keyless records of a topic go at the moment, and its lanes by partition.
#[derive(Debug, Default)]
struct TopicLanes {
    lanes: Vec<Option<usize>>,
    sticky: Option<i32>,
}

/// The producer.
#[derive(Debug)]
pub(crate) struct Producer {
    config: ProducerConfig,
    identity: Identity,
    topics: BTreeMap<Arc<str>, TopicLanes>,
    lanes: Vec<Lane>,
    /// Lanes with something to send, by leader; each at most once in all.
    ready: BTreeMap<i32, VecDeque<usize>>,
    /// Lanes with something to send whose leader is not known.
    leaderless: Vec<usize>,
    /// Open batches by the end of their wait, which is the order in which they were opened.
    lingering: VecDeque<(Duration, usize, u64)>,
    /// Lanes that wait for another try.
    backing_off: VecDeque<(Duration, usize)>,
    requests: BTreeMap<u64, Request>,
    in_flight: BTreeMap<i32, usize>,
    next_serial: u64,
    buffered_bytes: usize,
    next_expiry: Duration,
    /// The `changes` of the cluster that leaders were looked up in.
    seen_changes: u64,
    sticky_turn: usize,
    is_flushing: bool,
    deliveries: VecDeque<Delivery>,
}

impl Producer {
    pub(crate) fn new(config: ProducerConfig) -> Self {
        assert!((1..=REQUESTS_IN_FLIGHT_MAX).contains(&config.requests_in_flight), "one to five requests under way");
        assert!(!config.idempotent || config.acks == Acks::All, "an idempotent producer waits for all replicas");
        let identity =
            if config.idempotent { Identity::Missing { not_before: Duration::ZERO } } else { Identity::Anonymous };
        Self {
            config,
            identity,
            topics: BTreeMap::new(),
            lanes: Vec::new(),
            ready: BTreeMap::new(),
            leaderless: Vec::new(),
            lingering: VecDeque::new(),
            backing_off: VecDeque::new(),
            requests: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_serial: 0,
            buffered_bytes: 0,
            next_expiry: Duration::ZERO,
            seen_changes: 0,
            sticky_turn: 0,
            is_flushing: false,
            deliveries: VecDeque::new(),
        }
    }

    /// Accepts a record. Without a partition, its key decides; without a key, it goes where the last one went, until that
    /// batch is closed.
    pub(crate) fn accept(
        &mut self,
        now: Duration,
        cluster: &mut Cluster,
        topic: &str,
        partition: Option<i32>,
        record: &NewRecord<'_>,
        token: u64,
    ) -> Result<(), Refusal> {
        let size = lane::record_size(record);
        if self.buffered_bytes > 0 && self.buffered_bytes + size > self.config.buffer_bytes {
            return Err(Refusal::Full);
        }
        let Some(count) = cluster.metadata.partition_count(topic) else {
            cluster.metadata.want(topic);
            return Err(Refusal::Unknown);
        };
        if partition
            .is_some_and(|partition| usize::try_from(partition).is_ok_and(|index| index >= count) || partition < 0)
        {
            return Err(Refusal::NoPartition);
        }
        let partition = match (partition, record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, count),
            (None, None) => self.sticky(topic, count),
        };
        let index = self.lane(cluster, topic, partition);
        if self.lanes[index].would_overflow(size, self.config.batch_bytes) {
            self.close(cluster, index);
        }
        self.buffered_bytes += size;
        let lane = &mut self.lanes[index];
        if lane.append(now, &self.config, record, size, token, self.next_serial) {
            self.lingering.push_back((now + self.config.linger, index, self.next_serial));
            self.next_serial += 1;
        }
        if lane.is_full(self.config.batch_bytes) {
            self.close(cluster, index);
        }
        Ok(())
    }

    fn sticky(&mut self, topic: &str, count: usize) -> i32 {
        let turn = self.sticky_turn;
        match self.topics.get_mut(topic) {
            Some(lanes) => *lanes.sticky.get_or_insert((turn % count) as i32),
            None => (turn % count) as i32,
        }
    }

    fn lane(&mut self, cluster: &mut Cluster, topic: &str, partition: i32) -> usize {
        let index = partition as usize;
        if let Some(Some(lane)) = self.topics.get(topic).and_then(|topic| topic.lanes.get(index)) {
            return *lane;
        }
        let name = cluster.metadata.want(topic);
        let topic = self.topics.entry(name.clone()).or_default();
        if topic.lanes.len() <= index {
            topic.lanes.resize(index + 1, None);
        }
        let lane = self.lanes.len();
        topic.lanes[index] = Some(lane);
        self.lanes.push(Lane::new(name, partition));
        lane
    }

    /// Closes the open batch of a lane, and makes the lane ready.
    fn close(&mut self, cluster: &Cluster, index: usize) {
        let lane = &mut self.lanes[index];
        if !lane.close() {
            return;
        }
        let (topic, partition) = (lane.topic.clone(), lane.partition);
        let topic = self.topics.get_mut(&topic).expect("a lane has a topic");
        if topic.sticky == Some(partition) {
            topic.sticky = None;
            self.sticky_turn += 1;
        }
        self.enqueue(cluster, index);
    }

    /// Puts a lane where it is sent from, if it can send.
    fn enqueue(&mut self, cluster: &Cluster, index: usize) {
        let lane = &mut self.lanes[index];
        if lane.is_queued || !lane.can_send(&self.config) {
            return;
        }
        lane.is_queued = true;
        match cluster.metadata.leader(&lane.topic, lane.partition) {
            Some((leader, _)) => self.ready.entry(leader).or_default().push_back(index),
            None => self.leaderless.push(index),
        }
    }

    /// Sends what can be sent.
    pub(crate) fn poll(&mut self, now: Duration, cluster: &mut Cluster) {
        self.close_lingering(now, cluster);
        while self.backing_off.front().is_some_and(|(at, _)| *at <= now) {
            let (_, index) = self.backing_off.pop_front().expect("looked at");
            self.lanes[index].is_backing_off = false;
            self.enqueue(cluster, index);
        }
        if now >= self.next_expiry && self.buffered_bytes > 0 {
            self.next_expiry = now + EXPIRY_CHECK;
            self.expire(now, cluster);
        }
        if self.seen_changes != cluster.changes {
            self.seen_changes = cluster.changes;
            self.look_up_leaders(cluster);
        }
        if !self.leaderless.is_empty() {
            cluster.metadata.mark_stale();
        }
        if self.ready.is_empty() || !self.has_identity(now, cluster) {
            return;
        }
        for broker in self.ready.keys().copied().collect::<Vec<_>>() {
            self.send_to(now, cluster, broker);
        }
        self.ready.retain(|_, lanes| !lanes.is_empty());
    }

    fn close_lingering(&mut self, now: Duration, cluster: &Cluster) {
        while let Some((at, index, serial)) = self.lingering.front().copied() {
            let is_open = self.lanes[index].open_serial() == Some(serial);
            if is_open && at > now && !self.is_flushing {
                break;
            }
            self.lingering.pop_front();
            if is_open {
                self.close(cluster, index);
            }
        }
    }

    fn look_up_leaders(&mut self, cluster: &Cluster) {
        let queued = std::mem::take(&mut self.ready).into_values().flatten();
        for index in queued.chain(std::mem::take(&mut self.leaderless)).collect::<Vec<_>>() {
            self.lanes[index].is_queued = false;
            self.enqueue(cluster, index);
        }
    }

    /// Whether batches can be given numbers, or need none. Asks for an identity where it lacks and nothing is under way.
    fn has_identity(&mut self, now: Duration, cluster: &mut Cluster) -> bool {
        match self.identity {
            Identity::Anonymous | Identity::Known { .. } => return true,
            Identity::UnderWay => return false,
            Identity::Missing { not_before } if now < not_before || !self.requests.is_empty() => return false,
            Identity::Missing { .. } => {}
        }
        let deadline = cluster.request_deadline(now);
        // Without a transaction its timeout says nothing, but brokers check it.
        let request = InitProducerIdRequest { transaction_timeout_ms: 60_000, ..Default::default() };
        if let Some(connection) = cluster.any(now) {
            match connection.send(&request, i16::MAX, Some(deadline), Tag::ProducerId) {
                Ok(_) => self.identity = Identity::UnderWay,
                Err(error) => self.fail_all(&DeliveryError::Unsendable(error)),
            }
        }
        false
    }

    /// Takes the answer to the request for a producer id.
    pub(crate) fn identified(&mut self, now: Duration, result: &Result<Answer, ConnectionError>) {
        self.identity = Identity::Missing { not_before: now + RETRY_BACKOFF };
        let Ok(answer) = result else { return };
        let Ok(response) = answer.decode::<InitProducerIdResponse>() else { return };
        match response.error_code {
            ErrorCode::NONE => {
                self.identity = Identity::Known { id: response.producer_id, epoch: response.producer_epoch };
                self.lanes.iter_mut().for_each(Lane::restart_numbers);
                self.give_up_doubtful();
            }
            error if error.is_retriable() => {}
            error => self.fail_all(&DeliveryError::Refused(error, None)),
        }
    }

    /// Gives up what was sent under an old producer id without an answer: under the new one it could be written twice.
    fn give_up_doubtful(&mut self) {
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            let (doubtful, sound) = lane.waiting.drain(..).partition::<Vec<_>, _>(|batch| batch.may_be_written);
            lane.waiting.extend(sound);
            for batch in doubtful {
                let reason = batch.last_failure.clone();
                self.deliver(index, batch, Err(DeliveryError::TimedOut(reason)));
            }
        }
    }

    /// Gives up everything that waits.
    fn fail_all(&mut self, error: &DeliveryError) {
        for index in 0..self.lanes.len() {
            self.lanes[index].close();
            while let Some(batch) = self.lanes[index].waiting.pop_front() {
                self.deliver(index, batch, Err(error.clone()));
            }
        }
    }

    /// Gives up batches that waited too long.
    fn expire(&mut self, now: Duration, cluster: &Cluster) {
        let timeout = self.config.delivery_timeout;
        for index in 0..self.lanes.len() {
            let lane = &mut self.lanes[index];
            if lane.open_since().is_some_and(|since| since + timeout <= now) {
                self.close(cluster, index);
            }
            while self.lanes[index].waiting.front().is_some_and(|batch| batch.opened_at + timeout <= now) {
                let batch = self.lanes[index].waiting.pop_front().expect("looked at");
                let reason = batch.last_failure.clone().or_else(|| unreachable_leader(cluster, &self.lanes[index]));
                self.give_up(now, index, batch, DeliveryError::TimedOut(reason));
            }
        }
    }

    /// Reports a batch that is not tried again.
    fn give_up(&mut self, now: Duration, index: usize, batch: Batch, error: DeliveryError) {
        if batch.has_number() && matches!(self.identity, Identity::Known { .. }) {
            self.identity = Identity::Missing { not_before: now };
        }
        self.deliver(index, batch, Err(error));
    }

    fn deliver(&mut self, index: usize, batch: Batch, result: Result<i64, DeliveryError>) {
        self.buffered_bytes -= batch.record_bytes;
        let lane = &self.lanes[index];
        self.deliveries.push_back(Delivery {
            topic: lane.topic.clone(),
            partition: lane.partition,
            result,
            tokens: batch.tokens,
        });
    }

    /// What became of batches.
    pub(crate) fn take_delivery(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }

    /// Whether everything that was accepted was reported.
    pub(crate) fn is_drained(&self) -> bool {
        self.buffered_bytes == 0 && self.deliveries.is_empty()
    }

    /// Whether batches wait for no more records.
    pub(crate) fn set_flushing(&mut self, is_flushing: bool) {
        self.is_flushing = is_flushing;
    }

    /// The bytes of records that wait to be delivered.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// When [`Self::poll`] has something to do.
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        if self.buffered_bytes == 0 {
            return None;
        }
        let lingering = self.lingering.front().map(|(at, ..)| *at);
        let backing_off = self.backing_off.front().map(|(at, _)| *at);
        let identity = match self.identity {
            Identity::Missing { not_before } if self.requests.is_empty() => Some(not_before),
            _ => None,
        };
        // If it is due, a connection is what lacks, and that is an event.
        let identity = identity.filter(|at| *at > now);
        [lingering, backing_off, identity, Some(self.next_expiry)].into_iter().flatten().min()
    }
}

/// Why the leader of a lane cannot be reached, if that is so.
fn unreachable_leader(cluster: &Cluster, lane: &Lane) -> Option<String> {
    match cluster.metadata.leader(&lane.topic, lane.partition) {
        None => {
            let error = cluster.metadata.topic(&lane.topic)?.error?;
            Some(if error.is_none() { "a partition without a leader".to_owned() } else { error.to_string() })
        }
        Some((leader, _)) => {
            let address = cluster.metadata.broker(leader)?;
            let (_, error) = cluster.failures().find(|(failed, _)| *failed == address)?;
            Some(format!("broker {leader} at {address}: {error}"))
        }
    }
}
