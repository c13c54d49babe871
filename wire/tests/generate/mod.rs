//! Writes random messages from their schemas, byte by byte and without the crate's own encoder, so that tests compare
//! two implementations of the wire format. Shared by tests and fuzz targets.
//!
//! What comes out is canonical: tagged fields are there only with values other than their defaults, so that decoding
//! and encoding again must give the same bytes.

#![allow(dead_code, elided_lifetimes_in_paths, unreachable_pub)]

use corelog_wire::api_key::{ApiKey, UnservedApi};
use corelog_wire::decoder::{DecodeError, Decoder};
use corelog_wire::encoder::{EncodeError, Encoder};
use corelog_wire::message::{FieldSchema, FieldType, Message, VersionRange};
use corelog_wire::primitives::Field;

/// An API whose messages the crate has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    pub key: i16,
    pub name: &'static str,
    pub versions: VersionRange,
    pub flexible_from: i16,
    /// None if it has no handler.
    pub served: Option<ApiKey>,
}

impl Api {
    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }
}

impl From<ApiKey> for Api {
    fn from(api: ApiKey) -> Self {
        Self {
            key: api.key(),
            name: api.name(),
            versions: api.versions(),
            flexible_from: api.flexible_from(),
            served: Some(api),
        }
    }
}

impl From<UnservedApi> for Api {
    fn from(api: UnservedApi) -> Self {
        Self {
            key: api.key(),
            name: api.name(),
            versions: api.versions(),
            flexible_from: api.flexible_from(),
            served: None,
        }
    }
}

/// One side of an API, or a message that belongs to none.
pub struct Entry {
    pub name: &'static str,
    /// Without name where there is none; its key is then what stands in front of a record's key, or -1.
    pub api: Api,
    pub is_request: bool,
    pub ty: FieldType,
    /// Decodes, and does nothing else; how many bytes were left.
    pub decode: fn(&[u8], i16) -> Result<usize, DecodeError>,
    /// Decodes in one version and encodes in another.
    pub convert: fn(&[u8], i16, i16) -> Result<Converted, DecodeError>,
}

/// How many bytes were left behind the message, and what it was encoded to.
pub type Converted = (usize, Result<Vec<u8>, EncodeError>);

impl Entry {
    pub fn name(&self) -> String {
        self.name.into()
    }

    /// Whether this is a request or a response.
    pub fn is_of_api(&self) -> bool {
        !self.api.name.is_empty()
    }

    /// Decodes all of `bytes` and encodes what was read again.
    pub fn round_trip(&self, bytes: &[u8], version: i16) -> Result<Vec<u8>, DecodeError> {
        let (left, encoded) = (self.convert)(bytes, version, version)?;
        assert_eq!(left, 0, "{} version {version} leaves bytes", self.name());
        Ok(encoded.expect("what was read can be written in its version"))
    }
}

/// Encodes `message`.
pub fn encode<'a>(message: &impl Message<'a>, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut encoder = Encoder::new();
    message.encode(&mut encoder, version)?;
    Ok(encoder.into_segments().concat())
}

macro_rules! entries {
    ($($api:ident $($unserved:ident)?: $module:ident $request:ident $response:ident;)*) => {
        vec![$(
            entries!(@entry (entries!(@api $api $($unserved)?)) true [corelog_wire::api::$module] $request),
            entries!(@entry (entries!(@api $api $($unserved)?)) false [corelog_wire::api::$module] $response),
        )*]
    };
    (without_api $($key:literal $($module:ident)::+ $message:ident;)*) => {
        vec![$(
            entries!(@entry (Api {
                key: $key,
                name: "",
                versions: corelog_wire::$($module)::+::$message::VERSIONS,
                flexible_from: corelog_wire::$($module)::+::$message::FLEXIBLE_FROM,
                served: None,
            }) false [corelog_wire::$($module)::+] $message),
        )*]
    };
    (@api $api:ident) => {
        ApiKey::$api
    };
    (@api $api:ident unserved) => {
        UnservedApi::$api
    };
    (@entry $api:tt $is_request:literal [$($module:tt)*] $message:ident) => {
        Entry {
            name: stringify!($message),
            api: $api.into(),
            is_request: $is_request,
            ty: <$($module)*::$message as Field>::TYPE,
            decode: |bytes, version| {
                let mut decoder = Decoder::new(bytes);
                $($module)*::$message::decode(&mut decoder, version)?;
                Ok(decoder.remaining())
            },
            convert: |bytes, from, to| {
                let mut decoder = Decoder::new(bytes);
                let message = $($module)*::$message::decode(&mut decoder, from)?;
                // Every element is read again by the comparison and by the formatting.
                let copy = message;
                assert_eq!(copy, message);
                assert!(!format!("{message:?}").is_empty());
                Ok((decoder.remaining(), encode(&message, to)))
            },
        }
    };
}

