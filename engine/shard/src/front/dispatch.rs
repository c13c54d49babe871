//! From a request to its handler, and from what happened back to the handler of who waited for it: one arm per API.
//!
//! Routes only, and the only place that names every API's handler.

use core::net::IpAddr;

use bytes::Bytes;
use corelog_replication::controller::Rejection;
use corelog_replication::quorum::ProposalId;
use corelog_wire::api::api_versions::ApiVersionsRequest;
use corelog_wire::api_key::ApiKey;

use super::{Context, Front};
use crate::api::{self, Call, Outcome, Parked};
use crate::connection::RequestId;
use crate::coordinator::Reply;
use crate::io::ConnectionId;
use crate::mesh::FIRST;
use crate::quota::Kind;
use crate::telemetry::Source;

impl Front {
    /// Calls the handler of a request.
    pub(super) fn handle(&mut self, cx: &mut Context<'_>, id: RequestId, peer: IpAddr, frame: &Bytes) {
        self.call_handler(cx, id, peer, frame, false);
        self.reply_to_members(cx);
    }

    fn call_handler(&mut self, cx: &mut Context<'_>, id: RequestId, peer: IpAddr, frame: &Bytes, has_waited: bool) {
        let mut call = match Call::decode_header(frame) {
            Ok(call) => call,
            Err(reason) => return self.settle(cx, id, frame, Outcome::Close(reason)),
        };
        call.peer = peer;
        call.has_waited = has_waited;
        call.is_share = !cx.seat.is_home_of(id.connection);
        self.meter(cx, id, &mut call, frame);
        if matches!(call.to.api, ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry) {
            let outcome = self.metrics_of_client(cx, id.connection, &call);
            return self.settle(cx, id, frame, outcome);
        }
        let (shared, groups) = (&mut self.shared, &mut self.coordinator);
        let outcome = match call.to.api {
            api if api::sharing::changes_metadata(api) && !cx.seat.is_first() => Outcome::Elsewhere(FIRST),
            ApiKey::ApiVersions => api::api_versions::handle(&shared.identity, cx.metadata.image(), &call),
            ApiKey::Produce => api::produce::handle(cx, &call),
            ApiKey::Fetch => api::fetch::handle(shared, cx, &call),
            ApiKey::ListOffsets => api::list_offsets::handle(cx, &call),
            ApiKey::Metadata => api::metadata::handle(shared, cx, &call),
            ApiKey::CreateTopics => api::create_topics::handle(shared, cx, &call),
            ApiKey::CreatePartitions => api::create_partitions::handle(cx, &call),
            ApiKey::DeleteTopics => api::delete_topics::handle(cx, &call),
            ApiKey::DeleteRecords => api::delete_records::handle(cx, &call),
            ApiKey::InitProducerId => api::init_producer_id::handle(shared, cx, &call),
            ApiKey::OffsetForLeaderEpoch => api::offset_for_leader_epoch::handle(cx, &call),
            ApiKey::FindCoordinator => api::find_coordinator::handle(shared, cx, &call),
            ApiKey::JoinGroup => api::join_group::handle(groups, cx, id, &call),
            ApiKey::SyncGroup => api::sync_group::handle(groups, cx, id, &call),
            ApiKey::Heartbeat => api::heartbeat::handle(groups, cx, &call),
            ApiKey::LeaveGroup => api::leave_group::handle(groups, cx, &call),
            ApiKey::OffsetCommit => api::offset_commit::handle(groups, cx, id, &call),
            ApiKey::OffsetFetch => api::offset_fetch::handle(groups, cx, id, frame, &call),
            ApiKey::OffsetDelete => api::offset_delete::handle(groups, cx, id, &call),
            ApiKey::DescribeGroups => api::describe_groups::handle(groups, cx, &call),
            ApiKey::ListGroups => api::list_groups::handle(groups, cx, &call),
            ApiKey::DeleteGroups => api::delete_groups::handle(groups, cx, id, &call),
            ApiKey::DescribeCluster => api::describe_cluster::handle(&shared.identity, cx, &call),
            ApiKey::DescribeLogDirs => api::describe_log_dirs::handle(cx, &call),
            ApiKey::DescribeTopicPartitions => api::describe_topic_partitions::handle(cx, &call),
            ApiKey::DescribeConfigs => api::describe_configs::handle(cx, &call),
            ApiKey::AlterConfigs => api::alter_configs::handle(shared, cx, &call),
            ApiKey::IncrementalAlterConfigs => api::incremental_alter_configs::handle(shared, cx, &call),
            ApiKey::AlterReplicaLogDirs => api::alter_replica_log_dirs::handle(cx, &call),
            ApiKey::ElectLeaders => api::elect_leaders::handle(cx, &call),
            ApiKey::AlterPartitionReassignments => api::alter_partition_reassignments::handle(cx, &call),
            ApiKey::ListPartitionReassignments => api::list_partition_reassignments::handle(&call),
            ApiKey::DescribeClientQuotas => api::describe_client_quotas::handle(cx, &call),
            ApiKey::AlterClientQuotas => api::alter_client_quotas::handle(shared, cx, &call),
            ApiKey::DescribeQuorum => api::describe_quorum::handle(cx, &call),
            ApiKey::UpdateFeatures => api::update_features::handle(&call),
            ApiKey::DescribeProducers => api::describe_producers::handle(cx, &call),
            ApiKey::UnregisterBroker => api::unregister_broker::handle(cx, &call),
            ApiKey::ListTransactions => api::list_transactions::handle(&call),
            ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry => unreachable!("they are handled above"),
            ApiKey::ListConfigResources => api::list_config_resources::handle(cx, &call),
        };
        self.settle(cx, id, frame, outcome);
    }

