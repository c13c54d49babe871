//! Which broker coordinates the group, how it is asked, and what its errors mean.

use std::time::Duration;

use bytes::Bytes;
use corelog_wire::api::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse, GROUP_KEY};
use corelog_wire::api_key::ApiKey;
use corelog_wire::array::Array;
use corelog_wire::encoder::EncodeError;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::frame::encode_request;
use corelog_wire::header::RequestHeader;

use super::{GroupError, GroupMember};
use crate::address::Address;
use crate::cluster::{Cluster, Tag};
use crate::connection::{Answer, ConnectionError};
use crate::consumer::Consumer;

/// The first version of FindCoordinator that asks for many keys, and no longer for one.
const MANY_KEYS: i16 = 4;

/// What an error of the coordinator means for a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is none.
    Fine,
    /// To be tried again.
    Again,
    /// Another broker is to be asked.
    Elsewhere,
    /// The group rebalances; the member is to join again.
    Rejoin,
    /// The group knows the member no longer, or is in another generation, where the member may keep its id.
    Forgotten { keeps_id: bool },
    /// It will not get better.
    Fatal,
}

pub(super) fn verdict(error: ErrorCode) -> Verdict {
    match error {
        ErrorCode::NONE => Verdict::Fine,
        ErrorCode::NOT_COORDINATOR | ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::REQUEST_TIMED_OUT => {
            Verdict::Elsewhere
        }
        ErrorCode::REBALANCE_IN_PROGRESS => Verdict::Rejoin,
        ErrorCode::UNKNOWN_MEMBER_ID => Verdict::Forgotten { keeps_id: false },
        ErrorCode::ILLEGAL_GENERATION => Verdict::Forgotten { keeps_id: true },
        error if error.is_retriable() => Verdict::Again,
        _ => Verdict::Fatal,
    }
}

/// What FindCoordinator says of a group.
pub(crate) enum Found {
    /// The broker with this id coordinates it, and is there.
    At(i32, Address),
    /// None does; with the broker's words, if it has any.
    Nowhere(ErrorCode, Option<String>),
}

/// What FindCoordinator says of its one key.
///
/// # Errors
/// The answer makes no sense.
pub(crate) fn read_coordinator(answer: &Answer) -> Result<Found, String> {
    let response: FindCoordinatorResponse<'_> = answer.decode().map_err(|error| error.to_string())?;
    let (error, message, id, host, port) = match response.coordinators.first() {
        Some(one) if answer.version >= MANY_KEYS => {
            (one.error_code, one.error_message, one.node_id, one.host, one.port)
        }
        None if answer.version >= MANY_KEYS => return Err("it names no coordinator".to_owned()),
        _ => (response.error_code, response.error_message, response.node_id, response.host, response.port),
    };
    if !error.is_none() {
        return Ok(Found::Nowhere(error, message.filter(|message| !message.is_empty()).map(str::to_owned)));
    }
    match u16::try_from(port) {
        Ok(port) if port > 0 && !host.is_empty() && id >= 0 => Ok(Found::At(id, Address::new(host, port))),
        _ => Err(format!("it names a coordinator {id} at {host:?}, port {port}")),
    }
}

/// Writes FindCoordinator for one group.
pub(crate) fn find_coordinator(header: &RequestHeader<'_>, group: &str) -> Result<Vec<Bytes>, EncodeError> {
    let keys = [group];
    let has_many = header.request_api_version >= MANY_KEYS;
    let request = FindCoordinatorRequest {
        key: if has_many { "" } else { group },
        key_type: GROUP_KEY,
        coordinator_keys: if has_many { (&keys).into() } else { Array::EMPTY },
    };
    encode_request(header, &request)
}

impl GroupMember {
    /// Whether the coordinator is known, and was not found to be gone; otherwise it is looked for.
    pub(super) fn has_coordinator(&mut self, now: Duration, cluster: &mut Cluster, consumer: &mut Consumer) -> bool {
        if self.coordinator.as_ref().is_some_and(|address| cluster.has_lost_coordinator(address)) {
            self.lose_coordinator(now, cluster);
        }
        if self.coordinator.is_some() {
            return true;
        }
        if self.finding.is_none() && self.not_before <= now {
            let deadline = Some(cluster.request_deadline(now));
            let tag = Tag::Group(self.next_serial);
            let group = &self.config.group_id;
            let Some(connection) = cluster.any(now) else { return false };
            let sent = connection
                .send_with(ApiKey::FindCoordinator, i16::MAX, deadline, tag, |header| find_coordinator(header, group));
            match sent {
                Ok(_) => {
                    self.finding = Some(self.next_serial);
                    self.next_serial += 1;
                }
                Err(error) => self.fail(cluster, consumer, GroupError::Unsendable(error)),
            }
        }
        false
    }

    pub(super) fn found(
        &mut self,
        now: Duration,
        cluster: &mut Cluster,
        consumer: &mut Consumer,
        result: &Result<Answer, ConnectionError>,
    ) {
        let Ok(answer) = result else { return self.pause(now) };
        match read_coordinator(answer) {
            Ok(Found::At(_, address)) => self.coordinator = Some(address),
            Ok(Found::Nowhere(error, _)) if error.is_retriable() => self.pause(now),
            Ok(Found::Nowhere(error, _)) => {
                self.fail(cluster, consumer, GroupError::Refused(ApiKey::FindCoordinator, error));
            }
            Err(reason) => self.fail(cluster, consumer, nonsense(ApiKey::FindCoordinator, reason)),
        }
    }

    /// The coordinator is gone, or is it no longer: it is looked for, after a pause. What it was asked is asked again.
    pub(super) fn lose_coordinator(&mut self, now: Duration, cluster: &mut Cluster) {
        self.pause(now);
        (self.step, self.heartbeat, self.commit, self.fetch) = (None, None, None, None);
        // A generation that was not entered is over: others wait for nobody twice.
        if matches!(self.phase, super::Phase::Assigning { .. } | super::Phase::Syncing { .. }) {
            self.phase = super::Phase::Joining;
        }
        if let Some(address) = self.coordinator.take() {
            cluster.hang_up(&address);
        }
    }

    /// Sends something to the coordinator, if its connection is ready; the serial of the request.
    ///
    /// # Errors
    /// The coordinator cannot be asked that.
    pub(super) fn ask(
        &self,
        now: Duration,
        cluster: &mut Cluster,
        api: ApiKey,
        version_max: i16,
        deadline: Duration,
        encode: impl FnOnce(&RequestHeader<'_>) -> Result<Vec<Bytes>, EncodeError>,
    ) -> Result<Option<u64>, GroupError> {
        let address = self.coordinator.as_ref().expect("it is asked once it is known");
        let Some(connection) = cluster.coordinator(now, address) else { return Ok(None) };
        let tag = Tag::Group(self.next_serial);
        match connection.send_with(api, version_max, Some(deadline), tag, encode) {
            Ok(_) => Ok(Some(self.next_serial)),
            Err(error) => Err(GroupError::Unsendable(error)),
        }
    }
}

/// An answer of this API makes no sense.
pub(super) fn nonsense(api: ApiKey, reason: impl std::fmt::Display) -> GroupError {
    GroupError::Nonsense(format!("the coordinator's answer to {api} makes no sense: {reason}"))
}
