//! What tests ask a broker about groups, over a raw connection.
//!
//! Invariants: as [`crate::client`]'s; a broker that cannot say yet (it loads, it has just started) is no error of the
//! connection, but `None`.

use std::io::{Error, Result};
use std::time::Instant;

use corelog_wire::api::describe_groups::DescribeGroupsRequest;
use corelog_wire::api::find_coordinator::FindCoordinatorRequest;
use corelog_wire::api::leave_group::{LeaveGroupRequest, MemberIdentity};
use corelog_wire::api::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestTopic};
use corelog_wire::error_code::ErrorCode;

use crate::client::{Client, WAIT_MAX, decode};

const FIND_COORDINATOR_VERSION: i16 = 3;
const DESCRIBE_GROUPS_VERSION: i16 = 5;
const LEAVE_GROUP_VERSION: i16 = 5;
const OFFSET_FETCH_VERSION: i16 = 7;

/// A group as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its state in Kafka's words.
    pub state: String,
    /// The client ids of its members, sorted.
    pub clients: Vec<String>,
}

impl Client {
    /// Asks for the group's coordinator until there is one; the first to ask for any has the topic of offsets created.
    ///
    /// # Errors
    /// As [`Client::receive`]; or there is none in time.
    pub fn await_coordinator(&mut self, group: &str) -> Result<()> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            self.send(FIND_COORDINATOR_VERSION, &FindCoordinatorRequest { key: group, ..Default::default() })?;
            let frame = self.receive()?;
            let (_, answer) = decode::<FindCoordinatorRequest<'_>>(&frame, FIND_COORDINATOR_VERSION)?;
            let is_late = Instant::now() > deadline;
            match answer.error_code {
                ErrorCode::NONE => return Ok(()),
                error if is_late || !error.is_retriable() => {
                    return Err(Error::other(format!("no coordinator: {error}")));
                }
                _ => {}
            }
        }
    }

    /// Describes a group.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn describe_group(&mut self, group: &str) -> Result<Option<Group>> {
        let groups = [group];
        self.send(DESCRIBE_GROUPS_VERSION, &DescribeGroupsRequest { groups: (&groups).into(), ..Default::default() })?;
        let frame = self.receive()?;
        let (_, answer) = decode::<DescribeGroupsRequest<'_>>(&frame, DESCRIBE_GROUPS_VERSION)?;
        let group = answer.groups.first().filter(|group| group.error_code.is_none());
        Ok(group.map(|group| {
            let mut clients: Vec<_> = group.members.iter().map(|member| member.client_id.to_owned()).collect();
            clients.sort_unstable();
            Group { state: group.group_state.to_owned(), clients }
        }))
    }

    /// The offsets that a group has committed in the first partitions of a topic; -1 where it has none.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn committed_offsets(&mut self, group: &str, topic: &str, partitions: i32) -> Result<Option<Vec<i64>>> {
        let indexes: Vec<i32> = (0..partitions).collect();
        let topics = [OffsetFetchRequestTopic { name: topic, partition_indexes: (&indexes).into() }];
        let request = OffsetFetchRequest { group_id: group, topics: Some((&topics).into()), ..Default::default() };
        self.send(OFFSET_FETCH_VERSION, &request)?;
        let frame = self.receive()?;
        let (_, answer) = decode::<OffsetFetchRequest<'_>>(&frame, OFFSET_FETCH_VERSION)?;
        if !answer.error_code.is_none() {
            return Ok(None);
        }
        let mut offsets = vec![-1; indexes.len()];
        for partition in answer.topics.iter().flat_map(|topic| topic.partitions.iter()) {
            if !partition.error_code.is_none() {
                return Ok(None);
            }
            let index = usize::try_from(partition.partition_index).map_err(Error::other)?;
            *offsets.get_mut(index).ok_or_else(|| Error::other("a partition not asked for"))? =
                partition.committed_offset;
        }
        Ok(Some(offsets))
    }

    /// Has members leave a group, and gives the code of the first that could not.
    ///
    /// # Errors
    /// As [`Client::receive`].
    pub fn leave_group(&mut self, group: &str, members: &[&str]) -> Result<ErrorCode> {
        let members: Vec<_> =
            members.iter().map(|member_id| MemberIdentity { member_id, ..Default::default() }).collect();
        let request = LeaveGroupRequest { group_id: group, members: (&members).into(), ..Default::default() };
        self.send(LEAVE_GROUP_VERSION, &request)?;
        let frame = self.receive()?;
        let (_, answer) = decode::<LeaveGroupRequest<'_>>(&frame, LEAVE_GROUP_VERSION)?;
        let mut codes = answer.members.iter().map(|member| member.error_code);
        Ok(Some(answer.error_code)
            .filter(|code| !code.is_none())
            .or(codes.find(|code| !code.is_none()))
            .unwrap_or_default())
    }
}