    /// Finds out whose limits a request counts towards, and counts what is known of it.
    fn meter(&mut self, cx: &mut Context<'_>, id: RequestId, call: &mut Call<'_>, frame: &Bytes) {
        let now_us = cx.now.monotonic_us;
        if call.is_share && !api::sharing::changes_metadata(call.to.api) {
            return;
        }
        let client = cx.quotas.client(call.client_id, now_us / 1_000);
        call.to.client = client;
        if let Some(connection) = self.connections.get_mut(&id.connection) {
            connection.set_client(client);
            cx.quotas.taken_up(client);
            if call.to.api == ApiKey::ApiVersions
                && let Ok(request) = call.decode::<ApiVersionsRequest<'_>>()
            {
                connection.set_software(request.client_software_name, request.client_software_version);
            }
            if call.to.api == ApiKey::Produce {
                cx.quotas.record(client, Kind::Produce, frame.len() as f64, now_us);
            }
        }
    }

    /// Metrics of a client, or what it is to push.
    fn metrics_of_client(&mut self, cx: &mut Context<'_>, id: ConnectionId, call: &Call<'_>) -> Outcome {
        let connection = self.connections.get_mut(&id).expect("such requests are handled at home");
        let source = Source {
            client_id: call.client_id.unwrap_or_default(),
            software: connection.software(),
            peer: connection.peer(),
        };
        if call.to.api == ApiKey::PushTelemetry {
            return api::push_telemetry::handle(&mut self.telemetry, cx, &source, call);
        }
        let (outcome, instance) = api::get_telemetry_subscriptions::handle(&mut self.telemetry, cx, &source, call);
        if let Some(before) = instance.and_then(|instance| connection.set_instance(instance)) {
            self.telemetry.forget(before);
        }
        outcome
    }

    /// Answers those for whom their group has decided.
    pub(super) fn reply_to_members(&mut self, cx: &mut Context<'_>) {
        while let Some(reply) = self.coordinator.next_reply() {
            let id = reply.request();
            let is_complete = match (self.purgatory.get_mut(id), &reply) {
                (Some(Parked::DeleteGroups(pending)), Reply::Written(waiter, result)) => {
                    pending.written(waiter.entry, *result)
                }
                (Some(Parked::UnstableOffsets(unstable)), Reply::Written(..)) => unstable.written(),
                _ => true,
            };
            if !is_complete {
                continue;
            }
            // Who is gone, or has waited too long, hears nothing.
            let Some(parked) = self.purgatory.take(id) else { continue };
            let outcome = match (parked, reply) {
                (Parked::JoinGroup(pending), Reply::Join(_, answer)) => pending.answer(&answer),
                (Parked::SyncGroup(pending), Reply::Sync(_, answer)) => pending.answer(&answer),
                (Parked::OffsetCommit(pending), Reply::Written(_, result)) => pending.answer(result),
                (Parked::OffsetDelete(pending), Reply::Written(_, result)) => pending.answer(result),
                (Parked::DeleteGroups(pending), Reply::Written(..)) => pending.answer(),
                (Parked::UnstableOffsets(unstable), Reply::Written(..)) => {
                    self.call_handler(cx, id, unstable.peer, &unstable.frame, true);
                    self.flush(cx, id.connection);
                    continue;
                }
                (parked, reply) => unreachable!("{reply:?} is no answer for {parked:?}"),
            };
            self.settle_and_flush(cx, id, outcome);
        }
    }

