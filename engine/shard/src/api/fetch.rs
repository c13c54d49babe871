//! Fetch: record batches go from the log to a consumer, as they are.
//!
//! A fetch goes through three stages. It *waits* until there are enough bytes, its time is up, or something is wrong;
//! then it is *due*, and reads when its answer is the next to leave its connection; and it is *reading* while the disk
//! brings what is not in memory. Only the last stage holds records.
//!
//! Invariants: an answer is as large as the client's limits and the broker's own say, but for the first batch, which
//! comes whole whatever its size, so that no consumer gets stuck; nothing at or above the high watermark is sent.
//!
//! Followers do not fetch here: they have a listener of their own. Partitions of other shards: [`shares`].

pub(crate) mod shares;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use corelog_replication::ids::PartitionIndex;
use corelog_replication::metadata::{BrokerImage, MetadataImage, TopicImage};
use corelog_wire::api::fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, ForgottenTopic,
    LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use corelog_wire::array::Array;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;
use corelog_wire::primitives::Records;

use super::list_offsets::check_leader_epoch;
use super::sharing::{Place, place};
use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us};
use crate::fetch_session::{FetchContext, FetchPartition, NO_SESSION, News, SessionRequest, TopicKey};
use crate::front::{Context, Shared};
use crate::io::FileRange;
use crate::log::{Fetched, Logs, PartitionId, Read, ReadId, SegmentRange};
use crate::mesh::ShardIndex;
use crate::quota::Client;
use bytes::Bytes;
use shares::{Ours, Theirs};

/// The first version that names topics by id.
const FIRST_WITH_IDS: i16 = 13;
/// The first version whose answer can say where leaders are (KIP-951).
const FIRST_WITH_ENDPOINTS: i16 = 16;
/// The first version with an error for the whole request.
const FIRST_WITH_ERROR: i16 = 7;
/// The isolation level "read committed".
const READ_COMMITTED: i8 = 1;
/// No offset.
const NONE: i64 = -1;
/// The leader epoch of a client that does not say which one it knows.
const UNKNOWN_EPOCH: i32 = -1;
/// No records.
const NOTHING: Fetched = Fetched::Memory(Vec::new());

/// A fetch on its way through its stages.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    context: FetchContext,
    partitions: Vec<FetchPartition>,
    /// What is known of each of them.
    found: Vec<Found>,
    min_bytes: u64,
    max_bytes: usize,
    is_read_committed: bool,
    /// Bytes that could be sent, as counted while waiting.
    available: u64,
    stage: Stage,
    /// What other shards have to bring.
    theirs: Vec<Theirs>,
    /// Bytes of records that they brought.
    joined_bytes: usize,
    /// It is a share of another shard's fetch.
    ours: Option<Ours>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// `is_fresh`: what was found still holds.
    Due {
        is_fresh: bool,
    },
    /// So many reads did not end yet; those that did brought at most so many bytes.
    Reading {
        outstanding: usize,
        held_bytes: usize,
    },
}

/// A partition of a fetch, as far as it is known.
#[derive(Debug)]
pub(crate) struct Found {
    id: Option<PartitionId>,
    /// The other shard that has it.
    there: Option<ShardIndex>,
    error: ErrorCode,
    /// Bytes counted as available.
    counted: u64,
    high_watermark: i64,
    log_start_offset: i64,
    /// Where the client's log and ours part: epoch and its end offset.
    diverging: Option<(i32, i64)>,
    /// Who leads the partition, where the client has it wrong.
    leader: Option<(i32, i32)>,
    records: Fetched,
}

impl Found {
    fn refused(error: ErrorCode) -> Self {
        Self {
            id: None,
            there: None,
            error,
            counted: 0,
            high_watermark: NONE,
            log_start_offset: NONE,
            diverging: None,
            leader: None,
            records: NOTHING,
        }
    }

    /// What of it is sent from a file.
    fn record_bytes(&self) -> usize {
        match &self.records {
            Fetched::InPlace(found) => found.range.len,
            Fetched::Memory(pieces) => pieces.iter().map(Bytes::len).sum(),
        }
    }

