//! Offsets of the member's partitions: where the group has got to, asked when they come, and what is committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use corelog_wire::api::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use corelog_wire::api_key::ApiKey;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::frame::encode_request;
use corelog_wire::ids::TopicId;

use super::coordinator::{Verdict, nonsense, verdict};
use super::{GroupError, GroupEvent, GroupMember, NextOffsets, Phase};
use crate::cluster::Cluster;
use crate::connection::Answer;
use crate::consumer::{Consumer, Position};
use crate::groups::{self, NamedPartitions, TopicName};

/// The last version of OffsetCommit and OffsetFetch that names topics; later ones have their ids instead.
const BY_NAME_MAX: i16 = 9;

impl GroupMember {
    /// Whether requests about offsets can be sent: nothing that waits for others is in front of them.
    fn may_ask_offsets(&self) -> bool {
        let is_in_generation = matches!(self.phase, Phase::Stable | Phase::GivingUp { .. } | Phase::Leaving { .. })
            && self.generation >= 0;
        is_in_generation && self.step.is_none()
    }

    /// Asks where to read on in partitions that have come.
    pub(super) fn fetch_offsets(&mut self, now: Duration, cluster: &mut Cluster) {
        if self.fetch.is_some() || !self.may_ask_offsets() || matches!(self.phase, Phase::Leaving { .. }) {
            return;
        }
        let wanted = self.owned.iter().filter(|(_, owned)| !owned.is_placed).map(|(place, _)| place);
        let (topics, version_max) = named(cluster, wanted);
        if topics.is_empty() {
            return;
        }
        let group = &self.config.group_id;
        let deadline = cluster.request_deadline(now);
        let sent = self.ask(now, cluster, ApiKey::OffsetFetch, version_max, deadline, |header| {
            groups::encode_offset_fetch(header, group, Some(&topics), true)
        });
        // A coordinator that has no OffsetFetch has no JoinGroup.
        if let Ok(Some(serial)) = sent {
            self.fetch = Some(serial);
            self.next_serial += 1;
        }
    }