    /// Answers a request for which nothing is missing any more.
    pub(super) fn answer_complete(&mut self, cx: &mut Context<'_>, id: RequestId) {
        let outcome = match self.purgatory.take(id) {
            Some(Parked::Produce(pending)) => pending.answer(cx),
            Some(Parked::ListOffsets(pending)) => pending.answer(),
            Some(Parked::DeleteRecords(pending)) => pending.answer(cx),
            Some(Parked::OffsetForLeaderEpoch(pending)) => pending.answer(),
            Some(Parked::DescribeLogDirs(pending)) => pending.answer(cx),
            Some(Parked::OffsetFetch(pending)) => pending.answer(),
            Some(Parked::DescribeGroups(pending)) => pending.answer(),
            Some(Parked::ListGroups(pending)) => pending.answer(),
            Some(Parked::DeleteGroups(pending)) => pending.answer(),
            Some(Parked::DescribeProducers(pending)) => pending.answer(),
            other => unreachable!("{other:?} is answered elsewhere"),
        };
        self.settle_and_flush(cx, id, outcome);
    }

    /// A change of the metadata is decided, and this shard has applied it, or it was refused.
    pub fn proposal_applied(&mut self, cx: &mut Context<'_>, proposal: ProposalId, outcome: Result<(), Rejection>) {
        self.shared.creation.decided(proposal);
        self.shared.producer_ids.decided(proposal, &outcome);
        self.shared.undecided_configs.decided(proposal);
        self.shared.undecided_quotas.decided(proposal);
        for id in self.purgatory.proposal_decided(proposal) {
            let Some(parked) = self.purgatory.get_mut(id) else { continue };
            let done = match parked {
                Parked::Metadata(pending) => pending.decided(),
                Parked::CreateTopics(pending) => pending.decided(proposal, &outcome),
                Parked::CreatePartitions(pending) => pending.decided(proposal, &outcome),
                Parked::DeleteTopics(pending) => pending.decided(proposal, &outcome),
                Parked::InitProducerId(_) | Parked::FindCoordinator(_) => true,
                Parked::ConfigChanges(pending) => pending.decided(proposal, &outcome),
                Parked::AlterClientQuotas(pending) => pending.decided(proposal, &outcome),
                _ => {
                    unreachable!("it asks for no change")
                }
            };
            if done {
                let parked = self.purgatory.take(id).expect("it was there");
                let outcome = match parked {
                    Parked::Metadata(pending) => pending.answer(&self.shared, cx),
                    Parked::CreateTopics(pending) => pending.answer(cx),
                    Parked::CreatePartitions(pending) => pending.answer(),
                    Parked::DeleteTopics(pending) => pending.answer(),
                    Parked::InitProducerId(pending) => pending.go_on(&mut self.shared, cx),
                    Parked::ConfigChanges(pending) => pending.answer(),
                    Parked::FindCoordinator(pending) => pending.answer(&self.shared.identity, cx),
                    Parked::AlterClientQuotas(pending) => pending.answer(),
                    _ => {
                        unreachable!("as above")
                    }
                };
                self.settle_and_flush(cx, id, outcome);
            }
        }
    }
}

/// What becomes of a request whose time is up.
pub(super) fn expired(cx: &mut Context<'_>, parked: Parked) -> Outcome {
    match parked {
        Parked::Produce(pending) => pending.expired(cx),
        Parked::CreateTopics(pending) => pending.expired(cx),
        Parked::CreatePartitions(pending) => pending.expired(),
        Parked::DeleteTopics(pending) => pending.expired(),
        Parked::DeleteRecords(pending) => pending.answer(cx),
        Parked::OffsetCommit(pending) => pending.expired(),
        Parked::OffsetDelete(pending) => pending.expired(),
        Parked::DeleteGroups(pending) => pending.expired(),
        Parked::UnstableOffsets(unstable) => unstable.expired(cx),
        other => unreachable!("{other:?} has no deadline"),
    }
}
