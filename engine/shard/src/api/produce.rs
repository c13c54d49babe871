//! Produce: record batches go from a request's frame into the log; the answer leaves when they are durable.
//!
//! Every partition succeeds or fails on its own. A request whose records the log has no room for waits in the middle and
//! goes on with the next partition, so that no request is too large for the journal. Records are looked at where they lie in the frame and handed to the log
//! as a slice of it; nothing is allocated per record. Transactions are not there yet: what belongs to one is refused.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use corelog_replication::ids::PartitionIndex;
use corelog_replication::metadata::{BrokerImage, TopicImage};
use corelog_wire::api::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, ProduceRequest,
    ProduceResponse, TopicProduceData, TopicProduceResponse,
};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::record_batch::{
    self, BatchRejection, Depth, ProduceRules, RecordBatch, RecordError, Reencoding, Validated,
};

use super::sharing::{Place, ShareAnswer, place};
use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us, metadata};
use crate::config::TopicConfig;
use crate::front::Context;
use crate::limits;
use crate::log::{AckPoint, AppendRefused, Durability, PartitionId};
use crate::mesh::ShardIndex;
use crate::quota::Kind;

/// Kafka's admin client; it alone may write to internal topics.
const ADMIN_CLIENT_ID: &str = "__admin_client";
/// The first version that names topics by id (KIP-516).
const FIRST_WITH_IDS: i16 = 13;
/// The first version whose answer can say where leaders are (KIP-951).
const FIRST_WITH_ENDPOINTS: i16 = 10;
/// The offset and the times of a partition that did not get its records.
const NONE: i64 = -1;

/// A request whose records are in the log, as far as it got, and not durable yet.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    is_share: bool,
    acks: i16,
    topics: Vec<TopicResult>,
    /// The partitions of all topics.
    partitions: Vec<PartitionResult>,
    /// Other shards that have not answered for their partitions.
    awaits: Vec<ShardIndex>,
    /// What this shard appended counts as acknowledged.
    is_acknowledged: bool,
}

#[derive(Debug)]
struct TopicResult {
    name: TopicName,
    partitions: Range<usize>,
}

/// How the answer names a topic.
#[derive(Debug)]
enum TopicName {
    Known(Arc<TopicImage>),
    Unknown { name: String, id: TopicId },
}

/// What became of the records of one partition.
#[derive(Debug)]
pub(crate) struct PartitionResult {
    index: i32,
    /// The other shard that has, or had, to say so.
    there: Option<ShardIndex>,
    /// This shard has the partition.
    is_ours: bool,
    error: ErrorCode,
    base_offset: i64,
    log_append_time_ms: i64,
    log_start_offset: i64,
    ack: AckPoint,
    /// Who leads the partition, where it is somebody else.
    leader: Option<(i32, i32)>,
    refusal: Option<Box<Refusal>>,
}

/// Why a partition did not get its records.
#[derive(Debug)]
struct Refusal {
    message: String,
    record_errors: Vec<RecordError>,
}

/// A request for whose next partition the log has no room, or the turn no time.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pending: Pending,
    /// Bytes that the log must have room for.
    pub(crate) next_bytes: usize,
    /// What is begun of that partition.
    work: Option<Box<Work>>,
}

/// A batch that is being brought into the topic's codec.
#[derive(Debug)]
struct Work {
    validated: Validated,
    reencoding: Reencoding,
}

/// What became of a partition of a request for now.
enum Step {
    Done(PartitionResult),
    /// The turn has no time for the rest.
    Later(Box<Work>),
}

/// What holds for all partitions of a request.
struct Terms<'a> {
    version: i16,
    client_id: Option<&'a str>,
    has_transactional_id: bool,
    acks: i16,
}

