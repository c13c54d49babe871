//! One connection to a broker: frames, correlation ids, versions.
//!
//! Invariants:
//! - The first request is ApiVersions. Nothing else is sent before its answer is there; what the broker does not speak is
//!   refused here, never sent.
//! - A broker answers in the order in which it was asked. An answer out of turn means that the two sides no longer agree,
//!   and the connection is of no use any more.
//! - Answers are cut out of the bytes that were read, without a copy.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use corelog_wire::api::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use corelog_wire::api_key::ApiKey;
use corelog_wire::decoder::{DecodeError, Decoder};
use corelog_wire::encoder::EncodeError;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::frame::encode_request;
use corelog_wire::header::{RequestHeader, ResponseHeader};
use corelog_wire::message::{Message, Request, VersionRange};

use crate::limits::{ANSWER_BYTES_MAX, READ_BYTES_MIN};

/// A frame's length prefix.
const PREFIX: usize = 4;

/// Why a connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionError {
    /// It could not be opened, or it broke; in the words of the system.
    Broken(String),
    /// What came is no answer of a Kafka broker.
    NotKafka(String),
    /// The broker refused to say what it speaks.
    Refused(ErrorCode),
    /// A request was not answered in time.
    TimedOut(ApiKey),
    /// The client closed it itself.
    Closed,
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(reason) => f.write_str(reason),
            Self::NotKafka(reason) => write!(f, "it does not speak Kafka's protocol: {reason}"),
            Self::Refused(error) => write!(f, "it refused the connection with {error}"),
            Self::TimedOut(api) => write!(f, "it did not answer {api} in time"),
            Self::Closed => f.write_str("the connection was closed"),
        }
    }
}

impl std::error::Error for ConnectionError {}

/// A request that cannot be sent to this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The broker lacks the API, or every version of it that would do.
    Unsupported(ApiKey),
    /// The request says something that the version agreed on cannot.
    Encode(ApiKey, EncodeError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(api) => write!(f, "the broker cannot do {api} in a version that this client speaks"),
            Self::Encode(api, error) => write!(f, "{api} cannot be sent to this broker: {error}"),
        }
    }
}

impl std::error::Error for SendError {}

/// What a broker answered: a frame, not decoded yet.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The API.
    pub api: ApiKey,
    /// The version of request and answer.
    pub version: i16,
    /// Header and body.
    pub frame: Bytes,
}

impl Answer {
    /// Reads the answer, borrowed from its frame.
    ///
    /// # Errors
    /// The bytes are no such answer.
    pub fn decode<'r, M: Message<'r>>(&'r self) -> Result<M, DecodeError> {
        let mut decoder = Decoder::new(&self.frame);
        ResponseHeader::decode(&mut decoder, self.api, self.version)?;
        M::decode(&mut decoder, self.version)
    }
}

/// What a connection yields, in order.
#[derive(Clone, Debug)]
pub enum Yield<T> {
    /// Requests can be sent now.
    Ready,
    /// An answer, and what its request was tagged with.
    Answer(T, Answer),
}

#[derive(Debug)]
struct InFlight<T> {
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    deadline: Duration,
    /// None for ApiVersions, which is nobody's but ours.
    tag: Option<T>,
}

/// The protocol of one connection. `T` tells requests apart for whoever sends them.
pub struct Connection<T> {
    client_id: String,
    next_id: i32,
    in_flight: VecDeque<InFlight<T>>,
    /// The broker's ranges, once they are known.
    versions: Option<BTreeMap<i16, VersionRange>>,
    input: BytesMut,
    /// How much of `input` was read; the rest is room.
    filled: usize,
    output: Vec<Bytes>,
}

