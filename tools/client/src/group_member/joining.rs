//! The way into a generation of the group and out of it: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use corelog_wire::api::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use corelog_wire::api::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use corelog_wire::api::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity};
use corelog_wire::api::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse};
use corelog_wire::api_key::ApiKey;
use corelog_wire::array::Array;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::frame::encode_request;

use super::assignor::{Member, PartitionCounts};
use super::coordinator::{Verdict, nonsense, verdict};
use super::subscription::{Partitions, Subscription, decode_assignment, encode_assignment};
use super::{GroupError, GroupEvent, GroupMember, Led, Owned, Phase};
use crate::cluster::Cluster;
use crate::connection::Answer;
use crate::consumer::Consumer;
use crate::limits::{ANSWER_GRACE, GROUP_MEMBERS_MAX, GROUP_METADATA_BYTES_MAX};

/// What kind of group one of consumers is.
const PROTOCOL_TYPE: &str = "consumer";

/// The first version of LeaveGroup that takes several members out, and names none outside of the list.
const LEAVE_MANY: i16 = 3;

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

impl GroupMember {
    /// Sends what the phase demands.
    pub(super) fn advance(&mut self, now: Duration, cluster: &mut Cluster, consumer: &mut Consumer) {
        if let Phase::Assigning { until, .. } = self.phase
            && (until <= now || self.knows_topics(cluster))
        {
            self.assign(cluster);
        }
        let is_under_way = self.step.is_some();
        let sent = match &self.phase {
            Phase::Joining if !is_under_way => self.send_join(now, cluster),
            Phase::Syncing { assignments } if !is_under_way => self.send_sync(now, cluster, assignments),
            Phase::Leaving { has_committed, .. } if !is_under_way && (*has_committed || self.is_committed()) => {
                self.send_leave(now, cluster)
            }
            Phase::Stable => return self.keep_alive(now, cluster, consumer),
            _ => return,
        };
        match sent {
            Ok(Some(serial)) => {
                self.step = Some(serial);
                self.next_serial += 1;
            }
            Ok(None) => {}
            Err(error) => self.fail(cluster, consumer, error),
        }
    }

    /// Until when an answer is due that waits for the other members.
    fn long_deadline(&self, now: Duration, cluster: &Cluster) -> Duration {
        cluster.request_deadline(now).max(now + self.config.rebalance_timeout + ANSWER_GRACE)
    }