/// Appends what the request brings.
pub(crate) fn handle(cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<ProduceRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let count = request.topic_data.iter().map(|topic| topic.partition_data.len()).sum::<usize>();
    if let Err(reason) = call.check_entries(request.topic_data.len() + count) {
        return Outcome::Close(reason);
    }
    let pending = Pending {
        to: call.to,
        is_share: call.is_share,
        acks: request.acks,
        topics: Vec::with_capacity(request.topic_data.len()),
        partitions: Vec::with_capacity(count),
        awaits: Vec::new(),
        is_acknowledged: false,
    };
    pending.append(cx, call, &request, None)
}

impl Unfinished {
    /// There may be room now. `call` is the same request again.
    pub(crate) fn go_on(self, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
        match call.decode::<ProduceRequest<'_>>() {
            Ok(request) => self.pending.append(cx, call, &request, self.work),
            Err(reason) => Outcome::Close(reason),
        }
    }
}

/// Validates and appends the records of one partition. `work` is what an earlier turn has begun of it.
fn append(
    cx: &mut Context<'_>,
    terms: &Terms<'_>,
    topic: Option<&TopicImage>,
    index: i32,
    records: Option<&[u8]>,
    work: Option<Box<Work>>,
) -> Step {
    let (id, result, records) = match admit(cx, terms, topic, index, records) {
        Ok(admitted) => admitted,
        Err(result) => return Step::Done(*result),
    };
    let log_start_offset = cx.logs.log_start_offset(id);
    let refused = |result: PartitionResult| Step::Done(PartitionResult { log_start_offset, ..result });
    let config = &cx.logs.partition(id).config;
    let mut work = match work {
        Some(work) => work,
        None => {
            let rules = rules(terms.version, config, cx.now.wall_ms);
            let (batch, validated) = match record_batch::validate(records, &rules) {
                Ok(validated) => validated,
                Err(rejection) => return refused(result.rejected(rejection)),
            };
            if validated.is_transactional {
                let why = "this broker has no transactions yet";
                return Step::Done(result.refused_because(ErrorCode::INVALID_TXN_STATE, why));
            }
            match config.reencodes(validated.compression) {
                None => return Step::Done(append_batch(cx, id, result, &batch, &validated)),
                Some((to, level)) => match Reencoding::new(&batch, to, level, config.reencoded_bytes_max()) {
                    Ok(reencoding) => Box::new(Work { validated, reencoding }),
                    Err(error) => {
                        return refused(result.refused_because(ErrorCode::MESSAGE_TOO_LARGE, error.to_string()));
                    }
                },
            }
        }
    };
    let (source, _) = RecordBatch::split_from(records).expect("it was validated");
    loop {
        let may = cx.logs.may_reencode();
        if may == 0 {
            return Step::Later(work);
        }
        match work.reencoding.step(&source, may) {
            0 => break,
            bytes => cx.logs.note_reencoded(bytes),
        }
    }
    let Work { validated, reencoding } = *work;
    let bytes = reencoding.finish(&source);
    let config = &cx.logs.partition(id).config;
    if let Err((error, message)) = check_size(config, bytes.len()) {
        return refused(result.refused_because(error, message));
    }
    let (batch, _) = RecordBatch::split_from(&bytes).expect("it was just written");
    Step::Done(append_batch(cx, id, result, &batch, &validated.reencoded(&batch)))
}

