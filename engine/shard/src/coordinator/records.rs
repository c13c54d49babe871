//! Changes of groups as Kafka's records in `__consumer_offsets`, and back.
//!
//! Invariant: what is written here is byte for byte what Kafka 4.4 would write, so that its tools read it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use corelog_wire::consumer_offsets::{
    GROUP_METADATA_VALUE_VERSION, GroupMetadataKey, GroupMetadataValue, Key, MemberMetadata,
    OFFSET_COMMIT_VALUE_VERSION, OFFSET_COMMIT_VALUE_VERSION_WITH_EXPIRY, OffsetCommitKey, OffsetCommitValue,
};
use corelog_wire::decoder::DecodeError;
use corelog_wire::encoder::EncodeError;

use super::group::{StoredGroup, StoredMember};
use super::offsets::Committed;

/// The key and the value of a record; no value says that the key is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewRecord {
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

impl NewRecord {
    /// How much of a batch it takes, at most.
    pub(super) fn size_max(&self) -> usize {
        const OVERHEAD: usize = 32;
        self.key.len() + self.value.as_ref().map_or(0, Vec::len) + OVERHEAD
    }
}

/// A commit, or its end.
pub(super) fn offset(
    group: &str,
    topic: &str,
    partition: i32,
    committed: Option<&Committed>,
) -> Result<NewRecord, EncodeError> {
    let value = |it: &Committed| {
        let value = OffsetCommitValue {
            offset: it.offset,
            leader_epoch: it.leader_epoch,
            metadata: &it.metadata,
            commit_timestamp: it.commit_ms,
            expire_timestamp: it.expire_ms,
            topic_id: it.topic_id,
        };
        // Only the old version has room for an expiry of its own.
        let has_expiry = it.expire_ms >= 0;
        value.to_bytes(if has_expiry { OFFSET_COMMIT_VALUE_VERSION_WITH_EXPIRY } else { OFFSET_COMMIT_VALUE_VERSION })
    };
    let key = OffsetCommitKey { group, topic, partition }.to_bytes()?;
    Ok(NewRecord { key, value: committed.map(value).transpose()? })
}

/// A group, or its end.
pub(super) fn group(group: &str, stored: Option<&StoredGroup>) -> Result<NewRecord, EncodeError> {
    let key = GroupMetadataKey { group }.to_bytes()?;
    Ok(NewRecord { key, value: stored.map(group_value).transpose()? })
}

fn group_value(stored: &StoredGroup) -> Result<Vec<u8>, EncodeError> {
    let members: Vec<_> = stored
        .members
        .iter()
        .map(|it| MemberMetadata {
            member_id: &it.member_id,
            group_instance_id: it.instance_id.as_deref(),
            client_id: &it.client_id,
            client_host: &it.client_host,
            rebalance_timeout: it.rebalance_timeout_ms,
            session_timeout: it.session_timeout_ms,
            subscription: &it.subscription,
            assignment: &it.assignment,
        })
        .collect();
    let value = GroupMetadataValue {
        protocol_type: stored.protocol_type.as_deref().unwrap_or_default(),
        generation: stored.generation,
        protocol: stored.protocol_name.as_deref(),
        leader: stored.leader.as_deref(),
        current_state_timestamp: stored.current_state_timestamp_ms.unwrap_or(-1),
        members: (&members).into(),
    };
    value.to_bytes(GROUP_METADATA_VALUE_VERSION)
}

/// What a record of the topic says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// About an offset.
    Offset { group: &'a str, topic: &'a str, partition: i32, committed: Option<Committed> },
    /// About a group.
    Group { group: &'a str, stored: Option<StoredGroup> },
    /// About something that this version does not know.
    Other,
}

/// Reads a record.
pub(super) fn read<'a>(key: &'a [u8], value: Option<&'a [u8]>) -> Result<Said<'a>, DecodeError> {
    match Key::from_bytes(key)? {
        Key::OffsetCommit(OffsetCommitKey { group, topic, partition }) => {
            let committed = value.map(committed).transpose()?;
            Ok(Said::Offset { group, topic, partition, committed })
        }
        Key::GroupMetadata(GroupMetadataKey { group }) => {
            Ok(Said::Group { group, stored: value.map(stored).transpose()? })
        }
        Key::Other(_) => Ok(Said::Other),
    }
}

