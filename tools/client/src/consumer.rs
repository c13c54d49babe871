//! Reads partitions that it was assigned: each from a position on, in order, every record once.
//!
//! Invariants:
//! - A partition has at most one fetch under way and one answer that was not taken yet: what nobody takes, nobody reads.
//! - A position moves only over what was handed out, so records come in order and none twice, whatever is tried again.
//! - Record bytes are never copied: what is handed out borrows from the frame that was read.

mod fetched;
mod request;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use corelog_wire::api::list_offsets::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use corelog_wire::error_code::ErrorCode;

use crate::cluster::Cluster;
use crate::connection::SendError;
use crate::limits::RETRY_BACKOFF;

pub use fetched::{Fetched, RecordsFault};

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// With the first record that is still there.
    Beginning,
    /// With the next record that will be written.
    End,
    /// With this offset.
    Offset(i64),
    /// With the first record that has this timestamp (ms since 1970) or a later one; at the end if there is none.
    Timestamp(i64),
}

impl Position {
    /// What asks a broker for the offset of this position.
    pub(crate) fn timestamp(self) -> i64 {
        match self {
            Self::Beginning => EARLIEST_TIMESTAMP,
            Self::End => LATEST_TIMESTAMP,
            Self::Timestamp(timestamp) => timestamp,
            Self::Offset(_) => panic!("an offset is a place already"),
        }
    }
}

/// How records are read.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerConfig {
    /// How long a broker may wait for records.
    pub wait_max: Duration,
    /// How many bytes of records it should have by then.
    pub bytes_min: i32,
    /// How many bytes of records an answer may have; a first batch that is larger is sent all the same (KIP-74).
    pub bytes_max: i32,
    /// The same for each partition in it.
    pub partition_bytes_max: i32,
    /// Whether records of transactions that were aborted, or are not decided yet, stay unread.
    pub committed_only: bool,
    /// Whether the checksums of batches are computed again.
    pub check_crcs: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            wait_max: Duration::from_millis(500),
            bytes_min: 1,
            bytes_max: 50 << 20,
            partition_bytes_max: 4 << 20,
            committed_only: true,
            check_crcs: true,
        }
    }
}