/// Whether the records may go to the log of that partition, and where it is.
fn admit<'r>(
    cx: &Context<'_>,
    terms: &Terms<'_>,
    topic: Option<&TopicImage>,
    index: i32,
    records: Option<&'r [u8]>,
) -> Result<(PartitionId, PartitionResult, &'r [u8]), Box<PartitionResult>> {
    let mut result = PartitionResult::new(index);
    let Some(topic) = topic else {
        return Err(Box::new(result.refused(unknown_topic(terms.version))));
    };
    let Some(assignment) = topic.partition(PartitionIndex(index)) else {
        return Err(Box::new(result.refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)));
    };
    let id = match place(cx, topic, assignment) {
        Place::Here(id) => {
            result.is_ours = true;
            id
        }
        Place::There(shard) => return Err(Box::new(PartitionResult { there: Some(shard), ..result })),
        Place::Nowhere => {
            let leader = (assignment.leader.0, assignment.leader_epoch.0);
            return Err(Box::new(PartitionResult {
                leader: Some(leader),
                ..result.refused(ErrorCode::NOT_LEADER_OR_FOLLOWER)
            }));
        }
    };
    if !matches!(terms.acks, -1..=1) {
        let message = format!("acks is {}, not 0, 1 or -1 (all)", terms.acks);
        return Err(Box::new(result.refused_because(ErrorCode::INVALID_REQUIRED_ACKS, message)));
    }
    if terms.has_transactional_id {
        return Err(Box::new(
            result.refused_because(ErrorCode::INVALID_TXN_STATE, "this broker has no transactions yet"),
        ));
    }
    if metadata::is_internal(topic.name()) && terms.client_id != Some(ADMIN_CLIENT_ID) {
        return Err(Box::new(
            result.refused_because(ErrorCode::INVALID_TOPIC_EXCEPTION, "clients may not write to internal topics"),
        ));
    }
    let Some(records) = records else {
        return Err(Box::new(result.refused_because(ErrorCode::INVALID_RECORD, "the records are null")));
    };
    let config = &cx.logs.partition(id).config;
    // As in Kafka, a partition never needs more replicas in sync than it has. Those in sync are this one alone so far.
    let needed = assignment.replicas.len().min(usize::try_from(config.min_insync_replicas).unwrap_or(usize::MAX));
    if terms.acks == -1 && needed > 1 {
        let message = format!("one replica is in sync, min.insync.replicas asks for {needed}");
        return Err(Box::new(result.refused_because(ErrorCode::NOT_ENOUGH_REPLICAS, message)));
    }
    match check_size(config, records.len()) {
        Ok(()) => Ok((id, result, records)),
        Err((error, message)) => Err(Box::new(result.refused_because(error, message))),
    }
}

/// Whether a topic takes a batch of that size.
fn check_size(config: &TopicConfig, size: usize) -> Result<(), (ErrorCode, String)> {
    let max = config.max_message_bytes;
    if size > max {
        let message = format!("the record batch has {size} bytes, max.message.bytes of the topic is {max}");
        return Err((ErrorCode::MESSAGE_TOO_LARGE, message));
    }
    let max = config.segment_bytes;
    if size as u64 > max {
        let message = format!("the record batch has {size} bytes, segment.bytes of the topic is {max}");
        return Err((ErrorCode::RECORD_LIST_TOO_LARGE, message));
    }
    Ok(())
}

fn append_batch(
    cx: &mut Context<'_>,
    id: PartitionId,
    result: PartitionResult,
    batch: &RecordBatch<'_>,
    validated: &Validated,
) -> PartitionResult {
    match cx.logs.append(cx.now, id, batch, validated) {
        Ok(appended) => PartitionResult {
            base_offset: appended.base_offset,
            log_append_time_ms: appended.log_append_time_ms,
            log_start_offset: appended.log_start_offset,
            ack: appended.ack,
            ..result
        },
        Err(AppendRefused { error, message }) => {
            let log_start_offset = cx.logs.log_start_offset(id);
            PartitionResult { log_start_offset, ..result.refused_because(error, message) }
        }
    }
}

fn unknown_topic(version: i16) -> ErrorCode {
    match version >= FIRST_WITH_IDS {
        true => ErrorCode::UNKNOWN_TOPIC_ID,
        false => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    }
}

