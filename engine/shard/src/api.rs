//! One handler per Kafka API, each in the file that `wire` has for the API's messages.
//!
//! A handler decodes a request, does what can be done at once, and says what became of it: an [`Outcome`]. What has to
//! wait comes back to the same file when its time has come. Handlers know nothing of connections and their order; that
//! is the front's.

pub(crate) mod alter_client_quotas;
pub(crate) mod alter_configs;
pub(crate) mod alter_partition_reassignments;
pub(crate) mod alter_replica_log_dirs;
pub(crate) mod api_versions;
pub(crate) mod config_changes;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_groups;
pub(crate) mod delete_records;
pub(crate) mod delete_topics;
pub(crate) mod describe_client_quotas;
pub(crate) mod describe_cluster;
pub(crate) mod describe_configs;
pub(crate) mod describe_groups;
pub(crate) mod describe_log_dirs;
pub(crate) mod describe_producers;
pub(crate) mod describe_quorum;
pub(crate) mod describe_topic_partitions;
pub(crate) mod elect_leaders;
pub(crate) mod fetch;
pub(crate) mod find_coordinator;
pub(crate) mod get_telemetry_subscriptions;
mod groups;
pub(crate) mod heartbeat;
pub(crate) mod incremental_alter_configs;
pub(crate) mod init_producer_id;
pub(crate) mod join_group;
pub(crate) mod leave_group;
pub(crate) mod list_config_resources;
pub(crate) mod list_groups;
pub(crate) mod list_offsets;
pub(crate) mod list_partition_reassignments;
pub(crate) mod list_transactions;
pub(crate) mod metadata;
pub(crate) mod offset_commit;
pub(crate) mod offset_delete;
pub(crate) mod offset_fetch;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;
pub(crate) mod push_telemetry;
pub(crate) mod reply;
pub(crate) mod sharing;
pub(crate) mod sync_group;
pub(crate) mod unregister_broker;
pub(crate) mod update_features;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use corelog_replication::quorum::ProposalId;
use corelog_wire::api_key::ApiKey;
use corelog_wire::decoder::{DecodeError, Decoder};
use corelog_wire::encoder::Segment;
use corelog_wire::frame::{encode_response, encode_response_with_gaps};
use corelog_wire::header::RequestHeader;
use corelog_wire::message::Message;

use crate::io::{FileRange, Piece};
use crate::limits;
use crate::log::{AckPoint, PartitionId, ReadId};
use crate::mesh::ShardIndex;
use crate::quota::Client;
use reply::Frame;

/// No address.
pub(crate) const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// A request on its way to its handler.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// How to answer it.
    pub(crate) to: ReplyTo,
    /// What the client calls itself.
    pub(crate) client_id: Option<&'a str>,
    /// The request behind its header.
    pub(crate) body: Decoder<'a>,
    /// Where the client is.
    pub(crate) peer: IpAddr,
    /// What had to become durable before it is answered is so by now.
    pub(crate) has_waited: bool,
    /// The request is another shard's: only the partitions that this shard owns are meant, and the results go there.
    pub(crate) is_share: bool,
}

impl<'a> Call<'a> {
    /// Reads a request's header; otherwise why the connection is to be closed.
    pub(crate) fn decode_header(frame: &'a [u8]) -> Result<Self, String> {
        let mut body = Decoder::new(frame);
        let header = RequestHeader::decode(&mut body).map_err(|error| format!("request header: {error}"))?;
        let (key, version) = (header.request_api_key, header.request_api_version);
        let api = header.api().ok_or_else(|| format!("API {key} version {version} is not known"))?;
        // A client that is newer than the broker is told so by the API that is there for it.
        if !api.serves(version) && api != ApiKey::ApiVersions {
            return Err(format!("{api} version {version} is not supported"));
        }
        let to = ReplyTo { api, version, correlation_id: header.correlation_id, client: Client::NOBODY };
        Ok(Self { to, client_id: header.client_id, body, peer: NOBODY, has_waited: false, is_share: false })
    }

    /// The request's message, all of it; otherwise why the connection is to be closed.
    pub(crate) fn decode<M: Message<'a>>(&self) -> Result<M, String> {
        let mut body = self.body.clone();
        // Bytes behind the message are ignored, as Kafka does: librdkafka 2.12 and 2.16 send three too many when they ask for
        // the metadata of all topics.
        let decoded = M::decode(&mut body, self.to.version);
        decoded.map_err(|error: DecodeError| format!("{} version {}: {error}", self.to.api, self.to.version))
    }

    /// Refuses a request that names more things than any honest one.
    pub(crate) fn check_entries(&self, entries: usize) -> Result<(), String> {
        if entries <= limits::REQUEST_ENTRIES_MAX {
            return Ok(());
        }
        let max = limits::REQUEST_ENTRIES_MAX;
        Err(format!("{} names {entries} topics and partitions, more than {max}", self.to.api))
    }
}

/// What is needed to answer a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyTo {
    /// The API.
    pub(crate) api: ApiKey,
    /// The version that the client speaks.
    pub(crate) version: i16,
    /// The client's mark on the request.
    pub(crate) correlation_id: i32,
    /// Whose limits it counts towards.
    pub(crate) client: Client,
}

