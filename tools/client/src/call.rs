//! Single requests: to any broker, to the controller, to a certain broker or to the leader of a partition.
//!
//! Invariants: a call ends once, with an answer or with why there is none, at its deadline at the latest. One that changes
//! something is sent once: where its connection breaks, nobody knows what became of it, and it says so.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corelog_wire::api_key::ApiKey;
use corelog_wire::encoder::EncodeError;
use corelog_wire::header::RequestHeader;

use crate::cluster::{Cluster, Tag};
use crate::connection::{Answer, Connection, ConnectionError, SendError};

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever answers.
    Any,
    /// The controller, or any broker that passes requests on to it where none is named.
    Controller,
    /// The broker with this id.
    Broker(i32),
    /// The leader of a partition.
    Leader(Arc<str>, i32),
}

/// Writes a request behind the header that it is given, in the version that the header names.
pub type Encode = Box<dyn Fn(&RequestHeader<'_>) -> Result<Vec<Bytes>, EncodeError> + Send>;

/// A request to be made.
pub struct Call {
    /// The API.
    pub api: ApiKey,
    /// Whom to ask.
    pub target: Target,
    /// The highest version that would do.
    pub version_max: i16,
    /// Whether it changes something: then it is sent once.
    pub changes_something: bool,
    /// How long all of it may take; the client's request timeout where it is not said.
    pub timeout: Option<Duration>,
    /// Writes it.
    pub encode: Encode,
}

impl Call {
    /// A request that changes nothing, to any broker.
    pub fn new(
        api: ApiKey,
        encode: impl Fn(&RequestHeader<'_>) -> Result<Vec<Bytes>, EncodeError> + Send + 'static,
    ) -> Self {
        Self {
            api,
            target: Target::Any,
            version_max: i16::MAX,
            changes_something: false,
            timeout: None,
            encode: Box::new(encode),
        }
    }

    /// The same, to somebody else.
    #[must_use]
    pub fn to(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// The same, as one that changes something.
    #[must_use]
    pub fn changing(mut self) -> Self {
        self.changes_something = true;
        self
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("api", &self.api).field("target", &self.target).finish_non_exhaustive()
    }
}

/// Names a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(pub(crate) u64);

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// Nobody could be asked in time, or nobody answered; with what went wrong, where that is known.
    TimedOut(ApiKey, Option<String>),
    /// The connection broke before the answer came: nobody knows whether the change was made.
    Unknown(ApiKey, ConnectionError),
    /// The broker cannot be asked that.
    Unsendable(SendError),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut(api, None) => write!(f, "no broker answered {api} in time"),
            Self::TimedOut(api, Some(reason)) => write!(f, "no broker answered {api} in time: {reason}"),
            Self::Unknown(api, error) => {
                write!(f, "the connection broke before {api} was answered ({error}); whether it was done is not known")
            }
            Self::Unsendable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CallError {}

#[derive(Debug)]
struct Pending {
    call: Call,
    deadline: Duration,
    is_under_way: bool,
    last_failure: Option<String>,
}

/// The calls of a client.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pending: BTreeMap<u64, Pending>,
    done: BTreeMap<u64, Result<Answer, CallError>>,
    /// How many calls have ended.
    news: u64,
    next: u64,
}

impl Calls {
    pub(crate) fn begin(&mut self, now: Duration, cluster: &mut Cluster, call: Call) -> CallId {
        if let Target::Leader(topic, _) = &call.target {
            cluster.metadata.want(topic);
        }
        let id = self.next;
        self.next += 1;
        let deadline = call.timeout.map_or_else(|| cluster.request_deadline(now), |timeout| now + timeout);
        self.pending.insert(id, Pending { call, deadline, is_under_way: false, last_failure: None });
        CallId(id)
    }

    pub(crate) fn poll(&mut self, now: Duration, cluster: &mut Cluster) {
        let mut ended = Vec::new();
        for (id, pending) in &mut self.pending {
            if pending.deadline <= now {
                let reason = pending.last_failure.take().or_else(|| {
                    let (address, error) = cluster.failures().next()?;
                    Some(format!("{address}: {error}"))
                });
                ended.push((*id, CallError::TimedOut(pending.call.api, reason)));
            } else if !pending.is_under_way
                && let Some(connection) = connection_to(now, cluster, &pending.call.target)
            {
                let call = &pending.call;
                let deadline = Some(pending.deadline);
                match connection.send_with(call.api, call.version_max, deadline, Tag::Call(*id), &call.encode) {
                    Ok(_) => pending.is_under_way = true,
                    Err(error) => ended.push((*id, CallError::Unsendable(error))),
                }
            }
        }
        for (id, error) in ended {
            self.pending.remove(&id);
            self.end(id, Err(error));
        }
    }

    pub(crate) fn answered(&mut self, id: u64, result: Result<Answer, ConnectionError>) {
        let Some(mut pending) = self.pending.remove(&id) else { return };
        match result {
            Ok(answer) => {
                self.end(id, Ok(answer));
            }
            Err(error) if pending.call.changes_something => {
                self.end(id, Err(CallError::Unknown(pending.call.api, error)));
            }
            Err(error) => {
                pending.is_under_way = false;
                pending.last_failure = Some(error.to_string());
                self.pending.insert(id, pending);
            }
        }
    }

    fn end(&mut self, id: u64, result: Result<Answer, CallError>) {
        self.news += 1;
        self.done.insert(id, result);
    }

    /// Grows with every call that ends.
    pub(crate) fn news(&self) -> u64 {
        self.news
    }

    pub(crate) fn take(&mut self, id: CallId) -> Option<Result<Answer, CallError>> {
        self.done.remove(&id.0)
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.pending.values().map(|pending| pending.deadline).min()
    }
}

/// The connection on which a target can be asked, if it is ready.
fn connection_to<'a>(now: Duration, cluster: &'a mut Cluster, target: &Target) -> Option<&'a mut Connection<Tag>> {
    match target {
        Target::Any => cluster.any(now),
        Target::Controller => match cluster.metadata.controller() {
            Some(controller) => cluster.broker(now, controller),
            None => cluster.any(now),
        },
        Target::Broker(id) => cluster.broker(now, *id),
        Target::Leader(topic, partition) => match cluster.metadata.leader(topic, *partition) {
            Some((leader, _)) => cluster.broker(now, leader),
            None => {
                cluster.metadata.mark_stale();
                None
            }
        },
    }
}