/// Both sides of every API, and the messages that belong to none.
pub fn entries() -> Vec<Entry> {
    let mut entries = entries! {
        Produce: produce ProduceRequest ProduceResponse;
        Fetch: fetch FetchRequest FetchResponse;
        ListOffsets: list_offsets ListOffsetsRequest ListOffsetsResponse;
        Metadata: metadata MetadataRequest MetadataResponse;
        FindCoordinator: find_coordinator FindCoordinatorRequest FindCoordinatorResponse;
        ApiVersions: api_versions ApiVersionsRequest ApiVersionsResponse;
        CreateTopics: create_topics CreateTopicsRequest CreateTopicsResponse;
        DeleteTopics: delete_topics DeleteTopicsRequest DeleteTopicsResponse;
        DeleteRecords: delete_records DeleteRecordsRequest DeleteRecordsResponse;
        InitProducerId: init_producer_id InitProducerIdRequest InitProducerIdResponse;
        OffsetForLeaderEpoch: offset_for_leader_epoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
        DescribeConfigs: describe_configs DescribeConfigsRequest DescribeConfigsResponse;
        AlterConfigs: alter_configs AlterConfigsRequest AlterConfigsResponse;
        DescribeLogDirs: describe_log_dirs DescribeLogDirsRequest DescribeLogDirsResponse;
        CreatePartitions: create_partitions CreatePartitionsRequest CreatePartitionsResponse;
        IncrementalAlterConfigs: incremental_alter_configs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
        DescribeCluster: describe_cluster DescribeClusterRequest DescribeClusterResponse;
        DescribeTopicPartitions: describe_topic_partitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
        OffsetCommit: offset_commit OffsetCommitRequest OffsetCommitResponse;
        OffsetFetch: offset_fetch OffsetFetchRequest OffsetFetchResponse;
        JoinGroup: join_group JoinGroupRequest JoinGroupResponse;
        Heartbeat: heartbeat HeartbeatRequest HeartbeatResponse;
        LeaveGroup: leave_group LeaveGroupRequest LeaveGroupResponse;
        SyncGroup: sync_group SyncGroupRequest SyncGroupResponse;
        DescribeGroups: describe_groups DescribeGroupsRequest DescribeGroupsResponse;
        ListGroups: list_groups ListGroupsRequest ListGroupsResponse;
        DeleteGroups: delete_groups DeleteGroupsRequest DeleteGroupsResponse;
        OffsetDelete: offset_delete OffsetDeleteRequest OffsetDeleteResponse;
        AlterReplicaLogDirs: alter_replica_log_dirs AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse;
        ElectLeaders: elect_leaders ElectLeadersRequest ElectLeadersResponse;
        AlterPartitionReassignments: alter_partition_reassignments AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse;
        ListPartitionReassignments: list_partition_reassignments ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse;
        DescribeClientQuotas: describe_client_quotas DescribeClientQuotasRequest DescribeClientQuotasResponse;
        AlterClientQuotas: alter_client_quotas AlterClientQuotasRequest AlterClientQuotasResponse;
        DescribeQuorum: describe_quorum DescribeQuorumRequest DescribeQuorumResponse;
        UpdateFeatures: update_features UpdateFeaturesRequest UpdateFeaturesResponse;
        DescribeProducers: describe_producers DescribeProducersRequest DescribeProducersResponse;
        UnregisterBroker: unregister_broker UnregisterBrokerRequest UnregisterBrokerResponse;
        DescribeTransactions unserved: describe_transactions DescribeTransactionsRequest DescribeTransactionsResponse;
        ListTransactions: list_transactions ListTransactionsRequest ListTransactionsResponse;
        GetTelemetrySubscriptions: get_telemetry_subscriptions GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse;
        PushTelemetry: push_telemetry PushTelemetryRequest PushTelemetryResponse;
        ListConfigResources: list_config_resources ListConfigResourcesRequest ListConfigResourcesResponse;
    };
    assert_eq!(entries.len(), 2 * (ApiKey::ALL.len() + UnservedApi::ALL.len()), "an API is missing here");
    entries.extend(entries! {
        without_api
        1 consumer_offsets OffsetCommitKey;
        1 consumer_offsets OffsetCommitValue;
        2 consumer_offsets GroupMetadataKey;
        2 consumer_offsets GroupMetadataValue;
        -1 consumer_protocol::subscription ConsumerProtocolSubscription;
        -1 consumer_protocol::assignment ConsumerProtocolAssignment;
    });
    entries
}

/// Every message and version.
pub fn every_version() -> impl Iterator<Item = (Entry, i16)> {
    entries().into_iter().flat_map(|entry| {
        let versions = entry.api.versions;
        (versions.min..=versions.max).map(move |version| (Entry { ..entry }, version))
    })
}

/// Choices made by the bytes of a test case; zero when they run out.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn int64(&mut self) -> i64 {
        let bytes: [u8; 8] = core::array::from_fn(|_| self.byte());
        match bytes[0] % 4 {
            0 => i64::from(bytes[1]) - 128,
            _ => i64::from_le_bytes(bytes),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        // Around the point where compact lengths take a second byte.
        let length = match self.byte() {
            255 => 130,
            length => usize::from(length % 20),
        };
        (0..length).map(|_| self.byte()).collect()
    }

    fn string(&mut self) -> String {
        self.bytes().into_iter().map(|byte| char::from_u32(u32::from(byte) * 3).unwrap_or('?')).collect()
    }
}