    fn in_place(&self) -> Option<SegmentRange> {
        match self.records {
            Fetched::InPlace(found) => Some(found),
            Fetched::Memory(_) => None,
        }
    }

    /// Whether waiting may help: clients that ask for what does not exist are not answered faster than others.
    fn is_unknown(&self) -> bool {
        matches!(self.error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID)
    }

    fn fail(&mut self, error: ErrorCode) {
        *self = Self { leader: self.leader, there: self.there, ..Self::refused(error) };
    }

    fn news(&self) -> News {
        News {
            error: self.error,
            high_watermark: self.high_watermark,
            log_start_offset: self.log_start_offset,
            has_records: self.records != NOTHING,
            diverges: self.diverging.is_some(),
        }
    }
}

/// Finds the partitions and decides whether to wait.
pub(crate) fn handle(shared: &mut Shared, cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<FetchRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let forgotten = request.forgotten_topics_data.iter().map(|topic| 1 + topic.partitions.len()).sum::<usize>();
    let wanted = request.topics.iter().map(|topic| 1 + topic.partitions.len()).sum::<usize>();
    if let Err(reason) = call.check_entries(wanted + forgotten) {
        return Outcome::Close(reason);
    }
    let to = call.to;
    let replica_id = if to.version >= 15 { request.replica_state.replica_id } else { request.replica_id };
    if replica_id >= 0 {
        return match to.version >= FIRST_WITH_ERROR {
            true => refuse(&to, ErrorCode::CLUSTER_AUTHORIZATION_FAILED, NO_SESSION),
            false => Outcome::Close(String::from("followers do not fetch on this listener")),
        };
    }
    let uses_topic_ids = to.version >= FIRST_WITH_IDS;
    let mut partitions = wanted_partitions(&request, uses_topic_ids);
    let session = SessionRequest { id: request.session_id, epoch: request.session_epoch, uses_topic_ids };
    let forgotten = forgotten_partitions(request.forgotten_topics_data, uses_topic_ids);
    let context = match shared.sessions.begin(now_ms(cx), session, &mut partitions, forgotten) {
        Ok(context) => context,
        Err(error) => return refuse(&to, error, NO_SESSION),
    };
    // More than the client's quota allows in all windows but one could never be sent.
    let quota_bytes_max = cx.quotas.fetch_bytes_max(to.client).unwrap_or(usize::MAX);
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(cx.config.fetch_bytes_max).min(quota_bytes_max);
    let pending = Pending {
        to,
        context,
        found: Vec::with_capacity(partitions.len()),
        partitions,
        min_bytes: u64::try_from(request.min_bytes).unwrap_or(0).min(max_bytes as u64),
        max_bytes,
        is_read_committed: request.isolation_level == READ_COMMITTED,
        available: 0,
        stage: Stage::Waiting,
        theirs: Vec::new(),
        joined_bytes: 0,
        ours: None,
    };
    let deadline_us = deadline_us(cx.now.monotonic_us, request.max_wait_ms.into());
    pending.begin(cx, request.max_wait_ms <= 0, Some(deadline_us))
}

fn now_ms(cx: &Context<'_>) -> u64 {
    cx.now.monotonic_us / 1_000
}

fn wanted_partitions(request: &FetchRequest<'_>, uses_topic_ids: bool) -> Vec<FetchPartition> {
    let mut partitions = Vec::with_capacity(request.topics.iter().map(|topic| topic.partitions.len()).sum());
    for topic in request.topics {
        let key = topic_key(topic.topic, topic.topic_id, uses_topic_ids);
        partitions.extend(topic.partitions.iter().map(|partition| FetchPartition {
            topic: key.clone(),
            partition: partition.partition,
            fetch_offset: partition.fetch_offset,
            max_bytes: partition.partition_max_bytes,
            current_leader_epoch: partition.current_leader_epoch,
            last_fetched_epoch: partition.last_fetched_epoch,
        }));
    }
    partitions
}

fn forgotten_partitions<'a>(
    topics: Array<'a, ForgottenTopic<'a>>,
    uses_topic_ids: bool,
) -> impl Iterator<Item = (TopicKey, i32)> + 'a {
    topics.into_iter().flat_map(move |topic| {
        let key = topic_key(topic.topic, topic.topic_id, uses_topic_ids);
        topic.partitions.into_iter().map(move |partition| (key.clone(), partition))
    })
}