/// Why a partition is read no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// There is nothing at this offset, nor will be: the log has been cut off in front of it, or ends before it.
    OutOfRange(i64),
    /// The broker refused.
    Refused(ErrorCode),
    /// The broker lacks what is needed to ask it.
    Unsendable(SendError),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfRange(offset) => write!(f, "offset {offset} is not in its log"),
            Self::Refused(error) => error.fmt(f),
            Self::Unsendable(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

/// What there is to know about a partition.
#[derive(Clone, Debug)]
pub enum ReadEvent {
    /// Records, or only news of how far the log goes.
    Fetched(Fetched),
    /// It is read no further, unless it is assigned again.
    Failed {
        /// The topic.
        topic: Arc<str>,
        /// The partition.
        partition: i32,
        /// Why.
        error: ReadError,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Where to begin is to be asked.
    Unplaced(Position),
    Placing(Position),
    /// The next offset to read.
    At(i64),
    Fetching(i64),
    /// What was read from the first offset on is not taken yet; the second is read next.
    Held(i64, i64),
    Failed,
}

#[derive(Debug)]
struct Assignment {
    topic: Arc<str>,
    partition: i32,
    state: State,
    /// Nothing is asked before this.
    not_before: Duration,
}

/// A fetch or a search for offsets under way: its broker, and the partitions with what was asked for.
#[derive(Debug)]
struct Request {
    broker: i32,
    is_fetch: bool,
    partitions: Vec<u64>,
}

/// The consumer.
#[derive(Debug)]
pub(crate) struct Consumer {
    config: ConsumerConfig,
    /// By place, a number that is never used again: answers and events name partitions by it, and may come late.
    assignments: BTreeMap<u64, Assignment>,
    by_name: BTreeMap<(Arc<str>, i32), u64>,
    next_place: u64,
    requests: BTreeMap<u64, Request>,
    next_serial: u64,
    events: VecDeque<ReadEvent>,
    /// How many events there have been.
    news: u64,
    /// Whether something changed since requests were last sent.
    is_dirty: bool,
    seen_changes: u64,
}

impl Consumer {
    pub(crate) fn new(config: ConsumerConfig) -> Self {
        Self {
            config,
            assignments: BTreeMap::new(),
            by_name: BTreeMap::new(),
            next_place: 0,
            requests: BTreeMap::new(),
            next_serial: 0,
            events: VecDeque::new(),
            news: 0,
            is_dirty: false,
            seen_changes: 0,
        }
    }

    /// Reads a partition from a position on; what was read of it before and not taken yet is dropped.
    pub(crate) fn assign(&mut self, cluster: &mut Cluster, topic: &str, partition: i32, position: Position) {
        let topic = cluster.metadata.want(topic);
        let state = match position {
            Position::Offset(offset) => State::At(offset),
            other => State::Unplaced(other),
        };
        self.is_dirty = true;
        self.unassign(&topic, partition);
        self.by_name.insert((topic.clone(), partition), self.next_place);
        let assignment = Assignment { topic, partition, state, not_before: Duration::ZERO };
        self.assignments.insert(self.next_place, assignment);
        self.next_place += 1;
    }

    /// Stops reading a partition; what was read of it and not taken yet is dropped.
    pub(crate) fn unassign(&mut self, topic: &str, partition: i32) {
        if let Some(place) = self.by_name.remove(&(topic.into(), partition)) {
            self.assignments.remove(&place);
            self.events.retain(|event| match event {
                ReadEvent::Fetched(fetched) => fetched.place != place,
                ReadEvent::Failed { topic: of, partition: index, .. } => **of != *topic || *index != partition,
            });
        }
    }

    /// The next offset to be handed out, once it is known.
    pub(crate) fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let place = self.by_name.get(&(topic.into(), partition))?;
        match self.assignments[place].state {
            State::At(offset) | State::Fetching(offset) | State::Held(offset, _) => Some(offset),
            State::Unplaced(_) | State::Placing(_) | State::Failed => None,
        }
    }

    /// What was read. From now on, more of that partition is read.
    pub(crate) fn take_event(&mut self) -> Option<ReadEvent> {
        let event = self.events.pop_front()?;
        if let ReadEvent::Fetched(fetched) = &event {
            let assignment = self.assignments.get_mut(&fetched.place);
            if let Some(assignment) = assignment
                && let State::Held(_, next) = assignment.state
            {
                assignment.state = State::At(next);
                self.is_dirty = true;
            }
        }
        Some(event)
    }

    /// Asks for what can be asked for.
    pub(crate) fn poll(&mut self, now: Duration, cluster: &mut Cluster) {
        if self.seen_changes != cluster.changes {
            (self.seen_changes, self.is_dirty) = (cluster.changes, true);
        }
        let is_due = |assignment: &Assignment| {
            assignment.not_before > Duration::ZERO && assignment.not_before <= now && assignment.wants_request()
        };
        if self.is_dirty || self.assignments.values().any(is_due) {
            self.is_dirty = false;
            self.ask(now, cluster);
        }
    }

    fn fail(&mut self, place: u64, error: ReadError) {
        let Some(assignment) = self.assignments.get_mut(&place) else { return };
        assignment.state = State::Failed;
        let (topic, partition) = (assignment.topic.clone(), assignment.partition);
        self.tell(ReadEvent::Failed { topic, partition, error });
    }

    fn tell(&mut self, event: ReadEvent) {
        self.news += 1;
        self.events.push_back(event);
    }

    /// Grows with every event.
    pub(crate) fn news(&self) -> u64 {
        self.news
    }

    /// When [`Self::poll`] has something to do.
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        let waiting = self.assignments.values().filter(|assignment| assignment.wants_request());
        waiting.map(|assignment| assignment.not_before).filter(|at| *at > now).min()
    }
}

impl Assignment {
    fn wants_request(&self) -> bool {
        matches!(self.state, State::Unplaced(_) | State::At(_))
    }

    /// Goes back to where it was before the request, and waits a little.
    fn step_back(&mut self, now: Duration) {
        self.state = match self.state {
            State::Placing(position) => State::Unplaced(position),
            State::Fetching(offset) => State::At(offset),
            other => other,
        };
        self.not_before = now + RETRY_BACKOFF;
    }
}
