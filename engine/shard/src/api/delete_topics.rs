//! DeleteTopics: every topic of a request succeeds or fails on its own.
//!
//! The decision is the controller's (`corelog-replication`). What may go is proposed, one entry of the metadata log per
//! topic, and answered once this shard has applied it: who has the answer finds nothing of the topic, and its name is free.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use corelog_replication::controller::{self, DeletionResult, Rejection, TopicToDelete};
use corelog_replication::quorum::ProposalId;
use corelog_wire::api::delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::TopicId;

use super::create_topics::quota_exceeded;
use super::{Call, Outcome, Parked, ReplyTo, Wait, deadline_us};
use crate::front::Context;
use crate::limits;

/// The first version whose clients know TOPIC_DELETION_DISABLED.
const FIRST_WITH_DISABLED: i16 = 3;
/// The first version whose clients know THROTTLING_QUOTA_EXCEEDED.
const FIRST_WITH_THROTTLING: i16 = 5;
/// The first version in which a topic may be named by its id.
const FIRST_WITH_IDS: i16 = 6;

/// A request whose topics are being deleted.
#[derive(Debug)]
pub(crate) struct Pending {
    to: ReplyTo,
    topics: Vec<DeletionResult>,
    waiting: BTreeMap<ProposalId, usize>,
    throttle_ms: u32,
}

/// Proposes the deletions that may be.
pub(crate) fn handle(cx: &mut Context<'_>, call: &Call<'_>) -> Outcome {
    let request = match call.decode::<DeleteTopicsRequest<'_>>() {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let topics: Vec<TopicToDelete<'_>> = if call.to.version >= FIRST_WITH_IDS {
        request.topics.iter().map(|topic| TopicToDelete { name: topic.name, topic_id: topic.topic_id }).collect()
    } else {
        request.topic_names.iter().map(|name| TopicToDelete { name: Some(name), topic_id: TopicId::ZERO }).collect()
    };
    if let Err(reason) = call.check_entries(topics.len()) {
        return Outcome::Close(reason);
    }
    if !cx.config.delete_topics {
        return refuse_all(&call.to, &topics);
    }
    let topics = controller::delete_topics(cx.metadata.image(), &topics);
    let mut pending = Pending { to: call.to, topics, waiting: BTreeMap::new(), throttle_ms: 0 };
    for (index, topic) in pending.topics.iter_mut().enumerate() {
        if topic.outcome.is_ok() {
            let strict = call.to.version >= FIRST_WITH_THROTTLING;
            let found = cx.metadata.image().topic_by_id(topic.topic_id);
            let partitions = found.map_or(0, |topic| topic.partitions().len());
            let taken = cx.quotas.take_mutations(call.to.client, partitions, strict, cx.now.monotonic_us);
            pending.throttle_ms = pending.throttle_ms.max(taken.throttle_ms);
            if taken.refused {
                topic.outcome = Err(quota_exceeded());
            }
        }
        if let Ok(records) = &mut topic.outcome {
            match cx.metadata.propose(&core::mem::take(records)) {
                Ok(proposal) => {
                    pending.waiting.insert(proposal, index);
                }
                Err(error) => topic.outcome = Err(error.into()),
            }
        }
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
    Outcome::Wait(Parked::DeleteTopics(pending), wait)
}

/// Topics are not to be deleted here. Nothing is looked at: every entry is answered as it stands.
fn refuse_all<'a>(to: &ReplyTo, topics: &[TopicToDelete<'a>]) -> Outcome {
    let error_code = match to.version >= FIRST_WITH_DISABLED {
        true => ErrorCode::TOPIC_DELETION_DISABLED,
        false => ErrorCode::INVALID_REQUEST,
    };
    let result = |topic: &TopicToDelete<'a>| DeletableTopicResult {
        name: topic.name,
        topic_id: topic.topic_id,
        error_code,
        error_message: None,
    };
    let responses: Vec<_> = topics.iter().map(result).collect();
    to.answer(&DeleteTopicsResponse { responses: (&responses).into(), ..DeleteTopicsResponse::default() })
}

impl Pending {
    /// A proposal was decided. Returns whether it was the last one.
    pub(crate) fn decided(&mut self, proposal: ProposalId, outcome: &Result<(), Rejection>) -> bool {
        if let Some(index) = self.waiting.remove(&proposal)
            && let Err(rejection) = outcome
        {
            self.topics[index].outcome = Err(rejection.clone());
        }
        self.waiting.is_empty()
    }

    /// The client waits no longer. Topics that are not decided may go later.
    pub(crate) fn expired(mut self) -> Outcome {
        for index in core::mem::take(&mut self.waiting).into_values() {
            let message = "the topic is still being deleted".to_string();
            self.topics[index].outcome = Err(Rejection { code: ErrorCode::REQUEST_TIMED_OUT, message });
        }
        self.answer()
    }

    /// Answers with what became of every topic.
    pub(crate) fn answer(self) -> Outcome {
        let version = self.to.version;
        let responses: Vec<_> = self.topics.iter().map(|topic| response(version, topic)).collect();
        let throttle_time_ms = i32::try_from(self.throttle_ms).unwrap_or(i32::MAX);
        let response = DeleteTopicsResponse { responses: (&responses).into(), throttle_time_ms };
        self.to.answer_throttled(&response, self.throttle_ms)
    }
}

fn response(version: i16, topic: &DeletionResult) -> DeletableTopicResult<'_> {
    let result = DeletableTopicResult {
        name: topic.name.as_deref(),
        topic_id: topic.topic_id,
        error_code: ErrorCode::NONE,
        error_message: None,
    };
    let Err(rejection) = &topic.outcome else { return result };
    let error_code = match rejection.code {
        // Somebody else was faster. That there are ids is not known to these clients.
        ErrorCode::UNKNOWN_TOPIC_ID if version < FIRST_WITH_IDS => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::THROTTLING_QUOTA_EXCEEDED if version < FIRST_WITH_THROTTLING => ErrorCode::REQUEST_TIMED_OUT,
        code => code,
    };
    DeletableTopicResult { error_code, error_message: Some(&rejection.message), ..result }
}

#[cfg(test)]
mod tests;
