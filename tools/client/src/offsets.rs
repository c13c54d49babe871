//! Offsets of partitions, asked of their leaders: requests, answers, and one round after the other until all are known.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corelog_wire::api::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::frame::encode_request;

use crate::call::{Call, CallError, CallId, Target};
use crate::connection::Answer;
use crate::consumer::Position;
use crate::driver::Driver;
use crate::limits::RETRY_BACKOFF;

/// Offsets by partition; -1 where no record has that time.
pub type Offsets = BTreeMap<i32, i64>;

/// Why offsets are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OffsetsError {
    /// The leaders were not known, or did not answer, in time; with what they said last.
    TimedOut(Option<String>),
    /// The leader of a partition refused.
    Refused(i32, ErrorCode),
    /// It could not be asked.
    Call(CallError),
}

impl fmt::Display for OffsetsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(None) => f.write_str("a partition has no leader"),
            Self::TimedOut(Some(reason)) => f.write_str(reason),
            Self::Refused(partition, error) => write!(f, "the leader of partition {partition} answers {error}"),
            Self::Call(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OffsetsError {}

/// Asks a broker for offsets of partitions that it leads. `timestamp` is a time in ms since 1970, or a negative constant
/// of [`corelog_wire::api::list_offsets`].
pub fn list_offsets(broker: i32, topic: &Arc<str>, partitions: Vec<i32>, timestamp: i64, committed_only: bool) -> Call {
    let topic = topic.clone();
    let call = Call::new(ApiKey::ListOffsets, move |header| {
        let lines = partitions.iter().map(|partition| ListOffsetsPartition {
            partition_index: *partition,
            timestamp,
            ..Default::default()
        });
        let partitions: Vec<_> = lines.collect();
        let topics = [ListOffsetsTopic { name: &topic, partitions: (&partitions).into() }];
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: i8::from(committed_only && header.request_api_version >= 2),
            topics: (&topics).into(),
            ..Default::default()
        };
        encode_request(header, &request)
    });
    call.to(Target::Broker(broker))
}

/// The offset of a position in each of the partitions.
///
/// # Errors
/// Not all of them are known after `timeout`, or a leader refused for good.
pub fn offsets(
    driver: &mut Driver,
    topic: &str,
    partitions: &[i32],
    position: Position,
    committed_only: bool,
    timeout: Duration,
) -> Result<Offsets, OffsetsError> {
    let timestamp = position.timestamp();
    let deadline = Instant::now() + timeout;
    let name: Arc<str> = topic.into();
    let mut known = Offsets::new();
    let mut last = None;
    loop {
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        let (client, now) = driver.client_mut();
        client.want_topic(topic);
        for partition in partitions.iter().filter(|partition| !known.contains_key(*partition)) {
            if let Some((leader, _)) = client.metadata().leader(topic, *partition) {
                by_leader.entry(leader).or_default().push(*partition);
            }
        }
        let calls: Vec<CallId> = by_leader
            .into_iter()
            .map(|(leader, partitions)| {
                let mut call = list_offsets(leader, &name, partitions, timestamp, committed_only);
                call.timeout = Some(deadline.saturating_duration_since(Instant::now()));
                client.call(now, call)
            })
            .collect();
        for id in calls {
            let answer = driver.until(Duration::MAX, |client| client.take_answer(id)).expect("a call ends");
            take(&answer.map_err(OffsetsError::Call)?, &mut known, &mut last)?;
        }
        if partitions.iter().all(|partition| known.contains_key(partition)) {
            return Ok(known);
        }
        if Instant::now() >= deadline {
            return Err(OffsetsError::TimedOut(last));
        }
        driver.client_mut().0.refresh_metadata();
        driver.until(RETRY_BACKOFF, |_| None::<()>);
    }
}

/// Takes what an answer says; what is to be asked again is left out.
fn take(answer: &Answer, known: &mut Offsets, last: &mut Option<String>) -> Result<(), OffsetsError> {
    let response = match answer.decode::<ListOffsetsResponse<'_>>() {
        Ok(response) => response,
        Err(error) => {
            *last = Some(error.to_string());
            return Ok(());
        }
    };
    for partition in response.topics.iter().flat_map(|topic| topic.partitions) {
        match partition.error_code {
            ErrorCode::NONE => {
                known.insert(partition.partition_index, partition.offset);
            }
            error if error.is_retriable() => *last = Some(error.to_string()),
            error => return Err(OffsetsError::Refused(partition.partition_index, error)),
        }
    }
    Ok(())
}