    pub(super) fn offsets_fetched(
        &mut self,
        cluster: &mut Cluster,
        consumer: &mut Consumer,
        answer: &Answer,
    ) -> Result<ErrorCode, GroupError> {
        let fetched = groups::read_offset_fetch(answer).map_err(|error| nonsense(ApiKey::OffsetFetch, error))?;
        if !fetched.error.is_none() {
            return Ok(fetched.error);
        }
        let mut worst = ErrorCode::NONE;
        for line in fetched.partitions {
            let topic: Option<Arc<str>> = match &line.topic {
                TopicName::Name(name) => Some(name.as_str().into()),
                TopicName::Id(id) => {
                    self.topics.iter().find(|topic| cluster.metadata.topic_id(topic) == Some(*id)).cloned()
                }
            };
            let Some(place) = topic.map(|topic| (topic, line.partition)) else { continue };
            let Some(owned) = self.owned.get_mut(&place).filter(|owned| !owned.is_placed) else { continue };
            if !line.error.is_none() {
                worst = line.error;
                continue;
            }
            owned.is_placed = true;
            owned.committed = (line.offset >= 0).then_some(line.offset);
            let position = owned.committed.map_or(self.config.reset, Position::Offset);
            consumer.assign(cluster, &place.0, place.1, position);
        }
        if self.owned.values().any(|owned| !owned.is_placed) && worst.is_none() {
            // It left some out: they are asked for again.
            worst = ErrorCode::COORDINATOR_LOAD_IN_PROGRESS;
        }
        if worst == ErrorCode::UNKNOWN_TOPIC_ID || worst == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
            cluster.metadata.mark_stale();
        }
        Ok(worst)
    }

    /// Commits what was dealt with, if it is time.
    pub(super) fn commit_offsets(&mut self, now: Duration, cluster: &mut Cluster) {
        let is_due = match self.phase {
            Phase::GivingUp { has_committed, .. } | Phase::Leaving { has_committed, .. } => {
                !has_committed && self.config.commit_interval.is_some()
            }
            _ => self.config.commit_interval.is_some() && self.commit_at <= now,
        };
        if self.commit.is_some() || !(is_due || self.is_commit_wanted) || !self.may_ask_offsets() {
            return;
        }
        let next_at = now + self.config.commit_interval.unwrap_or_default();
        let uncommitted: BTreeMap<(Arc<str>, i32), (i64, i32)> =
            self.owned.iter().filter_map(|(place, owned)| Some((place.clone(), owned.uncommitted()?))).collect();
        if uncommitted.is_empty() {
            (self.commit_at, self.is_commit_wanted) = (next_at, false);
            return;
        }
        let (topics, version_max) = named(cluster, uncommitted.keys());
        let lines: Vec<Vec<OffsetCommitRequestPartition<'_>>> = topics
            .iter()
            .map(|topic| {
                let line = |partition: &i32| {
                    let (offset, leader_epoch) = uncommitted[&(topic.name.clone(), *partition)];
                    OffsetCommitRequestPartition {
                        partition_index: *partition,
                        committed_offset: offset,
                        committed_leader_epoch: leader_epoch,
                        committed_metadata: Some(""),
                    }
                };
                topic.partitions.iter().map(line).collect()
            })
            .collect();
        let topics: Vec<_> = topics
            .iter()
            .zip(&lines)
            .map(|(NamedPartitions { name, id, .. }, lines)| OffsetCommitRequestTopic {
                name,
                topic_id: *id,
                partitions: lines.into(),
            })
            .collect();
        let request = OffsetCommitRequest {
            group_id: &self.config.group_id,
            generation_id_or_member_epoch: self.generation,
            member_id: &self.member_id,
            group_instance_id: self.config.instance_id.as_deref(),
            retention_time_ms: -1,
            topics: (&topics).into(),
        };
        let deadline = cluster.request_deadline(now);
        let sent = self
            .ask(now, cluster, ApiKey::OffsetCommit, version_max, deadline, |header| encode_request(header, &request));
        match sent {
            Ok(Some(serial)) => {
                self.next_serial += 1;
                (self.commit_at, self.is_commit_wanted) = (next_at, false);
                let offsets = uncommitted.into_iter().map(|(place, (offset, _))| (place, offset)).collect();
                self.commit = Some((serial, offsets));
            }
            Ok(None) => {}
            Err(error) => {
                (self.commit_at, self.is_commit_wanted) = (next_at, false);
                self.settle_for_uncommitted();
                self.tell(GroupEvent::CommitFailed(error));
            }
        }
    }

    /// Takes what became of a commit of these offsets.
    pub(super) fn committed(&mut self, answer: &Answer, offsets: &NextOffsets) -> Result<ErrorCode, GroupError> {
        let response: OffsetCommitResponse<'_> =
            answer.decode().map_err(|error| nonsense(ApiKey::OffsetCommit, error))?;
        let errors = response.topics.iter().flat_map(|topic| topic.partitions).map(|partition| partition.error_code);
        let mut errors = errors.filter(|error| !error.is_none());
        let Some(first) = errors.next() else {
            for (place, offset) in offsets {
                if let Some(owned) = self.owned.get_mut(place) {
                    owned.committed = Some(*offset);
                }
            }
            return Ok(ErrorCode::NONE);
        };
        // What ends the membership counts more than what concerns one partition.
        let is_of_member = |error: &ErrorCode| {
            matches!(verdict(*error), Verdict::Elsewhere | Verdict::Rejoin | Verdict::Forgotten { .. })
                || *error == ErrorCode::FENCED_INSTANCE_ID
        };
        let error = std::iter::once(first).chain(errors).find(is_of_member).unwrap_or(first);
        let is_of_topic = matches!(error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::UNKNOWN_TOPIC_ID);
        match verdict(error) {
            Verdict::Rejoin => self.settle_for_uncommitted(),
            Verdict::Fatal if is_of_member(&error) => {}
            // Topics that are gone need no commit, and what is refused for good needs no second try before it goes.
            Verdict::Fatal => {
                self.settle_for_uncommitted();
                self.tell(GroupEvent::CommitFailed(GroupError::Refused(ApiKey::OffsetCommit, error)));
                return Ok(ErrorCode::NONE);
            }
            Verdict::Again if is_of_topic => {
                self.settle_for_uncommitted();
                return Ok(ErrorCode::NONE);
            }
            // It is tried again after the pause.
            _ => self.is_commit_wanted = true,
        }
        Ok(error)
    }

    /// Goes on without having committed.
    fn settle_for_uncommitted(&mut self) {
        if let Phase::GivingUp { has_committed, .. } | Phase::Leaving { has_committed, .. } = &mut self.phase {
            *has_committed = true;
        }
    }
}

/// Partitions by topic, with name and id; and the highest version that can name them.
fn named<'a>(cluster: &Cluster, places: impl Iterator<Item = &'a (Arc<str>, i32)>) -> (Vec<NamedPartitions>, i16) {
    let with_id = |(name, partitions): (&Arc<str>, Vec<i32>)| {
        let id = cluster.metadata.topic_id(name).unwrap_or(TopicId::ZERO);
        NamedPartitions { name: name.clone(), id, partitions }
    };
    let topics: Vec<_> = super::subscription::by_topic(places).into_iter().map(with_id).collect();
    let version_max = if topics.iter().all(|topic| !topic.id.is_zero()) { i16::MAX } else { BY_NAME_MAX };
    (topics, version_max)
}