fn committed(value: &[u8]) -> Result<Committed, DecodeError> {
    let value = OffsetCommitValue::from_bytes(value)?;
    Ok(Committed {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.into(),
        commit_ms: value.commit_timestamp,
        expire_ms: value.expire_timestamp,
        topic_id: value.topic_id,
    })
}

fn stored(value: &[u8]) -> Result<StoredGroup, DecodeError> {
    let value = GroupMetadataValue::from_bytes(value)?;
    let member = |it: MemberMetadata<'_>| StoredMember {
        member_id: it.member_id.into(),
        instance_id: it.group_instance_id.map(Arc::from),
        client_id: it.client_id.into(),
        client_host: it.client_host.into(),
        rebalance_timeout_ms: it.rebalance_timeout,
        session_timeout_ms: it.session_timeout,
        subscription: Bytes::copy_from_slice(it.subscription),
        assignment: Bytes::copy_from_slice(it.assignment),
    };
    Ok(StoredGroup {
        protocol_type: Some(value.protocol_type).filter(|it| !it.is_empty()).map(Arc::from),
        generation: value.generation,
        protocol_name: value.protocol.map(Arc::from),
        leader: value.leader.map(Arc::from),
        current_state_timestamp_ms: Some(value.current_state_timestamp).filter(|at| *at >= 0),
        members: value.members.iter().map(member).collect(),
    })
}

#[cfg(test)]
mod tests {
    use corelog_wire::ids::TopicId;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let committed = Committed {
            offset: 7,
            leader_epoch: 3,
            metadata: "m".into(),
            commit_ms: 11,
            expire_ms: -1,
            topic_id: TopicId([4; 16]),
        };
        let record = offset("g", "t", 5, Some(&committed)).unwrap();
        assert_eq!(record.value.as_ref().unwrap()[..2], [0, 4], "the version that Kafka 4.4 writes");
        let said = read(&record.key, record.value.as_deref()).unwrap();
        assert_eq!(said, Said::Offset { group: "g", topic: "t", partition: 5, committed: Some(committed.clone()) });

        let expiring = Committed { expire_ms: 99, ..committed };
        let record = offset("g", "t", 5, Some(&expiring)).unwrap();
        assert_eq!(record.value.as_ref().unwrap()[..2], [0, 1], "the version that has an expiry");
        let said = read(&record.key, record.value.as_deref()).unwrap();
        let kept = Committed { leader_epoch: -1, topic_id: TopicId::ZERO, ..expiring };
        assert_eq!(said, Said::Offset { group: "g", topic: "t", partition: 5, committed: Some(kept) });

        let gone = offset("g", "t", 5, None).unwrap();
        assert_eq!(gone.key, record.key);
        let said = read(&gone.key, gone.value.as_deref()).unwrap();
        assert_eq!(said, Said::Offset { group: "g", topic: "t", partition: 5, committed: None });
    }

    #[test]
    fn groups_are_read_again() {
        let member = StoredMember {
            member_id: "m-1".into(),
            instance_id: Some("i".into()),
            client_id: "c".into(),
            client_host: "/10.0.0.1".into(),
            rebalance_timeout_ms: 3,
            session_timeout_ms: 4,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::from_static(b"a"),
        };
        let full = StoredGroup {
            protocol_type: Some("consumer".into()),
            generation: 9,
            protocol_name: Some("range".into()),
            leader: Some("m-1".into()),
            current_state_timestamp_ms: Some(5),
            members: [member].into(),
        };
        let empty = StoredGroup {
            protocol_type: None,
            generation: 0,
            protocol_name: None,
            leader: None,
            current_state_timestamp_ms: None,
            members: Vec::new(),
        };
        for stored in [full, empty] {
            let record = group("g", Some(&stored)).unwrap();
            let said = read(&record.key, record.value.as_deref()).unwrap();
            assert_eq!(said, Said::Group { group: "g", stored: Some(stored) });
        }
        let gone = group("g", None).unwrap();
        assert_eq!(read(&gone.key, None).unwrap(), Said::Group { group: "g", stored: None });
        assert_eq!(read(&[0, 5, 1], None).unwrap(), Said::Other, "another protocol's");
        assert!(read(&[0], None).is_err());
        assert!(read(&gone.key, Some(&[0, 3])).is_err());
    }
}