    fn send_join(&self, now: Duration, cluster: &mut Cluster) -> Result<Option<u64>, GroupError> {
        let subscription = Subscription {
            topics: self.topics.clone(),
            owned: self.owned.keys().cloned().collect(),
            generation: self.assigned_by,
        };
        let metadata = subscription.encode();
        let named =
            |assignor: &super::Assignor| JoinGroupRequestProtocol { name: assignor.name(), metadata: &metadata };
        let protocols: Vec<_> = self.config.assignors.iter().map(named).collect();
        let request = JoinGroupRequest {
            group_id: &self.config.group_id,
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout),
            member_id: &self.member_id,
            group_instance_id: self.config.instance_id.as_deref(),
            protocol_type: PROTOCOL_TYPE,
            protocols: (&protocols).into(),
            reason: Some(self.reason).filter(|reason| !reason.is_empty()),
        };
        let deadline = self.long_deadline(now, cluster);
        self.ask(now, cluster, ApiKey::JoinGroup, i16::MAX, deadline, |header| encode_request(header, &request))
    }

    pub(super) fn joined(
        &mut self,
        now: Duration,
        cluster: &mut Cluster,
        answer: &Answer,
    ) -> Result<ErrorCode, GroupError> {
        let wrong = |reason: &str| nonsense(ApiKey::JoinGroup, reason);
        let response: JoinGroupResponse<'_> = answer.decode().map_err(|error| nonsense(ApiKey::JoinGroup, error))?;
        match response.error_code {
            ErrorCode::NONE => {}
            ErrorCode::MEMBER_ID_REQUIRED if self.member_id.is_empty() && !response.member_id.is_empty() => {
                self.member_id = response.member_id.to_owned();
                return Ok(ErrorCode::NONE);
            }
            error => return Ok(error),
        }
        let name = response.protocol_name.unwrap_or_default();
        let chosen = self.config.assignors.iter().find(|assignor| assignor.name() == name);
        self.assignor = *chosen.ok_or_else(|| wrong(&format!("it chose {name:?}, which this member cannot do")))?;
        if response.protocol_type.is_some_and(|of| of != PROTOCOL_TYPE) {
            return Err(wrong("the group is none of consumers"));
        }
        if response.generation_id < 0 || response.member_id.is_empty() {
            return Err(wrong("it names no generation or no member"));
        }
        self.generation = response.generation_id;
        self.member_id = response.member_id.to_owned();
        if response.leader != response.member_id {
            self.led = None;
            self.phase = Phase::Syncing { assignments: Vec::new() };
            return Ok(ErrorCode::NONE);
        }
        let members = members(&response)?;
        let topics: BTreeSet<Arc<str>> = members
            .iter()
            .flat_map(|member| &member.subscription.topics)
            .map(|topic| cluster.metadata.want(topic))
            .collect();
        self.led = Some(Led { topics, counts: PartitionCounts::new(), seen_changes: cluster.changes });
        if response.skip_assignment {
            // It came back, and the assignment is there still; but it is to see when topics change.
            self.watch(cluster);
            self.phase = Phase::Syncing { assignments: Vec::new() };
        } else {
            self.phase = Phase::Assigning { members, until: cluster.request_deadline(now) };
        }
        Ok(ErrorCode::NONE)
    }

    /// Whether it was said of every topic of the group what it is, be it that it is not there.
    fn knows_topics(&self, cluster: &Cluster) -> bool {
        let is_known = |topic: &Arc<str>| cluster.metadata.topic(topic).is_some_and(|topic| topic.error.is_some());
        self.led.as_ref().is_none_or(|led| led.topics.iter().all(is_known))
    }

    /// How many partitions the topics of the group have now.
    fn counts(led: &Led, cluster: &Cluster) -> PartitionCounts {
        let count = |topic: &Arc<str>| {
            let known = cluster.metadata.topic(topic)?;
            let is_gone = known.error == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let count = i32::try_from(known.partitions.len()).unwrap_or(i32::MAX);
            (count > 0 && !is_gone).then(|| (topic.clone(), count))
        };
        led.topics.iter().filter_map(count).collect()
    }

    /// Remembers what topics are like, so that it sees when they change.
    fn watch(&mut self, cluster: &Cluster) {
        if let Some(led) = &mut self.led {
            (led.counts, led.seen_changes) = (Self::counts(led, cluster), cluster.changes);
        }
    }

    /// Decides for the whole group.
    fn assign(&mut self, cluster: &Cluster) {
        let Phase::Assigning { members, .. } = &self.phase else { unreachable!("only a leader assigns") };
        let led = self.led.as_ref().expect("a leader knows the topics of its group");
        let assigned = self.assignor.assign(members, &Self::counts(led, cluster));
        let encoded = members.iter().zip(&assigned).map(|(member, of)| (member.id.clone(), encode_assignment(of)));
        self.phase = Phase::Syncing { assignments: encoded.collect() };
        self.watch(cluster);
    }

    fn send_sync(
        &self,
        now: Duration,
        cluster: &mut Cluster,
        assignments: &[(String, Vec<u8>)],
    ) -> Result<Option<u64>, GroupError> {
        let lines =
            assignments.iter().map(|(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment });
        let assignments: Vec<_> = lines.collect();
        let request = SyncGroupRequest {
            group_id: &self.config.group_id,
            generation_id: self.generation,
            member_id: &self.member_id,
            group_instance_id: self.config.instance_id.as_deref(),
            protocol_type: Some(PROTOCOL_TYPE),
            protocol_name: Some(self.assignor.name()),
            assignments: (&assignments).into(),
        };
        let deadline = self.long_deadline(now, cluster);
        self.ask(now, cluster, ApiKey::SyncGroup, i16::MAX, deadline, |header| encode_request(header, &request))
    }

    pub(super) fn synced(&mut self, now: Duration, answer: &Answer) -> Result<ErrorCode, GroupError> {
        let garbled = |error| nonsense(ApiKey::SyncGroup, error);
        let response: SyncGroupResponse<'_> = answer.decode().map_err(garbled)?;
        if !response.error_code.is_none() {
            return Ok(response.error_code);
        }
        let assigned = decode_assignment(response.assignment).map_err(garbled)?;
        if !assigned.iter().all(|(topic, _)| self.topics.contains(topic)) {
            // A static member that came back with other topics is first given what it had: it joins again for what it wants.
            return Ok(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        self.assigned_by = Some(self.generation);
        self.heartbeat_at = now + self.config.heartbeat_interval;
        self.commit_at = now + self.config.commit_interval.unwrap_or_default();
        let gone: Partitions = self.owned.keys().filter(|place| !assigned.contains(*place)).cloned().collect();
        let added: Vec<_> = assigned.into_iter().filter(|place| !self.owned.contains_key(place)).collect();
        self.owned.extend(added.iter().map(|place| (place.clone(), Owned::default())));
        self.tell(GroupEvent::Assigned(added));
        if gone.is_empty() {
            self.phase = Phase::Stable;
        } else {
            // What another is to have is given up first, and joining again says so (KIP-429).
            self.reason = "partitions were given up for another member";
            self.begin_giving_up(now, gone);
        }
        Ok(ErrorCode::NONE)
    }

    /// What there is to do in a generation: heartbeats; and the leader watches the topics.
    fn keep_alive(&mut self, now: Duration, cluster: &mut Cluster, consumer: &mut Consumer) {
        if let Some(led) = &mut self.led
            && led.seen_changes != cluster.changes
        {
            led.seen_changes = cluster.changes;
            if Self::counts(led, cluster) != led.counts {
                return self.rejoin(now, "topics or partitions have come or gone");
            }
        }
        if self.heartbeat.is_some() || self.heartbeat_at > now {
            return;
        }
        let request = HeartbeatRequest {
            group_id: &self.config.group_id,
            generation_id: self.generation,
            member_id: &self.member_id,
            group_instance_id: self.config.instance_id.as_deref(),
        };
        let deadline = cluster.request_deadline(now);
        let sent =
            self.ask(now, cluster, ApiKey::Heartbeat, i16::MAX, deadline, |header| encode_request(header, &request));
        match sent {
            Ok(None) => {}
            Ok(serial) => {
                self.heartbeat = serial;
                self.next_serial += 1;
                self.heartbeat_at = now + self.config.heartbeat_interval;
            }
            Err(error) => self.fail(cluster, consumer, error),
        }
    }

    pub(super) fn heartbeat_answered(answer: &Answer) -> Result<ErrorCode, GroupError> {
        let response: HeartbeatResponse = answer.decode().map_err(|error| nonsense(ApiKey::Heartbeat, error))?;
        Ok(response.error_code)
    }

    fn send_leave(&self, now: Duration, cluster: &mut Cluster) -> Result<Option<u64>, GroupError> {
        let member = MemberIdentity {
            member_id: &self.member_id,
            group_instance_id: None,
            reason: Some("the consumer is being closed"),
        };
        let deadline = cluster.request_deadline(now);
        self.ask(now, cluster, ApiKey::LeaveGroup, i16::MAX, deadline, |header| {
            let takes_many = header.request_api_version >= LEAVE_MANY;
            let members = [member];
            let request = LeaveGroupRequest {
                group_id: &self.config.group_id,
                member_id: if takes_many { "" } else { &self.member_id },
                members: if takes_many { (&members).into() } else { Array::EMPTY },
            };
            encode_request(header, &request)
        })
    }

    /// Takes the answer to LeaveGroup. Whatever it is, but for another time or place to say it, the member is gone.
    pub(super) fn farewell_answered(
        &mut self,
        cluster: &mut Cluster,
        answer: &Answer,
    ) -> Result<ErrorCode, GroupError> {
        let error = answer.decode::<LeaveGroupResponse<'_>>().map_or(ErrorCode::NONE, |response| response.error_code);
        if matches!(verdict(error), Verdict::Again | Verdict::Elsewhere) {
            return Ok(error);
        }
        self.left(cluster);
        Ok(ErrorCode::NONE)
    }
}

/// The members of a group, as JoinGroup shows them to their leader. One whose subscription makes no sense wants nothing.
fn members(response: &JoinGroupResponse<'_>) -> Result<Vec<Member>, GroupError> {
    let bytes: usize = response.members.iter().map(|member| member.metadata.len()).sum();
    if response.members.len() > GROUP_MEMBERS_MAX || bytes > GROUP_METADATA_BYTES_MAX {
        let reason = format!("{} members with {bytes} bytes are more than any group has", response.members.len());
        return Err(nonsense(ApiKey::JoinGroup, reason));
    }
    let member = |member: corelog_wire::api::join_group::JoinGroupResponseMember<'_>| Member {
        id: member.member_id.to_owned(),
        instance_id: member.group_instance_id.map(str::to_owned),
        subscription: Subscription::decode(member.metadata).unwrap_or_default(),
    };
    Ok(response.members.iter().map(member).collect())
}
