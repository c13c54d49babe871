//! The wire format against two other implementations, generated from Kafka 4.1's definitions, in the versions that they
//! have: what they read from our bytes is field by field what we read, and what they write we read as the same.

#![allow(clippy::unwrap_used, elided_lifetimes_in_paths)]

mod generate;

use bytes::{Bytes, BytesMut};
use corelog_wire::array::Array;
use corelog_wire::decoder::Decoder;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::ids::{ClientInstanceId, DirectoryId, TopicId};
use corelog_wire::message::Message;
use corelog_wire::primitives::{Field, Records};
use proptest::collection::vec;
use proptest::prelude::*;

macro_rules! differential {
    ($theirs:ident: $(
        $api:ident $ours:ident $module:ident { $($name:ident $(<$lifetime:lifetime>)? $(= $theirs_name:ident)? { $($field:ident)* })* }
    )*) => {
        mod $theirs {
            use super::*;
            use corelog_wire::api::*;
            use corelog_wire::consumer_protocol::{assignment, subscription};
            use ::$theirs::messages::{BrokerId, GroupId, ProducerId, TopicName, TransactionalId};
            use ::$theirs::protocol::{Decodable, Encodable, Message as _, StrBytes};

            /// The same value in another crate's type.
            trait To<T> {
                fn to(self) -> T;
            }

            impl To<i16> for ErrorCode {
                fn to(self) -> i16 {
                    self.code()
                }
            }

            impl To<Bytes> for &[u8] {
                fn to(self) -> Bytes {
                    Bytes::copy_from_slice(self)
                }
            }

            impl To<Bytes> for Records<'_> {
                fn to(self) -> Bytes {
                    Bytes::copy_from_slice(self.as_slice().unwrap())
                }
            }

            /// Both crates have uuids of the crate `uuid`, which are made from vectors.
            impl<T: TryFrom<Vec<u8>>> To<T> for TopicId {
                fn to(self) -> T {
                    T::try_from(self.0.to_vec()).ok().unwrap()
                }
            }

            impl<T: TryFrom<Vec<u8>>> To<T> for DirectoryId {
                fn to(self) -> T {
                    TopicId(self.0).to()
                }
            }

            impl<T: TryFrom<Vec<u8>>> To<T> for ClientInstanceId {
                fn to(self) -> T {
                    TopicId(self.0).to()
                }
            }

            impl<A: To<B>, B> To<Option<B>> for Option<A> {
                fn to(self) -> Option<B> {
                    self.map(To::to)
                }
            }

            impl<'a, A: Field<'a> + To<B>, B> To<Vec<B>> for Array<'a, A> {
                fn to(self) -> Vec<B> {
                    self.iter().map(To::to).collect()
                }
            }

            differential! { @same_type bool i8 i16 u16 i32 i64 f64 }

            impl To<StrBytes> for &str {
                fn to(self) -> StrBytes {
                    StrBytes::from_string(self.into())
                }
            }

            differential! {
                @newtypes BrokerId(i32) GroupId(&str) ProducerId(i64) TopicName(&str) TransactionalId(&str)
            }

            $($(
                impl To<differential! { @struct $theirs $module $name $($theirs_name)? }>
                    for $ours::$name $(<$lifetime>)?
                {
                    fn to(self) -> differential! { @struct $theirs $module $name $($theirs_name)? } {
                        let mut theirs = <differential! { @struct $theirs $module $name $($theirs_name)? }>::default();
                        $(theirs.$field = self.$field.to();)*
                        theirs
                    }
                }
            )*)*

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(64))]

                #[test]
                fn agrees(choices in vec(any::<u8>(), 0..400)) {
                    for (entry, version) in generate::every_version() {
                        let bytes = generate::generate(&entry, version, &choices, false);
                        match entry.name().as_str() {
                            $(stringify!($api) => $module(&bytes, version),)*
                            // Kafka keeps these to itself; `against_kafka` covers them.
                            "OffsetCommitKey" | "OffsetCommitValue" | "GroupMetadataKey" | "GroupMetadataValue" => {}
                            missing => panic!("{missing} is missing here"),
                        }
                    }
                }
            }

            $(
                fn $module(bytes: &[u8], version: i16) {
                    type Theirs = ::$theirs::messages::$api;
                    let ours = $ours::$api::decode(&mut Decoder::new(bytes), version).unwrap();
                    let expected: Theirs = ours.to();
                    let their_versions = Theirs::VERSIONS;
                    if version > their_versions.max {
                        // The definitions grew after Kafka 4.1; `against_kafka` covers these.
                        let newer = [("ListOffsets", 11), ("ApiVersions", 5), ("DescribeLogDirs", 5), ("OffsetCommit", 10), ("OffsetFetch", 10), ("DeleteGroups", 3)];
                        assert!(newer.iter().any(|(api, newest)| stringify!($api).starts_with(api) && version == *newest));
                        return;
                    }
                    let mut unread = Bytes::copy_from_slice(bytes);
                    let read = Theirs::decode(&mut unread, version).unwrap();
                    assert!(unread.is_empty());
                    assert_eq!(read, expected, "version {version}");
                    let mut written = BytesMut::new();
                    expected.encode(&mut written, version).unwrap();
                    assert_eq!(written, bytes, "{ours:?} version {version}");
                }
            )*
        }
    };
    // A struct that has another name here says theirs.
    (@struct $theirs:ident $module:ident $ours:ident) => {
        ::$theirs::messages::$module::$ours
    };
    (@struct $theirs:ident $module:ident $ours:ident $name:ident) => {
        ::$theirs::messages::$module::$name
    };
    (@same_type $($ty:ty)*) => {$(
        impl To<$ty> for $ty {
            fn to(self) -> $ty {
                self
            }
        }
    )*};
    (@newtypes $($name:ident($inner:ty))*) => {$(
        impl To<$name> for $inner {
            fn to(self) -> $name {
                $name(self.to())
            }
        }
    )*};
}