/// Writes messages of one version.
pub struct Generator<'a> {
    pub choices: Choices<'a>,
    pub version: i16,
    pub flexible: bool,
    /// Adds fields that no schema has to every section of tagged fields.
    pub unknown_tags: bool,
    out: Vec<u8>,
}

/// A message of this type, made by `choices`.
pub fn generate(entry: &Entry, version: i16, choices: &[u8], unknown_tags: bool) -> Vec<u8> {
    let mut generator = Generator {
        choices: Choices(choices),
        version,
        flexible: entry.api.is_flexible(version),
        unknown_tags,
        out: Vec::new(),
    };
    generator.value(entry.ty, false, false);
    generator.out
}

impl Generator<'_> {
    fn value(&mut self, ty: FieldType, nullable: bool, tagged: bool) {
        let null = nullable && !tagged && self.choices.byte().is_multiple_of(4);
        match ty {
            FieldType::Bool => {
                let value = tagged || self.choices.byte() % 2 == 1;
                self.out.push(u8::from(value));
            }
            FieldType::Int(size) => {
                // Defaults are 0, -1 or the highest or lowest value.
                let value = if tagged { i64::from(self.choices.byte() % 100) + 1 } else { self.choices.int64() };
                self.out.extend_from_slice(&value.to_be_bytes()[8 - size..]);
            }
            FieldType::Uint16 => {
                let value = [self.choices.byte(), self.choices.byte() | u8::from(tagged)];
                self.out.extend(value);
            }
            FieldType::Float64 => {
                // No NaN: it is not equal to itself.
                let value = f64::from(self.choices.int64() as i32) + if tagged { 0.5 } else { 0.0 };
                self.out.extend(value.to_be_bytes());
            }
            FieldType::Uuid => {
                let mut value: [u8; 16] = core::array::from_fn(|_| self.choices.byte());
                value[15] |= u8::from(tagged);
                self.out.extend(value);
            }
            FieldType::String => {
                let mut text = self.choices.string();
                if tagged {
                    text.push('x');
                }
                match (self.flexible, null) {
                    (true, _) => self.length(text.len(), null),
                    (false, true) => self.out.extend([0xff; 2]),
                    (false, false) => self.out.extend((text.len() as u16).to_be_bytes()),
                }
                if !null {
                    self.out.extend(text.bytes());
                }
            }
            FieldType::Bytes => {
                let bytes = self.choices.bytes();
                self.length(bytes.len(), null);
                if !null {
                    self.out.extend(bytes);
                }
            }
            FieldType::Array(element) => {
                let count = usize::from(self.choices.byte() % 4).max(usize::from(tagged));
                self.length(count, null);
                for _ in 0..if null { 0 } else { count } {
                    self.value(*element, false, false);
                }
            }
            FieldType::Struct { fields, .. } => {
                if nullable {
                    self.out.push(if null { 0xff } else { 1 });
                }
                if !null {
                    self.fields(fields, tagged);
                }
            }
        }
    }

    fn fields(&mut self, fields: &[FieldSchema], in_tagged: bool) {
        let present = fields.iter().copied().filter(|field| field.versions.contains(self.version));
        let (tagged, plain): (Vec<FieldSchema>, Vec<FieldSchema>) = present.partition(|field| field.tag.is_some());
        for field in plain {
            self.value(field.ty, field.nullable.contains(self.version), in_tagged);
        }
        if !self.flexible {
            assert!(tagged.is_empty(), "tagged fields need a flexible version");
            return;
        }
        let sent: Vec<_> = tagged.into_iter().filter(|_| self.choices.byte() % 2 == 1).collect();
        self.uvarint(sent.len() as u32 + 2 * u32::from(self.unknown_tags));
        for field in sent {
            self.uvarint(field.tag.expect("it is among the tagged"));
            let start = self.out.len();
            self.value(field.ty, field.nullable.contains(self.version), true);
            let body = self.out.split_off(start);
            self.uvarint(body.len() as u32);
            self.out.extend(body);
        }
        if self.unknown_tags {
            self.out.extend([99, 0, 0xe8, 0x07, 3, 1, 2, 3]);
        }
    }

    fn length(&mut self, length: usize, null: bool) {
        match (self.flexible, null) {
            (true, true) => self.out.push(0),
            (true, false) => self.uvarint(length as u32 + 1),
            (false, true) => self.out.extend([0xff; 4]),
            (false, false) => self.out.extend((length as u32).to_be_bytes()),
        }
    }

    fn uvarint(&mut self, value: u32) {
        let mut rest = value;
        loop {
            let more = rest >= 0x80;
            self.out.push((rest % 0x80) as u8 + if more { 0x80 } else { 0 });
            rest /= 0x80;
            if !more {
                break;
            }
        }
    }
}