impl ReplyTo {
    /// Answers with a message.
    pub(crate) fn answer<'a>(&self, response: &impl Message<'a>) -> Outcome {
        self.answer_throttled(response, 0)
    }

    /// Answers with a message that tells the client that it is held back for so long.
    pub(crate) fn answer_throttled<'a>(&self, response: &impl Message<'a>, throttle_ms: u32) -> Outcome {
        match encode_response(self.correlation_id, self.api, self.version, response) {
            Ok(segments) => {
                let pieces = segments.into_iter().map(Piece::Memory).collect();
                Outcome::Answer(Frame::new(self, response, pieces, throttle_ms))
            }
            Err(error) => Outcome::Close(format!("no answer to {} version {}: {error}", self.api, self.version)),
        }
    }

    /// As [`Self::answer`], with these ranges in the gaps of the message, in order.
    pub(crate) fn answer_from_files<'a>(&self, response: &impl Message<'a>, ranges: &[FileRange]) -> Outcome {
        let segments = match encode_response_with_gaps(self.correlation_id, self.api, self.version, response) {
            Ok(segments) => segments,
            Err(error) => {
                return Outcome::Close(format!("no answer to {} version {}: {error}", self.api, self.version));
            }
        };
        let mut ranges = ranges.iter();
        let piece = |segment| match segment {
            Segment::Bytes(bytes) => Piece::Memory(bytes),
            Segment::Gap(len) => {
                let range = ranges.next().expect("a range for each gap");
                assert_eq!(range.len, len, "ranges fill their gaps");
                Piece::File(*range)
            }
        };
        let pieces = segments.into_iter().map(piece).collect();
        assert!(ranges.next().is_none(), "a gap for each range");
        Outcome::Answer(Frame::new(self, response, pieces, 0))
    }
}

/// What became of a request, or of one that had waited.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives for one call; a box would be an allocation for each request")]
pub(crate) enum Outcome {
    /// The whole frame to send.
    Answer(Frame),
    /// The client expects no answer.
    Silent,
    /// Results for the shard whose request it is.
    Share(sharing::ShareAnswer),
    /// This shard has to handle it: the one with the metadata log, or the one that coordinates the group.
    Elsewhere(ShardIndex),
    /// The connection is to be closed, for this reason.
    Close(String),
    /// It goes on when one of these things has happened.
    Wait(Parked, Wait),
    /// It goes on when the log has room, before anything that came later.
    NoRoom(produce::Unfinished),
}

/// What a request waits for. Its handler is called for each of these as it comes.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    /// A time on the monotonic clock.
    pub(crate) deadline_us: Option<u64>,
    /// Commits.
    pub(crate) ack: Option<AckPoint>,
    /// Records of partitions; with the entry of the request that wants them.
    pub(crate) partitions: Vec<(PartitionId, usize)>,
    /// Lookups of timestamps; with the entry of the request that wants them.
    pub(crate) lookups: Vec<(ReadId, usize)>,
    /// Changes of the metadata.
    pub(crate) proposals: Vec<ProposalId>,
    /// Other shards, for their share of the request's frame.
    pub(crate) shares: Vec<ShardIndex>,
    /// About how many bytes the request holds meanwhile.
    pub(crate) weight: usize,
}

/// A request that waits, as its handler remembers it.
#[derive(Debug)]
pub(crate) enum Parked {
    /// For its records to be durable.
    Produce(produce::Pending),
    /// For records, for its turn, or for the disk.
    Fetch(fetch::Pending),
    /// For the disk.
    ListOffsets(list_offsets::Pending),
    /// For topics that it created.
    Metadata(metadata::Pending),
    /// For topics to be created.
    CreateTopics(create_topics::Pending),
    /// For partitions to be created.
    CreatePartitions(create_partitions::Pending),
    /// For topics to be deleted.
    DeleteTopics(delete_topics::Pending),
    /// For its log starts to be durable.
    DeleteRecords(delete_records::Pending),
    /// For other shards.
    OffsetForLeaderEpoch(offset_for_leader_epoch::Pending),
    /// For other shards.
    DescribeLogDirs(describe_log_dirs::Pending),
    /// For the topic of the coordinators.
    FindCoordinator(find_coordinator::Pending),
    /// For other shards.
    DescribeProducers(describe_producers::Pending),
    /// For a block of producer ids.
    InitProducerId(init_producer_id::Pending),
    /// For settings to be changed.
    ConfigChanges(config_changes::Pending),
    /// For its group to be complete.
    JoinGroup(join_group::Pending),
    /// For its assignment.
    SyncGroup(sync_group::Pending),
    /// For its offsets to be durable.
    OffsetCommit(offset_commit::Pending),
    /// For other shards.
    OffsetFetch(offset_fetch::Pending),
    /// For the commits before it to be durable.
    UnstableOffsets(offset_fetch::Unstable),
    /// For its tombstones to be durable.
    OffsetDelete(offset_delete::Pending),
    /// For other shards.
    DescribeGroups(describe_groups::Pending),
    /// For other shards.
    ListGroups(list_groups::Pending),
    /// For its tombstones to be durable, and for other shards.
    DeleteGroups(delete_groups::Pending),
    /// For limits to be changed.
    AlterClientQuotas(alter_client_quotas::Pending),
    /// For another shard, which handles all of it.
    Elsewhere,
}

/// The deadline of a request that is willing to wait so long; nonsense is read as zero or cut.
pub(crate) fn deadline_us(now_us: u64, wait_ms: i64) -> u64 {
    let wait_ms = u64::try_from(wait_ms).unwrap_or(0).min(limits::WAIT_MS_MAX);
    now_us.saturating_add(wait_ms * 1_000)
}