macro_rules! both_crates {
    ($($schema:tt)*) => {
        differential! { kafka_protocol: $($schema)* }
        differential! { proto_kafka: $($schema)* }
    };
}

both_crates! {
    ProduceRequest produce produce_request {
        ProduceRequest<'_> { transactional_id acks timeout_ms topic_data }
        TopicProduceData<'_> { name topic_id partition_data }
        PartitionProduceData<'_> { index records }
    }
    ProduceResponse produce produce_response {
        ProduceResponse<'_> { responses throttle_time_ms node_endpoints }
        TopicProduceResponse<'_> { name topic_id partition_responses }
        PartitionProduceResponse<'_> {
            index error_code base_offset log_append_time_ms log_start_offset record_errors error_message current_leader
        }
        BatchIndexAndErrorMessage<'_> { batch_index batch_index_error_message }
        LeaderIdAndEpoch { leader_id leader_epoch }
        NodeEndpoint<'_> { node_id host port rack }
    }
    FetchRequest fetch fetch_request {
        FetchRequest<'_> {
            cluster_id replica_id replica_state max_wait_ms min_bytes max_bytes isolation_level session_id session_epoch
            topics forgotten_topics_data rack_id
        }
        ReplicaState { replica_id replica_epoch }
        FetchTopic<'_> { topic topic_id partitions }
        FetchPartition {
            partition current_leader_epoch fetch_offset last_fetched_epoch log_start_offset partition_max_bytes
            replica_directory_id high_watermark
        }
        ForgottenTopic<'_> { topic topic_id partitions }
    }
    FetchResponse fetch fetch_response {
        FetchResponse<'_> { throttle_time_ms error_code session_id responses node_endpoints }
        FetchableTopicResponse<'_> { topic topic_id partitions }
        PartitionData<'_> {
            partition_index error_code high_watermark last_stable_offset log_start_offset diverging_epoch current_leader
            snapshot_id aborted_transactions preferred_read_replica records
        }
        EpochEndOffset { epoch end_offset }
        LeaderIdAndEpoch { leader_id leader_epoch }
        SnapshotId { end_offset epoch }
        AbortedTransaction { producer_id first_offset }
        NodeEndpoint<'_> { node_id host port rack }
    }
    ListOffsetsRequest list_offsets list_offsets_request {
        ListOffsetsRequest<'_> { replica_id isolation_level topics timeout_ms }
        ListOffsetsTopic<'_> { name partitions }
        ListOffsetsPartition { partition_index current_leader_epoch timestamp }
    }
    ListOffsetsResponse list_offsets list_offsets_response {
        ListOffsetsResponse<'_> { throttle_time_ms topics }
        ListOffsetsTopicResponse<'_> { name partitions }
        ListOffsetsPartitionResponse { partition_index error_code timestamp offset leader_epoch }
    }
    MetadataRequest metadata metadata_request {
        MetadataRequest<'_> {
            topics allow_auto_topic_creation include_cluster_authorized_operations include_topic_authorized_operations
        }
        MetadataRequestTopic<'_> { topic_id name }
    }
    MetadataResponse metadata metadata_response {
        MetadataResponse<'_> {
            throttle_time_ms brokers cluster_id controller_id topics cluster_authorized_operations error_code
        }
        MetadataResponseBroker<'_> { node_id host port rack }
        MetadataResponseTopic<'_> { error_code name topic_id is_internal partitions topic_authorized_operations }
        MetadataResponsePartition<'_> {
            error_code partition_index leader_id leader_epoch replica_nodes isr_nodes offline_replicas
        }
    }
    ApiVersionsRequest api_versions api_versions_request {
        ApiVersionsRequest<'_> { client_software_name client_software_version }
    }
    ApiVersionsResponse api_versions api_versions_response {
        ApiVersionsResponse<'_> {
            error_code api_keys throttle_time_ms supported_features finalized_features_epoch finalized_features
            zk_migration_ready
        }
        ApiVersion { api_key min_version max_version }
        SupportedFeatureKey<'_> { name min_version max_version }
        FinalizedFeatureKey<'_> { name max_version_level min_version_level }
    }
    CreateTopicsRequest create_topics create_topics_request {
        CreateTopicsRequest<'_> { topics timeout_ms validate_only }
        CreatableTopic<'_> { name num_partitions replication_factor assignments configs }
        CreatableReplicaAssignment<'_> { partition_index broker_ids }
        CreatableTopicConfig<'_> { name value }
    }
    CreateTopicsResponse create_topics create_topics_response {
        CreateTopicsResponse<'_> { throttle_time_ms topics }
        CreatableTopicResult<'_> {
            name topic_id error_code error_message topic_config_error_code num_partitions replication_factor configs
        }
        CreatableTopicConfigs<'_> { name value read_only config_source is_sensitive }
    }
    InitProducerIdRequest init_producer_id init_producer_id_request {
        InitProducerIdRequest<'_> { transactional_id transaction_timeout_ms producer_id producer_epoch }
    }
    InitProducerIdResponse init_producer_id init_producer_id_response {
        InitProducerIdResponse { throttle_time_ms error_code producer_id producer_epoch }
    }
    FindCoordinatorRequest find_coordinator find_coordinator_request {
        FindCoordinatorRequest<'_> { key key_type coordinator_keys }
    }
    FindCoordinatorResponse find_coordinator find_coordinator_response {
        FindCoordinatorResponse<'_> { throttle_time_ms error_code error_message node_id host port coordinators }
        Coordinator<'_> { key node_id host port error_code error_message }
    }
    DeleteTopicsRequest delete_topics delete_topics_request {
        DeleteTopicsRequest<'_> { topics topic_names timeout_ms }
        DeleteTopicState<'_> { name topic_id }
    }
    DeleteTopicsResponse delete_topics delete_topics_response {
        DeleteTopicsResponse<'_> { throttle_time_ms responses }
        DeletableTopicResult<'_> { name topic_id error_code error_message }
    }
    DeleteRecordsRequest delete_records delete_records_request {
        DeleteRecordsRequest<'_> { topics timeout_ms }
        DeleteRecordsTopic<'_> { name partitions }
        DeleteRecordsPartition { partition_index offset }
    }
    DeleteRecordsResponse delete_records delete_records_response {
        DeleteRecordsResponse<'_> { throttle_time_ms topics }
        DeleteRecordsTopicResult<'_> { name partitions }
        DeleteRecordsPartitionResult { partition_index low_watermark error_code }
    }
    OffsetForLeaderEpochRequest offset_for_leader_epoch offset_for_leader_epoch_request {
        OffsetForLeaderEpochRequest<'_> { replica_id topics }
        OffsetForLeaderTopic<'_> { topic partitions }
        OffsetForLeaderPartition { partition current_leader_epoch leader_epoch }
    }
    OffsetForLeaderEpochResponse offset_for_leader_epoch offset_for_leader_epoch_response {
        OffsetForLeaderEpochResponse<'_> { throttle_time_ms topics }
        OffsetForLeaderTopicResult<'_> { topic partitions }
        EpochEndOffset { error_code partition leader_epoch end_offset }
    }
    DescribeConfigsRequest describe_configs describe_configs_request {
        DescribeConfigsRequest<'_> { resources include_synonyms include_documentation }
        DescribeConfigsResource<'_> { resource_type resource_name configuration_keys }
    }
    DescribeConfigsResponse describe_configs describe_configs_response {
        DescribeConfigsResponse<'_> { throttle_time_ms results }
        DescribeConfigsResult<'_> { error_code error_message resource_type resource_name configs }
        DescribeConfigsResourceResult<'_> {
            name value read_only config_source is_sensitive synonyms config_type documentation
        }
        DescribeConfigsSynonym<'_> { name value source }
    }
    AlterConfigsRequest alter_configs alter_configs_request {
        AlterConfigsRequest<'_> { resources validate_only }
        AlterConfigsResource<'_> { resource_type resource_name configs }
        AlterableConfig<'_> { name value }
    }
    AlterConfigsResponse alter_configs alter_configs_response {
        AlterConfigsResponse<'_> { throttle_time_ms responses }
        AlterConfigsResourceResponse<'_> { error_code error_message resource_type resource_name }
    }
    DescribeLogDirsRequest describe_log_dirs describe_log_dirs_request {
        DescribeLogDirsRequest<'_> { topics }
        DescribableLogDirTopic<'_> { topic partitions }
    }
    DescribeLogDirsResponse describe_log_dirs describe_log_dirs_response {
        DescribeLogDirsResponse<'_> { throttle_time_ms error_code results }
        DescribeLogDirsResult<'_> { error_code log_dir topics total_bytes usable_bytes }
        DescribeLogDirsTopic<'_> { name partitions }
        DescribeLogDirsPartition { partition_index partition_size offset_lag is_future_key }
    }
    CreatePartitionsRequest create_partitions create_partitions_request {
        CreatePartitionsRequest<'_> { topics timeout_ms validate_only }
        CreatePartitionsTopic<'_> { name count assignments }
        CreatePartitionsAssignment<'_> { broker_ids }
    }
    CreatePartitionsResponse create_partitions create_partitions_response {
        CreatePartitionsResponse<'_> { throttle_time_ms results }
        CreatePartitionsTopicResult<'_> { name error_code error_message }
    }
    IncrementalAlterConfigsRequest incremental_alter_configs incremental_alter_configs_request {
        IncrementalAlterConfigsRequest<'_> { resources validate_only }
        AlterConfigsResource<'_> { resource_type resource_name configs }
        AlterableConfig<'_> { name config_operation value }
    }
    IncrementalAlterConfigsResponse incremental_alter_configs incremental_alter_configs_response {
        IncrementalAlterConfigsResponse<'_> { throttle_time_ms responses }
        AlterConfigsResourceResponse<'_> { error_code error_message resource_type resource_name }
    }
    DescribeClusterRequest describe_cluster describe_cluster_request {
        DescribeClusterRequest { include_cluster_authorized_operations endpoint_type include_fenced_brokers }
    }
    DescribeClusterResponse describe_cluster describe_cluster_response {
        DescribeClusterResponse<'_> {
            throttle_time_ms error_code error_message endpoint_type cluster_id controller_id brokers
            cluster_authorized_operations
        }
        DescribeClusterBroker<'_> { broker_id host port rack is_fenced }
    }
    DescribeTopicPartitionsRequest describe_topic_partitions describe_topic_partitions_request {
        DescribeTopicPartitionsRequest<'_> { topics response_partition_limit cursor }
        TopicRequest<'_> { name }
        Cursor<'_> { topic_name partition_index }
    }
    DescribeTopicPartitionsResponse describe_topic_partitions describe_topic_partitions_response {
        DescribeTopicPartitionsResponse<'_> { throttle_time_ms topics next_cursor }
        DescribeTopicPartitionsResponseTopic<'_> {
            error_code name topic_id is_internal partitions topic_authorized_operations
        }
        DescribeTopicPartitionsResponsePartition<'_> {
            error_code partition_index leader_id leader_epoch replica_nodes isr_nodes eligible_leader_replicas
            last_known_elr offline_replicas
        }
        Cursor<'_> { topic_name partition_index }
    }
    OffsetCommitRequest offset_commit offset_commit_request {
        OffsetCommitRequest<'_> {
            group_id generation_id_or_member_epoch member_id group_instance_id retention_time_ms topics
        }
        OffsetCommitRequestTopic<'_> { name topic_id partitions }
        OffsetCommitRequestPartition<'_> { partition_index committed_offset committed_leader_epoch committed_metadata }
    }
    OffsetCommitResponse offset_commit offset_commit_response {
        OffsetCommitResponse<'_> { throttle_time_ms topics }
        OffsetCommitResponseTopic<'_> { name topic_id partitions }
        OffsetCommitResponsePartition { partition_index error_code }
    }
    OffsetFetchRequest offset_fetch offset_fetch_request {
        OffsetFetchRequest<'_> { group_id topics groups require_stable }
        OffsetFetchRequestTopic<'_> { name partition_indexes }
        OffsetFetchRequestGroup<'_> { group_id member_id member_epoch topics }
        OffsetFetchRequestTopics<'_> { name topic_id partition_indexes }
    }
    OffsetFetchResponse offset_fetch offset_fetch_response {
        OffsetFetchResponse<'_> { throttle_time_ms topics error_code groups }
        OffsetFetchResponseTopic<'_> { name partitions }
        OffsetFetchResponsePartition<'_> {
            partition_index committed_offset committed_leader_epoch metadata error_code
        }
        OffsetFetchResponseGroup<'_> { group_id topics error_code }
        OffsetFetchResponseTopics<'_> { name topic_id partitions }
        OffsetFetchResponsePartitions<'_> {
            partition_index committed_offset committed_leader_epoch metadata error_code
        }
    }
    JoinGroupRequest join_group join_group_request {
        JoinGroupRequest<'_> {
            group_id session_timeout_ms rebalance_timeout_ms member_id group_instance_id protocol_type protocols reason
        }
        JoinGroupRequestProtocol<'_> { name metadata }
    }
    JoinGroupResponse join_group join_group_response {
        JoinGroupResponse<'_> {
            throttle_time_ms error_code generation_id protocol_type protocol_name leader skip_assignment member_id members
        }
        JoinGroupResponseMember<'_> { member_id group_instance_id metadata }
    }
    HeartbeatRequest heartbeat heartbeat_request {
        HeartbeatRequest<'_> { group_id generation_id member_id group_instance_id }
    }
    HeartbeatResponse heartbeat heartbeat_response {
        HeartbeatResponse { throttle_time_ms error_code }
    }
    LeaveGroupRequest leave_group leave_group_request {
        LeaveGroupRequest<'_> { group_id member_id members }
        MemberIdentity<'_> { member_id group_instance_id reason }
    }
    LeaveGroupResponse leave_group leave_group_response {
        LeaveGroupResponse<'_> { throttle_time_ms error_code members }
        MemberResponse<'_> { member_id group_instance_id error_code }
    }
    SyncGroupRequest sync_group sync_group_request {
        SyncGroupRequest<'_> {
            group_id generation_id member_id group_instance_id protocol_type protocol_name assignments
        }
        SyncGroupRequestAssignment<'_> { member_id assignment }
    }
    SyncGroupResponse sync_group sync_group_response {
        SyncGroupResponse<'_> { throttle_time_ms error_code protocol_type protocol_name assignment }
    }
    DescribeGroupsRequest describe_groups describe_groups_request {
        DescribeGroupsRequest<'_> { groups include_authorized_operations }
    }
    DescribeGroupsResponse describe_groups describe_groups_response {
        DescribeGroupsResponse<'_> { throttle_time_ms groups }
        DescribedGroup<'_> {
            error_code error_message group_id group_state protocol_type protocol_data members authorized_operations
        }
        DescribedGroupMember<'_> {
            member_id group_instance_id client_id client_host member_metadata member_assignment
        }
    }
    ListGroupsRequest list_groups list_groups_request {
        ListGroupsRequest<'_> { states_filter types_filter }
    }
    ListGroupsResponse list_groups list_groups_response {
        ListGroupsResponse<'_> { throttle_time_ms error_code groups }
        ListedGroup<'_> { group_id protocol_type group_state group_type }
    }
    DeleteGroupsRequest delete_groups delete_groups_request {
        DeleteGroupsRequest<'_> { groups_names }
    }
    DeleteGroupsResponse delete_groups delete_groups_response {
        DeleteGroupsResponse<'_> { throttle_time_ms results }
        DeletableGroupResult<'_> { group_id error_code }
    }
    OffsetDeleteRequest offset_delete offset_delete_request {
        OffsetDeleteRequest<'_> { group_id topics }
        OffsetDeleteRequestTopic<'_> { name partitions }
        OffsetDeleteRequestPartition { partition_index }
    }
    OffsetDeleteResponse offset_delete offset_delete_response {
        OffsetDeleteResponse<'_> { error_code throttle_time_ms topics }
        OffsetDeleteResponseTopic<'_> { name partitions }
        OffsetDeleteResponsePartition { partition_index error_code }
    }
    ConsumerProtocolSubscription subscription consumer_protocol_subscription {
        ConsumerProtocolSubscription<'_> { topics user_data owned_partitions generation_id rack_id }
        TopicPartition<'_> { topic partitions }
    }
    ConsumerProtocolAssignment assignment consumer_protocol_assignment {
        ConsumerProtocolAssignment<'_> { assigned_partitions user_data }
        TopicPartition<'_> { topic partitions }
    }
    AlterReplicaLogDirsRequest alter_replica_log_dirs alter_replica_log_dirs_request {
        AlterReplicaLogDirsRequest<'_> { dirs }
        AlterReplicaLogDir<'_> { path topics }
        AlterReplicaLogDirTopic<'_> { name partitions }
    }
    AlterReplicaLogDirsResponse alter_replica_log_dirs alter_replica_log_dirs_response {
        AlterReplicaLogDirsResponse<'_> { throttle_time_ms results }
        AlterReplicaLogDirTopicResult<'_> { topic_name partitions }
        AlterReplicaLogDirPartitionResult { partition_index error_code }
    }
    ElectLeadersRequest elect_leaders elect_leaders_request {
        ElectLeadersRequest<'_> { election_type topic_partitions timeout_ms }
        TopicPartitions<'_> { topic partitions }
    }
    ElectLeadersResponse elect_leaders elect_leaders_response {
        ElectLeadersResponse<'_> { throttle_time_ms error_code replica_election_results }
        ReplicaElectionResult<'_> { topic partition_result }
        PartitionResult<'_> { partition_id error_code error_message }
    }
    AlterPartitionReassignmentsRequest alter_partition_reassignments alter_partition_reassignments_request {
        AlterPartitionReassignmentsRequest<'_> { timeout_ms allow_replication_factor_change topics }
        ReassignableTopic<'_> { name partitions }
        ReassignablePartition<'_> { partition_index replicas }
    }
    AlterPartitionReassignmentsResponse alter_partition_reassignments alter_partition_reassignments_response {
        AlterPartitionReassignmentsResponse<'_> { throttle_time_ms allow_replication_factor_change error_code error_message responses }
        ReassignableTopicResponse<'_> { name partitions }
        ReassignablePartitionResponse<'_> { partition_index error_code error_message }
    }
    ListPartitionReassignmentsRequest list_partition_reassignments list_partition_reassignments_request {
        ListPartitionReassignmentsRequest<'_> { timeout_ms topics }
        ListPartitionReassignmentsTopics<'_> { name partition_indexes }
    }
    ListPartitionReassignmentsResponse list_partition_reassignments list_partition_reassignments_response {
        ListPartitionReassignmentsResponse<'_> { throttle_time_ms error_code error_message topics }
        OngoingTopicReassignment<'_> { name partitions }
        OngoingPartitionReassignment<'_> { partition_index replicas adding_replicas removing_replicas }
    }
    DescribeClientQuotasRequest describe_client_quotas describe_client_quotas_request {
        DescribeClientQuotasRequest<'_> { components strict }
        ComponentData<'_> { entity_type match_type _match }
    }
    DescribeClientQuotasResponse describe_client_quotas describe_client_quotas_response {
        DescribeClientQuotasResponse<'_> { throttle_time_ms error_code error_message entries }
        EntryData<'_> { entity values }
        EntityData<'_> { entity_type entity_name }
        ValueData<'_> { key value }
    }
    AlterClientQuotasRequest alter_client_quotas alter_client_quotas_request {
        AlterClientQuotasRequest<'_> { entries validate_only }
        EntryData<'_> { entity ops }
        EntityData<'_> { entity_type entity_name }
        OpData<'_> { key value remove }
    }
    AlterClientQuotasResponse alter_client_quotas alter_client_quotas_response {
        AlterClientQuotasResponse<'_> { throttle_time_ms entries }
        EntryResult<'_> = EntryData { error_code error_message entity }
        EntityResult<'_> = EntityData { entity_type entity_name }
    }
    DescribeQuorumRequest describe_quorum describe_quorum_request {
        DescribeQuorumRequest<'_> { topics }
        TopicData<'_> { topic_name partitions }
        PartitionData { partition_index }
    }
    DescribeQuorumResponse describe_quorum describe_quorum_response {
        DescribeQuorumResponse<'_> { error_code error_message topics nodes }
        TopicResult<'_> = TopicData { topic_name partitions }
        PartitionResult<'_> = PartitionData { partition_index error_code error_message leader_id leader_epoch high_watermark current_voters observers }
        ReplicaState { replica_id replica_directory_id log_end_offset last_fetch_timestamp last_caught_up_timestamp }
        Node<'_> { node_id listeners }
        Listener<'_> { name host port }
    }
    UpdateFeaturesRequest update_features update_features_request {
        UpdateFeaturesRequest<'_> { timeout_ms feature_updates validate_only }
        FeatureUpdateKey<'_> { feature max_version_level allow_downgrade upgrade_type }
    }
    UpdateFeaturesResponse update_features update_features_response {
        UpdateFeaturesResponse<'_> { throttle_time_ms error_code error_message results }
        UpdatableFeatureResult<'_> { feature error_code error_message }
    }
    DescribeProducersRequest describe_producers describe_producers_request {
        DescribeProducersRequest<'_> { topics }
        TopicRequest<'_> { name partition_indexes }
    }
    DescribeProducersResponse describe_producers describe_producers_response {
        DescribeProducersResponse<'_> { throttle_time_ms topics }
        TopicResponse<'_> { name partitions }
        PartitionResponse<'_> { partition_index error_code error_message active_producers }
        ProducerState { producer_id producer_epoch last_sequence last_timestamp coordinator_epoch current_txn_start_offset }
    }
    UnregisterBrokerRequest unregister_broker unregister_broker_request {
        UnregisterBrokerRequest { broker_id }
    }
    UnregisterBrokerResponse unregister_broker unregister_broker_response {
        UnregisterBrokerResponse<'_> { throttle_time_ms error_code error_message }
    }
    DescribeTransactionsRequest describe_transactions describe_transactions_request {
        DescribeTransactionsRequest<'_> { transactional_ids }
    }
    DescribeTransactionsResponse describe_transactions describe_transactions_response {
        DescribeTransactionsResponse<'_> { throttle_time_ms transaction_states }
        TransactionState<'_> { error_code transactional_id transaction_state transaction_timeout_ms transaction_start_time_ms producer_id producer_epoch topics }
        TopicData<'_> { topic partitions }
    }
    ListTransactionsRequest list_transactions list_transactions_request {
        ListTransactionsRequest<'_> { state_filters producer_id_filters duration_filter transactional_id_pattern }
    }
    ListTransactionsResponse list_transactions list_transactions_response {
        ListTransactionsResponse<'_> { throttle_time_ms error_code unknown_state_filters transaction_states }
        TransactionState<'_> { transactional_id producer_id transaction_state }
    }
    GetTelemetrySubscriptionsRequest get_telemetry_subscriptions get_telemetry_subscriptions_request {
        GetTelemetrySubscriptionsRequest { client_instance_id }
    }
    GetTelemetrySubscriptionsResponse get_telemetry_subscriptions get_telemetry_subscriptions_response {
        GetTelemetrySubscriptionsResponse<'_> { throttle_time_ms error_code client_instance_id subscription_id accepted_compression_types push_interval_ms telemetry_max_bytes delta_temporality requested_metrics }
    }
    PushTelemetryRequest push_telemetry push_telemetry_request {
        PushTelemetryRequest<'_> { client_instance_id subscription_id terminating compression_type metrics }
    }
    PushTelemetryResponse push_telemetry push_telemetry_response {
        PushTelemetryResponse { throttle_time_ms error_code }
    }
    ListConfigResourcesRequest list_config_resources list_config_resources_request {
        ListConfigResourcesRequest<'_> { resource_types }
    }
    ListConfigResourcesResponse list_config_resources list_config_resources_response {
        ListConfigResourcesResponse<'_> { throttle_time_ms error_code config_resources }
        ConfigResource<'_> { resource_name resource_type }
    }
}