fn topic_key(name: &str, id: TopicId, uses_topic_ids: bool) -> TopicKey {
    if uses_topic_ids { TopicKey::Id(id) } else { TopicKey::Name(Arc::from(name)) }
}

/// An answer without partitions.
fn refuse(to: &ReplyTo, error_code: ErrorCode, session_id: i32) -> Outcome {
    to.answer(&FetchResponse { error_code, session_id, ..FetchResponse::default() })
}

/// What the broker knows of a partition that a client wants, before any record is read.
fn find(cx: &Context<'_>, wanted: &FetchPartition) -> Found {
    let image = cx.metadata.image();
    let topic = match find_topic(image, &wanted.topic) {
        Ok(topic) => topic,
        Err(error) => return Found::refused(error),
    };
    let Some(assignment) = topic.partition(PartitionIndex(wanted.partition)) else {
        return Found::refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    };
    let leader = Some((assignment.leader.0, assignment.leader_epoch.0));
    let id = match place(cx, topic, assignment) {
        Place::Here(id) => id,
        Place::There(shard) => return Found { there: Some(shard), ..Found::refused(ErrorCode::NONE) },
        Place::Nowhere => return Found { leader, ..Found::refused(ErrorCode::NOT_LEADER_OR_FOLLOWER) },
    };
    // Every negative epoch says nothing here; in ListOffsets only -1 does.
    if let Err(error) = check_leader_epoch(cx, id, wanted.current_leader_epoch.max(UNKNOWN_EPOCH)) {
        // Only a client that is behind has to hear who leads.
        let leader = leader.filter(|_| error == ErrorCode::FENCED_LEADER_EPOCH);
        return Found { leader, ..Found::refused(error) };
    }
    let (log_start, log_end) = (cx.logs.log_start_offset(id), cx.logs.log_end_offset(id));
    let diverging = match diverging_epoch(cx, id, wanted) {
        Ok(diverging) => diverging,
        Err(error) => return Found::refused(error),
    };
    if diverging.is_none() && !(log_start..=log_end).contains(&wanted.fetch_offset) {
        return Found::refused(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    Found {
        id: Some(id),
        there: None,
        error: ErrorCode::NONE,
        counted: 0,
        high_watermark: cx.logs.high_watermark(id),
        log_start_offset: log_start,
        diverging,
        leader: None,
        records: NOTHING,
    }
}

fn find_topic<'i>(image: &'i MetadataImage, key: &TopicKey) -> Result<&'i Arc<TopicImage>, ErrorCode> {
    match key {
        TopicKey::Id(id) => image.topic_by_id(*id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID),
        TopicKey::Name(name) => image.topic_by_name(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    }
}

/// Where the client's log and ours part, if the epoch that it fetched last says that they do (KIP-595).
///
/// # Errors
/// OFFSET_OUT_OF_RANGE for an offset below the log start, whatever the epochs say, and for an epoch above ours, whose end
/// nobody here knows.
fn diverging_epoch(
    cx: &Context<'_>,
    id: PartitionId,
    wanted: &FetchPartition,
) -> Result<Option<(i32, i64)>, ErrorCode> {
    let fetched_epoch = wanted.last_fetched_epoch;
    if fetched_epoch < 0 {
        return Ok(None);
    }
    let partition = cx.logs.partition(id);
    if fetched_epoch > partition.leader_epoch || wanted.fetch_offset < partition.log_start {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    let starts = partition.epochs.starts();
    let after = starts.partition_point(|start| start.epoch <= fetched_epoch);
    // The last epoch that is not above the client's, and where it ends in our log. The client's own, where ours are all
    // above it: it ended before the first of them began.
    let epoch = after.checked_sub(1).map_or(fetched_epoch, |index| starts[index].epoch);
    let end_offset = starts.get(after).map_or(partition.log_end, |next| next.start_offset);
    let diverges = epoch < fetched_epoch || end_offset < wanted.fetch_offset;
    Ok(diverges.then_some((epoch, end_offset)))
}

/// What a partition counts towards the bytes a client waits for.
fn count(logs: &Logs, found: &Found, wanted: &FetchPartition, min_bytes: u64) -> u64 {
    let Some(id) = found.id.filter(|_| found.diverging.is_none()) else { return 0 };
    if wanted.fetch_offset >= logs.high_watermark(id) {
        return 0;
    }
    // The partition's own limit does not count below what is waited for: the first batch comes whole anyway.
    let limit = u64::try_from(wanted.max_bytes).unwrap_or(0).max(min_bytes);
    logs.available_bytes(id, wanted.fetch_offset).min(limit)
}

impl Pending {
    /// Waits, at most until the deadline, or is due at once.
    fn begin(mut self, cx: &Context<'_>, is_due: bool, deadline_us: Option<u64>) -> Outcome {
        self.find_all(cx);
        self.note_shares();
        let has_anything = self.found.iter().any(|found| !found.is_unknown());
        let is_pressing = |found: &Found| !found.error.is_none() && !found.is_unknown() || found.diverging.is_some();
        let is_due = is_due || self.available >= self.min_bytes || !has_anything || self.found.iter().any(is_pressing);
        let mut wait = Wait { weight: self.weight(), ..Wait::default() };
        if is_due {
            self.stage = Stage::Due { is_fresh: true };
        } else {
            wait.deadline_us = deadline_us;
            let watched = self.found.iter().enumerate().filter_map(|(index, found)| Some((found.id?, index)));
            wait.partitions = watched.collect();
        }
        Outcome::Wait(Parked::Fetch(self), wait)
    }

    fn find_all(&mut self, cx: &Context<'_>) {
        let before = core::mem::replace(&mut self.found, Vec::with_capacity(self.partitions.len()));
        let is_first = before.is_empty();
        let mut before = before.into_iter();
        self.available = self.available_there();
        for wanted in &self.partitions {
            let mut found = match before.next() {
                Some(known) if known.there.is_some() => {
                    self.found.push(known);
                    continue;
                }
                _ => find(cx, wanted),
            };
            if found.there.is_some() && (self.ours.is_some() || !is_first) {
                // Another topic has taken the name: the client learns of it.
                found = Found::refused(ErrorCode::NOT_LEADER_OR_FOLLOWER);
            }
            found.counted = count(cx.logs, &found, wanted, self.min_bytes);
            self.available += found.counted;
            self.found.push(found);
        }
    }

    fn weight(&self) -> usize {
        (core::mem::size_of::<FetchPartition>() + core::mem::size_of::<Found>()) * self.partitions.len()
    }

    /// A partition has more records. Returns whether there are enough now.
    pub(crate) fn advanced(&mut self, logs: &Logs, index: usize) -> bool {
        let counted = count(logs, &self.found[index], &self.partitions[index], self.min_bytes);
        self.available = self.available - self.found[index].counted + counted;
        self.found[index].counted = counted;
        self.available >= self.min_bytes
    }

    /// It waits for nothing but its turn any more.
    pub(crate) fn set_due(&mut self) {
        if self.stage == Stage::Waiting {
            self.stage = Stage::Due { is_fresh: false };
        }
    }

    /// It may be some time until it reads: what was found must be looked at again.
    pub(crate) fn outdate(&mut self) {
        if let Stage::Due { is_fresh } = &mut self.stage {
            *is_fresh = false;
        }
    }

    /// Whether it is to read when its turn comes.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self.stage, Stage::Due { .. })
    }

    /// Bytes that reads have brought and that were not sent yet.
    pub(crate) fn held_bytes(&self) -> usize {
        let read = match self.stage {
            Stage::Reading { held_bytes, .. } => held_bytes,
            Stage::Waiting | Stage::Due { .. } => 0,
        };
        read + self.joined_bytes
    }

    /// Whether everything is read that it was to read.
    pub(crate) fn has_read_all(&self) -> bool {
        matches!(self.stage, Stage::Reading { outstanding: 0, .. })
    }

    /// Whether it reads.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.stage, Stage::Reading { .. })
    }

    /// Reads what is in memory and asks the disk for the rest: reads, with the entry and the most bytes of each. So many
    /// of them may leave their batches in place.
    pub(crate) fn read(
        &mut self,
        cx: &mut Context<'_>,
        bytes_max: usize,
        mut in_place_max: usize,
    ) -> Vec<(ReadId, usize, usize)> {
        if self.stage != (Stage::Due { is_fresh: true }) {
            self.find_all(cx);
        }
        let mut left = self.part_of(self.max_bytes.min(bytes_max));
        let mut whole_first = true;
        let mut reads = Vec::new();
        for (index, (wanted, found)) in self.partitions.iter().zip(&mut self.found).enumerate() {
            let Some(id) = found.id.filter(|_| found.diverging.is_none()) else { continue };
            let limit = usize::try_from(wanted.max_bytes).unwrap_or(0).min(left);
            if wanted.fetch_offset >= found.high_watermark || limit == 0 && !whole_first {
                continue;
            }
            let in_place = in_place_max > 0;
            match cx.logs.read(id, wanted.fetch_offset, limit, whole_first, in_place, cx.actions) {
                Read::Records { segments, bytes } => {
                    left = left.saturating_sub(bytes);
                    whole_first = whole_first && bytes == 0;
                    found.records = Fetched::Memory(segments);
                }
                Read::Pending(read) => {
                    let available = cx.logs.available_bytes(id, wanted.fetch_offset);
                    let expected = usize::try_from(available).unwrap_or(usize::MAX).min(limit);
                    reads.push((read, index, expected));
                    left = left.saturating_sub(expected);
                    whole_first = false;
                    in_place_max = in_place_max.saturating_sub(1);
                }
                Read::OutOfRange => found.fail(ErrorCode::OFFSET_OUT_OF_RANGE),
                Read::Failed(error) => found.fail(error),
            }
        }
        self.stage = Stage::Reading { outstanding: reads.len() + self.open_shares(), held_bytes: 0 };
        reads
    }

    /// A read came to an end. Returns whether it was the last one.
    pub(crate) fn read_ended(&mut self, index: usize, bytes: usize, result: &Result<Fetched, ErrorCode>) -> bool {
        let Stage::Reading { outstanding, held_bytes } = &mut self.stage else {
            panic!("only a fetch that reads has reads")
        };
        *outstanding -= 1;
        *held_bytes += bytes;
        let is_last = *outstanding == 0;
        match result {
            Ok(fetched) => self.found[index].records = fetched.clone(),
            Err(error) => self.found[index].fail(*error),
        }
        is_last
    }

    /// What was read and is in files that are open for it. They belong to the answer if that names them.
    pub(crate) fn in_place(&self) -> Vec<SegmentRange> {
        self.found.iter().filter_map(Found::in_place).collect()
    }

    /// Whose quota it counts towards.
    pub(crate) fn client(&self) -> Client {
        self.to.client
    }

    /// How many bytes of records it has found.
    pub(crate) fn record_bytes(&self) -> usize {
        self.found.iter().map(Found::record_bytes).sum()
    }

    /// Answers a client that has fetched more than it may: with nothing but how long it is held back. Its session stays as it
    /// is (KIP-219).
    pub(crate) fn hold_back(self, throttle_ms: u32) -> Outcome {
        let session_id = match self.context {
            FetchContext::Incremental { id, .. } => id,
            FetchContext::Sessionless | FetchContext::Full { .. } => NO_SESSION,
        };
        let throttle_time_ms = i32::try_from(throttle_ms).unwrap_or(i32::MAX);
        self.to.answer_throttled(&FetchResponse { session_id, throttle_time_ms, ..Default::default() }, throttle_ms)
    }

    /// Answers with what was read: the client, or the shard whose fetch it is.
    pub(crate) fn answer(mut self, shared: &mut Shared, cx: &Context<'_>) -> Outcome {
        if let Some(ours) = self.ours.take() {
            return self.answer_home(ours);
        }
        self.keep_within_limit();
        let news: Vec<News> = self.found.iter().map(Found::news).collect();
        let mut send = vec![true; news.len()];
        let session_id = match shared.sessions.finish(now_ms(cx), &self.context, &self.partitions, &news, &mut send) {
            Ok(session_id) => session_id,
            Err(error) => {
                let FetchContext::Incremental { id, .. } = self.context else { unreachable!("only these expire") };
                return refuse(&self.to, error, id);
            }
        };
        let sent =
            || self.partitions.iter().zip(&self.found).zip(&send).filter(|(_, send)| **send).map(|(sent, _)| sent);
        let data: Vec<PartitionData<'_>> = sent().map(|(wanted, found)| self.partition_data(wanted, found)).collect();
        let mut responses: Vec<FetchableTopicResponse<'_>> = Vec::new();
        let mut first = 0;
        let keys: Vec<&TopicKey> = sent().map(|(wanted, _)| &wanted.topic).collect();
        // Partitions of a topic that stand together are sent together; their order says who comes first next time.
        for run in keys.chunk_by(|a, b| a == b) {
            let (topic, topic_id) = match run[0] {
                TopicKey::Id(id) => ("", *id),
                TopicKey::Name(name) => (&**name, TopicId::ZERO),
            };
            let partitions = data[first..first + run.len()].into();
            responses.push(FetchableTopicResponse { topic, topic_id, partitions });
            first += run.len();
        }
        let endpoints = self.endpoints(cx);
        let response = FetchResponse {
            session_id,
            responses: (&responses).into(),
            node_endpoints: (&endpoints).into(),
            ..FetchResponse::default()
        };
        let ranges: Vec<FileRange> =
            sent().filter_map(|(_, found)| found.in_place()).map(|found| found.range).collect();
        match ranges.is_empty() {
            true => self.to.answer(&response),
            false => self.to.answer_from_files(&response, &ranges),
        }
    }

    fn partition_data<'s>(&'s self, wanted: &FetchPartition, found: &'s Found) -> PartitionData<'s> {
        let current_leader = match found.leader {
            Some((leader_id, leader_epoch)) if self.to.version >= FIRST_WITH_ENDPOINTS => {
                LeaderIdAndEpoch { leader_id, leader_epoch }
            }
            _ => LeaderIdAndEpoch::default(),
        };
        let diverging_epoch = match found.diverging {
            Some((epoch, end_offset)) => EpochEndOffset { epoch, end_offset },
            None => EpochEndOffset::default(),
        };
        PartitionData {
            partition_index: wanted.partition,
            error_code: self.error_for_client(found.error),
            high_watermark: found.high_watermark,
            // Without transactions everything below the high watermark is stable.
            last_stable_offset: found.high_watermark,
            log_start_offset: found.log_start_offset,
            diverging_epoch,
            current_leader,
            aborted_transactions: self.aborted_transactions(found),
            records: Some(match &found.records {
                Fetched::Memory(segments) => Records::Segments(segments),
                Fetched::InPlace(found) => Records::Elsewhere(found.range.len),
            }),
            ..PartitionData::default()
        }
    }

    /// Null, but for what is read committed, where nothing is ever aborted, and, as in Kafka, for what does not exist.
    fn aborted_transactions(&self, found: &Found) -> Option<Array<'static, AbortedTransaction>> {
        let is_read = found.error.is_none() && found.diverging.is_none();
        (is_read && self.is_read_committed || found.is_unknown()).then_some(Array::EMPTY)
    }

    /// Clients before version 6 do not know the error of a disk, and come back after this one.
    fn error_for_client(&self, error: ErrorCode) -> ErrorCode {
        match error {
            ErrorCode::KAFKA_STORAGE_ERROR if self.to.version < 6 => ErrorCode::NOT_LEADER_OR_FOLLOWER,
            error => error,
        }
    }

    /// Where the leaders are that the answer names.
    fn endpoints<'c>(&self, cx: &'c Context<'_>) -> Vec<NodeEndpoint<'c>> {
        if self.to.version < FIRST_WITH_ENDPOINTS || self.found.iter().all(|found| found.leader.is_none()) {
            return Vec::new();
        }
        let named = |id: i32| self.found.iter().any(|found| found.leader.is_some_and(|(leader, _)| leader == id));
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

#[cfg(test)]
mod tests;