fn rules(produce_version: i16, config: &TopicConfig, now_ms: i64) -> ProduceRules {
    let defaults = ProduceRules::default();
    ProduceRules {
        produce_version,
        depth: Depth::AllRecords,
        keys_required: config.cleanup_policy.compact,
        timestamp_type: config.timestamp_type(),
        now_ms,
        timestamp_before_max_ms: config.timestamp_before_max_ms,
        timestamp_after_max_ms: config.timestamp_after_max_ms,
        decompressed_record_bytes_max: config.max_decompressed_record_bytes,
        decompressed_bytes_max: match config.compression {
            Some(_) => config.reencoded_bytes_max().min(defaults.decompressed_bytes_max),
            None => defaults.decompressed_bytes_max,
        },
        ..defaults
    }
}

impl Pending {
    /// Appends what is not appended yet.
    fn append(
        mut self,
        cx: &mut Context<'_>,
        call: &Call<'_>,
        request: &ProduceRequest<'_>,
        mut work: Option<Box<Work>>,
    ) -> Outcome {
        let terms = Terms {
            version: call.to.version,
            client_id: call.client_id,
            has_transactional_id: request.transactional_id.is_some(),
            acks: request.acks,
        };
        let mut first = 0;
        for (position, topic) in request.topic_data.iter().enumerate() {
            let end = first + topic.partition_data.len();
            if position < self.topics.len() && end <= self.partitions.len() {
                first = end;
                continue;
            }
            let image = cx.metadata.image();
            let known = match terms.version >= FIRST_WITH_IDS {
                true => image.topic_by_id(topic.topic_id),
                false => image.topic_by_name(topic.name),
            };
            let known = known.cloned();
            if position == self.topics.len() {
                let name = known.clone().map_or_else(|| TopicName::unknown(&topic), TopicName::Known);
                self.topics.push(TopicResult { name, partitions: first..end });
            }
            for partition in topic.partition_data.iter().skip(self.partitions.len() - first) {
                let next_bytes = partition.records.map_or(0, <[u8]>::len);
                let is_ours = known.as_ref().is_some_and(|topic| cx.seat.owns(topic.id(), partition.index));
                if is_ours && !cx.logs.can_accept(next_bytes) {
                    return Outcome::NoRoom(Unfinished { pending: self, next_bytes, work });
                }
                match append(cx, &terms, known.as_deref(), partition.index, partition.records, work.take()) {
                    Step::Done(result) => {
                        if let Some(topic) = known.as_deref().filter(|_| result.is_ours && !result.error.is_none()) {
                            cx.logs.note_refused(topic.id(), partition.index);
                        }
                        self.partitions.push(result);
                    }
                    Step::Later(work) => {
                        return Outcome::NoRoom(Unfinished { pending: self, next_bytes, work: Some(work) });
                    }
                }
            }
            first = end;
        }
        self.after_append(cx, request)
    }

    /// Everything of this shard is appended: answers at once where nothing has to become durable first.
    fn after_append(mut self, cx: &mut Context<'_>, request: &ProduceRequest<'_>) -> Outcome {
        self.note_shares();
        let ack = self.partitions.iter().fold(AckPoint::NOW, |ack, partition| join(ack, partition.ack));
        self.is_acknowledged = self.acks == 0 || cx.logs.reached(ack);
        if self.is_complete() {
            return self.answer(cx);
        }
        let wait_ms = i64::from(request.timeout_ms).max(limits::PRODUCE_WAIT_MS_MIN as i64);
        let weight = core::mem::size_of::<PartitionResult>() * self.partitions.len();
        let wait = Wait {
            // Kafka's leader does not let a client wait for itself, only for followers.
            deadline_us: (request.acks == -1 && !self.is_share).then(|| deadline_us(cx.now.monotonic_us, wait_ms)),
            ack: (!self.is_acknowledged).then_some(ack),
            weight,
            shares: self.awaits.clone(),
            ..Wait::default()
        };
        Outcome::Wait(Parked::Produce(self), wait)
    }

