//! CreatePartitions: every topic of a request succeeds or fails on its own.
//!
//! The decision is the controller's (`corelog-replication`). What may come is proposed, one entry of the metadata log per
//! topic, and answered once this shard has applied it: who has the answer can use the partitions.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use corelog_replication::controller::{self, MorePartitions, Rejection};
use corelog_replication::quorum::ProposalId;
use corelog_wire::api::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use corelog_wire::error_code::ErrorCode;

use super::create_topics::quota_exceeded;
use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us};
use crate::front::Context;
use crate::limits;
use corelog_replication::metadata::MetadataRecord;

/// The first version whose clients know THROTTLING_QUOTA_EXCEEDED.
const FIRST_WITH_THROTTLING: i16 = 3;

/// A request whose partitions are being created.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    topics: Vec<Topic>,
    waiting: BTreeMap<ProposalId, usize>,
    throttle_ms: u32,
}

#[derive(Debug)]
struct Topic {
    name: String,
    outcome: Result<(), Rejection>,
}

/// Proposes the partitions that may be created.
pub(crate) fn handle(cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<CreatePartitionsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let replicas = |topic: CreatePartitionsTopic<'_>| {
        let assignments = topic.assignments.unwrap_or_default();
        1 + assignments.iter().map(|assignment| 1 + assignment.broker_ids.len()).sum::<usize>()
    };
    if let Err(reason) = call.check_entries(request.topics.iter().map(replicas).sum()) {
        return Outcome::Close(reason);
    }
    let topics: Vec<MorePartitions<'_>> = request.topics.iter().map(more_partitions).collect();
    let results = controller::create_partitions(cx.metadata.image(), &topics, limits::PARTITIONS_MAX);
    let mut pending =
        Pending { to: call.to, topics: Vec::with_capacity(results.len()), waiting: BTreeMap::new(), throttle_ms: 0 };
    for result in results {
        let mut outcome = result.outcome;
        if let Ok(records) = &outcome
            && !request.validate_only
        {
            let strict = call.to.version >= FIRST_WITH_THROTTLING;
            let partitions = records.iter().map(new_partitions).sum();
            let taken = cx.quotas.take_mutations(call.to.client, partitions, strict, cx.now.monotonic_us);
            pending.throttle_ms = pending.throttle_ms.max(taken.throttle_ms);
            if taken.refused {
                outcome = Err(quota_exceeded());
            }
        }
        let outcome = match outcome {
            Ok(records) if !request.validate_only => cx.metadata.propose(&records).map_err(Rejection::from).map(Some),
            outcome => outcome.map(|_| None),
        };
        if let Ok(Some(proposal)) = outcome {
            pending.waiting.insert(proposal, pending.topics.len());
        }
        pending.topics.push(Topic { name: result.name, outcome: outcome.map(|_| ()) });
    }
    if pending.waiting.is_empty() {
        return pending.answer();
    }
    let wait_ms = i64::from(request.timeout_ms).max(limits::CREATION_WAIT_MS_MIN as i64);
    let wait = Wait {
        deadline_us: Some(deadline_us(cx.now.monotonic_us, wait_ms)),
        proposals: pending.waiting.keys().copied().collect(),
        weight: call.body.remaining() * 2,
        ..Wait::default()
    };
    Outcome::Wait(Parked::CreatePartitions(pending), wait)
}

fn new_partitions(record: &MetadataRecord) -> usize {
    match record {
        MetadataRecord::MorePartitions { partitions, .. } => partitions.len(),
        _ => 0,
    }
}

fn more_partitions(topic: CreatePartitionsTopic<'_>) -> MorePartitions<'_> {
    let assignments = topic
        .assignments
        .map(|assignments| assignments.iter().map(|assignment| assignment.broker_ids.iter().collect()).collect());
    MorePartitions { name: topic.name, count: topic.count, assignments }
}

impl Pending {
    /// A proposal was decided. Returns whether it was the last one.
    pub(crate) fn decided(&mut self, proposal: ProposalId, outcome: &Result<(), Rejection>) -> bool {
        if let Some(index) = self.waiting.remove(&proposal) {
            self.topics[index].outcome = outcome.clone();
        }
        self.waiting.is_empty()
    }

    /// The client waits no longer. Partitions that are not decided may come into being later.
    pub(crate) fn expired(mut self) -> Outcome {
        for index in core::mem::take(&mut self.waiting).into_values() {
            let message = "the partitions are still being created".to_string();
            self.topics[index].outcome = Err(Rejection { code: ErrorCode::REQUEST_TIMED_OUT, message });
        }
        self.answer()
    }

    /// Answers with what became of every topic.
    pub(crate) fn answer(self) -> Outcome {
        let version = self.to.version;
        let results: Vec<_> = self.topics.iter().map(|topic| topic.response(version)).collect();
        let throttle_time_ms = i32::try_from(self.throttle_ms).unwrap_or(i32::MAX);
        let response = CreatePartitionsResponse { results: (&results).into(), throttle_time_ms };
        self.to.answer_throttled(&response, self.throttle_ms)
    }
}

impl Topic {
    fn response(&self, version: i16) -> CreatePartitionsTopicResult<'_> {
        let result = CreatePartitionsTopicResult { name: &self.name, error_code: ErrorCode::NONE, error_message: None };
        let Err(rejection) = &self.outcome else { return result };
        let error_code = match rejection.code {
            // The topic was deleted meanwhile; it was named by its name.
            ErrorCode::UNKNOWN_TOPIC_ID => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::THROTTLING_QUOTA_EXCEEDED if version < FIRST_WITH_THROTTLING => ErrorCode::REQUEST_TIMED_OUT,
            code => code,
        };
        CreatePartitionsTopicResult { error_code, error_message: Some(&rejection.message), ..result }
    }
}

#[cfg(test)]
mod tests;