impl<T: fmt::Debug> fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_ready = self.versions.is_some();
        let mut shown = f.debug_struct("Connection");
        shown.field("is_ready", &is_ready).field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl<T> Connection<T> {
    /// A connection that was just opened: asks what the broker speaks, which is to be answered by `deadline`.
    pub fn open(client_id: &str, deadline: Duration) -> Self {
        let mut connection = Self {
            client_id: client_id.to_owned(),
            next_id: 0,
            in_flight: VecDeque::new(),
            versions: None,
            input: BytesMut::new(),
            filled: 0,
            output: Vec::new(),
        };
        connection.ask_versions(ApiKey::ApiVersions.max_version(), deadline);
        connection
    }

    fn ask_versions(&mut self, version: i16, deadline: Duration) {
        let request = ApiVersionsRequest {
            client_software_name: "corelog",
            client_software_version: env!("CARGO_PKG_VERSION"),
            ..Default::default()
        };
        self.put(ApiKey::ApiVersions, version, Some(deadline), None, |header| encode_request(header, &request))
            .expect("ApiVersions can be written in every version");
    }

    /// Whether requests can be sent.
    pub fn is_ready(&self) -> bool {
        self.versions.is_some()
    }

    /// The version that both sides have and that is not above `version_max`.
    pub fn version(&self, api: ApiKey, version_max: i16) -> Option<i16> {
        let (theirs, ours) = (self.versions.as_ref()?.get(&api.key())?, api.versions());
        let version = theirs.max.min(ours.max).min(version_max);
        (version >= theirs.min && version >= ours.min).then_some(version)
    }

    /// The broker's own range of an API.
    pub fn broker_range(&self, api: i16) -> Option<VersionRange> {
        self.versions.as_ref()?.get(&api).copied()
    }

    /// Sends a request in the highest version that both sides have. It is to be answered by `deadline`; without one, it
    /// is never answered (Produce with acks 0).
    pub fn send<'a, R: Request<'a>>(
        &mut self,
        request: &R,
        version_max: i16,
        deadline: Option<Duration>,
        tag: T,
    ) -> Result<i16, SendError> {
        self.send_with(R::KEY, version_max, deadline, tag, |header| encode_request(header, request))
    }

    /// As [`Self::send`], for a request that depends on the version: `encode` gets the header to write in front.
    pub fn send_with(
        &mut self,
        api: ApiKey,
        version_max: i16,
        deadline: Option<Duration>,
        tag: T,
        encode: impl FnOnce(&RequestHeader<'_>) -> Result<Vec<Bytes>, EncodeError>,
    ) -> Result<i16, SendError> {
        let version = self.version(api, version_max).ok_or(SendError::Unsupported(api))?;
        self.put(api, version, deadline, Some(tag), encode)?;
        Ok(version)
    }

    fn put(
        &mut self,
        api: ApiKey,
        version: i16,
        deadline: Option<Duration>,
        tag: Option<T>,
        encode: impl FnOnce(&RequestHeader<'_>) -> Result<Vec<Bytes>, EncodeError>,
    ) -> Result<(), SendError> {
        let header = RequestHeader {
            request_api_key: api.key(),
            request_api_version: version,
            correlation_id: self.next_id,
            client_id: Some(&self.client_id),
        };
        let segments = encode(&header).map_err(|error| SendError::Encode(api, error))?;
        self.output.extend(segments);
        if let Some(deadline) = deadline {
            self.in_flight.push_back(InFlight { correlation_id: self.next_id, api, version, deadline, tag });
        }
        self.next_id = self.next_id.wrapping_add(1) & i32::MAX;
        Ok(())
    }

    /// What is to be written to the socket, in order.
    pub fn take_output(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.output)
    }

    /// Whether there is something to write.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// The requests that are not answered yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The request that waits longest, if it should have been answered by `now`.
    pub fn overdue(&self, now: Duration) -> Option<ApiKey> {
        self.in_flight.iter().find(|request| request.deadline <= now).map(|request| request.api)
    }

    /// When the next request will be overdue.
    pub fn deadline(&self) -> Option<Duration> {
        self.in_flight.iter().map(|request| request.deadline).min()
    }

    /// The tags of the requests that will not be answered any more: the connection is gone.
    pub fn into_unanswered(self) -> impl Iterator<Item = T> {
        self.in_flight.into_iter().filter_map(|request| request.tag)
    }

    /// Room to read into; never empty. Say with [`Self::received`] how much of it was filled.
    pub fn room(&mut self) -> &mut [u8] {
        let rest = self.frame_length().map_or(PREFIX, |length| PREFIX + length).saturating_sub(self.filled).max(1);
        if self.input.len() - self.filled < rest {
            self.input.truncate(self.filled);
            self.input.resize(self.filled + rest.max(READ_BYTES_MIN), 0);
        }
        &mut self.input[self.filled..]
    }

    /// Says that so many bytes were read into [`Self::room`], and gives what they complete.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub fn received(&mut self, count: usize, yields: &mut Vec<Yield<T>>) -> Result<(), ConnectionError> {
        assert!(count <= self.input.len() - self.filled, "no more is read than there was room for");
        self.filled += count;
        while let Some(length) = self.frame_length() {
            if length > ANSWER_BYTES_MAX {
                return Err(ConnectionError::NotKafka(format!("it announced an answer of {length} bytes")));
            }
            if self.filled < PREFIX + length {
                break;
            }
            let mut frame = self.input.split_to(PREFIX + length);
            self.filled -= PREFIX + length;
            let frame = frame.split_off(PREFIX).freeze();
            if let Some(one) = self.answered(frame)? {
                yields.push(one);
            }
        }
        Ok(())
    }

    /// The length of the frame that is being read; a negative one comes out as too large.
    fn frame_length(&self) -> Option<usize> {
        let prefix = self.input[..self.filled].first_chunk::<PREFIX>()?;
        Some(u32::from_be_bytes(*prefix) as usize)
    }

    fn answered(&mut self, frame: Bytes) -> Result<Option<Yield<T>>, ConnectionError> {
        let not_kafka = |reason: &str| ConnectionError::NotKafka(reason.to_owned());
        let request = self.in_flight.pop_front().ok_or_else(|| not_kafka("it answered what nobody asked"))?;
        let id = frame.first_chunk().map(|id| i32::from_be_bytes(*id));
        if id != Some(request.correlation_id) {
            return Err(not_kafka("its answers are not in the order of the requests"));
        }
        let answer = Answer { api: request.api, version: request.version, frame };
        match request.tag {
            Some(tag) => Ok(Some(Yield::Answer(tag, answer))),
            None => Ok(self.versions_answered(answer, request.deadline)?.then_some(Yield::Ready)),
        }
    }

    /// Takes the broker's ranges. A broker that does not have our version answers in version 0 (KIP-511), and is asked
    /// again in the highest that it has.
    fn versions_answered(&mut self, answer: Answer, deadline: Duration) -> Result<bool, ConnectionError> {
        let garbled = |error: DecodeError| ConnectionError::NotKafka(error.to_string());
        let mut decoder = Decoder::new(&answer.frame);
        ResponseHeader::decode(&mut decoder, ApiKey::ApiVersions, answer.version).map_err(garbled)?;
        let error = decoder.clone().int16().map(ErrorCode).map_err(garbled)?;
        let refused = error == ErrorCode::UNSUPPORTED_VERSION && answer.version > 0;
        let version = if refused { 0 } else { answer.version };
        let response = ApiVersionsResponse::decode(&mut decoder, version).map_err(garbled)?;
        if refused {
            // A broker of before KIP-511 names no ranges; it does have version 0.
            let theirs = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions.key());
            let version = theirs.map_or(0, |theirs| theirs.max_version).clamp(0, answer.version - 1);
            self.ask_versions(version, deadline);
            return Ok(false);
        }
        if !error.is_none() {
            return Err(ConnectionError::Refused(error));
        }
        let range = |api: corelog_wire::api::api_versions::ApiVersion| {
            (api.api_key, VersionRange { min: api.min_version, max: api.max_version })
        };
        self.versions = Some(response.api_keys.iter().map(range).collect());
        Ok(true)
    }
}