    /// Other shards own some of the partitions. In a share they are nobody's business here.
    fn note_shares(&mut self) {
        if !self.is_share {
            self.awaits.extend(self.partitions.iter().filter_map(|partition| partition.there));
            self.awaits.sort_unstable();
            self.awaits.dedup();
        }
    }

    fn is_complete(&self) -> bool {
        self.is_acknowledged && self.awaits.is_empty()
    }

    /// Everything of this shard is durable. Returns whether the answer is complete.
    pub(crate) fn acknowledged(&mut self) -> bool {
        self.is_acknowledged = true;
        self.is_complete()
    }

    /// Another shard has done its share. Returns whether the answer is complete.
    pub(crate) fn joined(&mut self, from: ShardIndex, results: Vec<(usize, PartitionResult)>) -> bool {
        self.awaits.retain(|shard| *shard != from);
        for partition in self.partitions.iter_mut().filter(|partition| partition.there == Some(from)) {
            // The topic was deleted meanwhile, unless there is a result.
            partition.error = unknown_topic(self.to.version);
        }
        for (entry, result) in results {
            // Its acknowledgement has been waited for there.
            self.partitions[entry] = PartitionResult { ack: AckPoint::NOW, there: Some(from), ..result };
        }
        self.is_complete()
    }

    /// The client waits no longer: what is not durable now counts as timed out. It is in the log nevertheless.
    pub(crate) fn expired(mut self, cx: &mut Context<'_>) -> Outcome {
        for partition in &mut self.partitions {
            let is_done = match partition.there {
                Some(shard) => !self.awaits.contains(&shard),
                None => cx.logs.reached(partition.ack),
            };
            if partition.error.is_none() && !is_done {
                let index = partition.index;
                let timed_out = PartitionResult::new(index).refused(ErrorCode::REQUEST_TIMED_OUT);
                *partition = PartitionResult { base_offset: partition.base_offset, ..timed_out };
            }
        }
        self.answer(cx)
    }

    /// Answers the client, or the shard whose request it is.
    pub(crate) fn answer(self, cx: &mut Context<'_>) -> Outcome {
        if self.is_share {
            let ours = self.partitions.into_iter().enumerate().filter(|(_, partition)| partition.is_ours);
            return Outcome::Share(ShareAnswer::Produce(ours.collect()));
        }
        if self.acks == 0 {
            // Nobody listens to an answer: a closed connection is how a client learns of an error (as in Kafka).
            return match self.partitions.iter().find(|partition| !partition.error.is_none()) {
                Some(first) => Outcome::Close(format!("{} for a produce request with acks=0", first.error)),
                None => Outcome::Silent,
            };
        }
        self.answer_client(cx)
    }

    fn answer_client(self, cx: &mut Context<'_>) -> Outcome {
        let (client, now_us) = (self.to.client, cx.now.monotonic_us);
        let throttle_ms = cx.quotas.throttle_ms(client, Kind::Produce, now_us).max(cx.quotas.throttle_ms(
            client,
            Kind::Request,
            now_us,
        ));
        let record_errors: Vec<Vec<BatchIndexAndErrorMessage<'_>>> =
            self.partitions.iter().map(PartitionResult::record_errors).collect();
        let version = self.to.version;
        let rows = self.partitions.iter().zip(&record_errors);
        let partitions: Vec<_> = rows.map(|(partition, errors)| partition.response(version, errors)).collect();
        let responses: Vec<_> = self
            .topics
            .iter()
            .map(|topic| {
                let (name, topic_id) = topic.name.get();
                let partition_responses = partitions[topic.partitions.clone()].into();
                TopicProduceResponse { name, topic_id, partition_responses }
            })
            .collect();
        let endpoints = self.endpoints(cx);
        let response = ProduceResponse {
            responses: (&responses).into(),
            node_endpoints: (&endpoints).into(),
            throttle_time_ms: i32::try_from(throttle_ms).unwrap_or(i32::MAX),
        };
        self.to.answer_throttled(&response, throttle_ms)
    }

    /// Where the leaders are that the answer names (KIP-951).
    fn endpoints<'c>(&self, cx: &'c Context<'_>) -> Vec<NodeEndpoint<'c>> {
        let named =
            |id| self.partitions.iter().any(|partition| partition.leader.is_some_and(|(leader, _)| leader == id));
        if self.to.version < FIRST_WITH_ENDPOINTS || self.partitions.iter().all(|partition| partition.leader.is_none())
        {
            return Vec::new();
        }
        let brokers = cx.metadata.image().brokers().values().filter(|broker| named(broker.id.0));
        let endpoint = |broker: &'c BrokerImage| NodeEndpoint {
            node_id: broker.id.0,
            host: &broker.host,
            port: i32::from(broker.port),
            rack: None,
        };
        brokers.map(endpoint).collect()
    }
}

impl TopicName {
    fn unknown(topic: &TopicProduceData<'_>) -> Self {
        Self::Unknown { name: topic.name.to_string(), id: topic.topic_id }
    }

    fn get(&self) -> (&str, TopicId) {
        match self {
            Self::Known(topic) => (topic.name(), topic.id()),
            Self::Unknown { name, id } => (name, *id),
        }
    }
}

impl PartitionResult {
    fn new(index: i32) -> Self {
        Self {
            index,
            there: None,
            is_ours: false,
            error: ErrorCode::NONE,
            base_offset: NONE,
            log_append_time_ms: NONE,
            log_start_offset: NONE,
            ack: AckPoint::NOW,
            leader: None,
            refusal: None,
        }
    }

    fn refused(self, error: ErrorCode) -> Self {
        Self { error, ..self }
    }

    #[cold]
    fn refused_because(self, error: ErrorCode, message: impl Into<String>) -> Self {
        let refusal = Refusal { message: message.into(), record_errors: Vec::new() };
        Self { error, refusal: Some(Box::new(refusal)), ..self }
    }

    #[cold]
    fn rejected(self, rejection: BatchRejection) -> Self {
        let BatchRejection { code, message, record_errors } = rejection;
        Self { error: code, refusal: Some(Box::new(Refusal { message, record_errors })), ..self }
    }

    fn record_errors(&self) -> Vec<BatchIndexAndErrorMessage<'_>> {
        let errors = self.refusal.as_ref().map_or(&[][..], |refusal| &refusal.record_errors);
        errors
            .iter()
            .map(|error| BatchIndexAndErrorMessage {
                batch_index: error.index,
                batch_index_error_message: Some(&error.message),
            })
            .collect()
    }

    fn response<'r>(
        &'r self,
        version: i16,
        record_errors: &'r [BatchIndexAndErrorMessage<'r>],
    ) -> PartitionProduceResponse<'r> {
        let leader = self.leader.map(|(leader_id, leader_epoch)| LeaderIdAndEpoch { leader_id, leader_epoch });
        PartitionProduceResponse {
            index: self.index,
            error_code: self.error,
            base_offset: self.base_offset,
            log_append_time_ms: self.log_append_time_ms,
            log_start_offset: self.log_start_offset,
            record_errors: record_errors.into(),
            error_message: self.refusal.as_ref().map(|refusal| refusal.message.as_str()),
            current_leader: leader.filter(|_| version >= FIRST_WITH_ENDPOINTS).unwrap_or_default(),
        }
    }
}

/// Reached when both are, or later.
fn join(a: AckPoint, b: AckPoint) -> AckPoint {
    match (a.level, b.level) {
        (Durability::Memory, _) => b,
        (_, Durability::Memory) => a,
        (Durability::Write, Durability::Write) => AckPoint { sequence: a.sequence.max(b.sequence), level: a.level },
        _ => AckPoint { sequence: a.sequence.max(b.sequence), level: Durability::Fsync },
    }
}

#[cfg(test)]
mod tests;
