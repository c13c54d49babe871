//! The metadata log's consensus: the `raft` crate without its clock, its disk and its network.
//!
//! For now a quorum of one. It runs the same path as a larger one: propose, persist, commit, apply; nothing is committed
//! because the node is alone, but because a majority (itself) has it on stable storage.
//!
//! Invariants:
//! - An entry commits only after the [`Ready`] that holds it was reported by [`Quorum::persisted`]. So whatever
//!   [`Quorum::take_committed`] gives out survives every crash.
//! - Readies are persisted in the order of their numbers, and of one Ready the hard state no later than the entries.
//! - A start takes a new term, so entries of different runs are never mixed up.
//! - Bytes that the caller persists are ours ([`persisted`]); protobuf reads nothing that comes from outside.
//!
//! How to drive it, once per turn and after any number of calls of [`Quorum::propose`], [`Quorum::tick`] and
//! [`Quorum::persisted`]: persist everything that [`Quorum::poll_ready`] gives until it gives nothing, then apply what
//! [`Quorum::take_committed`] gives. Proposals of one turn leave together in one Ready.

mod log;
pub mod persisted;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::{fmt, mem};

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType};
use raft::{Config, RawNode, StateRole};

use self::log::Log;
pub use self::persisted::{HardState, LogEntry, PersistedError};
use crate::ids::{BrokerId, MetadataOffset};
use crate::limits;
use crate::metadata::encoding::{self, DecodeError, EncodeError};
use crate::metadata::record::MetadataRecord;

/// Ticks between a leader's heartbeats.
const HEARTBEAT_TICKS: usize = 2;
/// Ticks without a leader after which a node stands for election, at least; up to twice as many, by the seed.
const ELECTION_TICKS_MIN: usize = 10;
/// Committed bytes that raft hands over in one go.
const COMMITTED_BYTES_PER_STEP: u64 = 4 << 20;

/// Names a proposal of this run until it commits. Numbers begin at 1 with every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalId(pub u64);

/// Names a [`Ready`] of this run; later ones have higher numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadyNumber(pub u64);

/// Where in the log a snapshot stands: it holds all entries up to and with this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last entry's offset.
    pub offset: MetadataOffset,
    /// The last entry's term.
    pub term: u64,
}

/// What stable storage held at start.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The last hard state that was persisted; `None` only if nothing ever was.
    pub hard_state: Option<HardState>,
    /// The log, in the order of offsets, without holes. It may begin before the snapshot's end: what the snapshot holds
    /// is left out.
    pub entries: Vec<LogEntry>,
    /// Where the snapshot stands that the image was loaded from; the first entry that
    /// [`Quorum::take_committed`] gives out is the one behind it.
    pub snapshot: Option<SnapshotMeta>,
}

/// What must be on stable storage before the quorum goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its number, for [`Quorum::persisted`].
    pub number: ReadyNumber,
    /// Replaces the hard state persisted before, if there is one.
    pub hard_state: Option<HardState>,
    /// To be appended to the log. If the first one's offset is already in the log, it and all behind it go first.
    pub entries: Vec<LogEntry>,
}

/// An entry that a majority holds on stable storage. It will never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place in the log.
    pub offset: MetadataOffset,
    /// The term in which it was proposed.
    pub term: u64,
    /// What to apply; empty for the entry with which a leader opens its term. Also that one is to be applied: it moves
    /// the image's offset.
    pub records: Vec<MetadataRecord>,
    /// The proposal that this run made of it.
    pub proposal: Option<ProposalId>,
}

/// Why a proposal was not taken. Nothing of it is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposeError {
    /// Another node leads, or none; Kafka's NOT_CONTROLLER.
    NotLeader,
    /// More than [`limits::UNCOMMITTED_BYTES_MAX`] bytes wait for their commit. Try again when some have committed.
    Overloaded,
    /// The records are too much for one entry.
    Unencodable(EncodeError),
}

impl fmt::Display for ProposeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader => f.write_str("this node does not lead the metadata quorum"),
            Self::Overloaded => f.write_str("too many metadata changes wait for their commit"),
            Self::Unencodable(why) => write!(f, "the metadata change is too large: {why}"),
        }
    }
}

impl core::error::Error for ProposeError {}

/// Why a quorum cannot go on from what was recovered: acknowledged changes are missing or not what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoverError {
    /// There is a log or a snapshot and no hard state.
    HardStateMissing,
    /// The hard state is older than an entry or a snapshot.
    HardStateStale {
        /// The hard state's term.
        term: u64,
        /// The entry's or snapshot's term.
        newer: u64,
    },
    /// The hard state says that more was committed than the log holds.
    CommittedEntriesMissing {
        /// Committed, by the hard state.
        committed: MetadataOffset,
        /// The last entry that is there.
        last: MetadataOffset,
    },
    /// The entry at this offset is not there, although one behind it is.
    Hole(MetadataOffset),
    /// At this offset the term falls, or differs from the snapshot's.
    TermMismatch(MetadataOffset),
    /// The records of the entry at this offset cannot be read.
    Undecodable(MetadataOffset, DecodeError),
    /// The hard state names another node, or none of this quorum.
    ForeignVote(u64),
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HardStateMissing => f.write_str("the metadata log has entries and no hard state"),
            Self::HardStateStale { term, newer } => {
                write!(f, "the metadata log's hard state is of term {term}, its content of term {newer}")
            }
            Self::CommittedEntriesMissing { committed, last } => {
                write!(f, "the metadata log ends at {last}, but was committed up to {committed}")
            }
            Self::Hole(offset) => write!(f, "the metadata log has no entry {offset}"),
            Self::TermMismatch(offset) => write!(f, "entry {offset} of the metadata log is of a wrong term"),
            Self::Undecodable(offset, why) => write!(f, "entry {offset} of the metadata log: {why}"),
            Self::ForeignVote(vote) => {
                write!(f, "the metadata log's hard state votes for {vote}, no node of the quorum")
            }
        }
    }
}

impl core::error::Error for RecoverError {}

/// A node of the metadata quorum.
pub struct Quorum {
    raft: RawNode<Log>,
    /// Proposals of this run by offset, until they commit.
    proposals: VecDeque<Proposed>,
    last_proposal: u64,
    /// Handed out by raft and not yet polled.
    readies: VecDeque<Ready>,
    /// Polled or about to be, and not yet persisted.
    unpersisted: VecDeque<ReadyNumber>,
    /// The last number that was polled.
    polled: ReadyNumber,
    hard_state_changed: bool,
    committed: VecDeque<Entry>,
}

struct Proposed {
    offset: u64,
    term: u64,
    id: ProposalId,
}

impl Quorum {
    /// Starts a node from what stable storage held and, since it is alone in its quorum, makes it stand for election.
    /// Poll it next: its new term must be persisted before anything commits.
    ///
    /// # Errors
    /// What shows that the log lost or changed something. Then nothing may be served from it.
    ///
    /// # Panics
    /// If `node_id` is negative.
    pub fn new(node_id: BrokerId, seed: u64, recovered: Recovered) -> Result<Self, RecoverError> {
        let raft_id = raft_id(node_id);
        let log = Log::recover(raft_id, recovered)?;
        let config = config(raft_id, seed, log.snapshot().offset.0);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raft = RawNode::new(&config, log, &logger).expect("the configuration is valid and the log was checked");
        let mut quorum = Self {
            raft,
            proposals: VecDeque::new(),
            last_proposal: 0,
            readies: VecDeque::new(),
            unpersisted: VecDeque::new(),
            polled: ReadyNumber(0),
            hard_state_changed: false,
            committed: VecDeque::new(),
        };
        quorum.raft.campaign().expect("a follower may stand for election");
        assert!(quorum.is_leader(), "a node alone elects itself");
        Ok(quorum)
    }

    /// Whether this node leads, so that proposals are taken. Its earlier entries may not all have been applied yet:
    /// decide on an image only once [`Quorum::caught_up`] says so.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.raft.raft.state == StateRole::Leader
    }

    /// Whether this node leads and everything that earlier leaders committed was given out by
    /// [`Quorum::take_committed`].
    #[must_use]
    pub fn caught_up(&self) -> bool {
        self.is_leader() && self.committed.is_empty() && self.raft.raft.apply_to_current_term()
    }

    /// The current term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.raft.raft.term
    }

    /// The last entry that was given out as committed, or that the snapshot at start held.
    #[must_use]
    pub fn applied(&self) -> MetadataOffset {
        MetadataOffset(self.raft.raft.raft_log.applied)
    }

    /// The last entry of the log, committed or not.
    #[must_use]
    pub fn last(&self) -> MetadataOffset {
        MetadataOffset(self.raft.raft.raft_log.last_index())
    }

    /// Proposes a batch that applies as a whole or not at all. Poll afterwards.
    ///
    /// Batches that were decided on the same image may contradict each other; then the later one is refused when it is
    /// applied, and its proposer has to answer for it.
    ///
    /// # Errors
    /// Why the log took nothing.
    ///
    /// # Panics
    /// If `records` is empty.
    pub fn propose(&mut self, records: &[MetadataRecord]) -> Result<ProposalId, ProposeError> {
        assert!(!records.is_empty(), "a proposal without records changes nothing");
        if !self.is_leader() {
            return Err(ProposeError::NotLeader);
        }
        let batch = encoding::encode(records).map_err(ProposeError::Unencodable)?;
        self.raft.propose(Vec::new(), batch).map_err(|_| ProposeError::Overloaded)?;

        self.last_proposal += 1;
        let id = ProposalId(self.last_proposal);
        let offset = self.raft.raft.raft_log.last_index();
        assert!(self.proposals.back().is_none_or(|last| last.offset < offset), "each proposal is an entry of its own");
        self.proposals.push_back(Proposed { offset, term: self.term(), id });
        Ok(id)
    }

    /// What to persist next, in this order. Several may be on their way to the disk at once; poll until there is none.
    pub fn poll_ready(&mut self) -> Option<Ready> {
        if self.readies.is_empty() {
            self.step();
        }
        let ready = self.readies.pop_front()?;
        self.polled = ready.number;
        Some(ready)
    }

    /// The [`Ready`] with this number and all before it are on stable storage. Entries may commit by this: take them.
    ///
    /// # Panics
    /// If it was not polled, or was reported before.
    pub fn persisted(&mut self, number: ReadyNumber) {
        assert!(number <= self.polled, "what was not handed out cannot be persisted");
        assert!(self.unpersisted.contains(&number), "a Ready is reported once");
        while self.unpersisted.front().is_some_and(|oldest| *oldest <= number) {
            self.unpersisted.pop_front();
        }
        self.raft.on_persist_ready(number.0);
    }

    /// The entries that have become committed, in order, without holes, each once. Apply them all.
    pub fn take_committed(&mut self) -> Vec<Committed> {
        self.step();
        let entries = mem::take(&mut self.committed);
        if let Some(last) = entries.back() {
            self.raft.advance_apply_to(last.index);
        }
        entries.into_iter().map(|entry| self.open(&entry)).collect()
    }

    /// A fixed span of time has passed. Leaders and followers of a larger quorum need it; poll afterwards.
    pub fn tick(&mut self) {
        self.raft.tick();
    }

    /// Whether the log has grown so much that a snapshot of the image is worth its cost.
    #[must_use]
    pub fn snapshot_due(&self) -> bool {
        let log = self.raft.store();
        log.entry_count() >= limits::SNAPSHOT_AFTER_ENTRIES || log.byte_count() >= limits::SNAPSHOT_AFTER_BYTES
    }

    /// A snapshot of the image at this place of the log is on stable storage: the entries that it holds are forgotten
    /// here and may go from the disk.
    ///
    /// # Panics
    /// If the entry was not given out by [`Quorum::take_committed`] or was of another term.
    pub fn compact(&mut self, snapshot: SnapshotMeta) {
        assert!(snapshot.offset <= self.applied(), "a snapshot holds what was applied");
        self.raft.mut_store().compact(snapshot);
    }

    /// Takes from raft what it has to hand over, until it has nothing more.
    fn step(&mut self) {
        while self.raft.has_ready() {
            let mut ready = self.raft.ready();
            assert!(
                ready.messages().is_empty() && ready.persisted_messages().is_empty() && ready.snapshot().is_empty(),
                "a quorum of one has nobody to talk to"
            );
            let number = ReadyNumber(ready.number());
            let must_persist = ready.must_sync();
            let entries = ready.take_entries();
            self.committed.extend(ready.take_committed_entries());
            if let Some(hard_state) = ready.hs() {
                self.raft.mut_store().set_hard_state(hard_state.clone());
                self.hard_state_changed = true;
            }
            let to_persist = entries.iter().map(persisted_form).collect();
            self.raft.mut_store().append(entries);
            self.raft.advance_append_async(ready);

            if must_persist {
                // A commit offset alone is not worth a write: it goes along with the next one, and a start without it
                // commits the same entries again.
                let changed = mem::take(&mut self.hard_state_changed);
                let hard_state = changed.then(|| HardState::of(self.raft.store().hard_state()));
                self.unpersisted.push_back(number);
                self.readies.push_back(Ready { number, hard_state, entries: to_persist });
            } else if self.unpersisted.is_empty() {
                self.raft.on_persist_ready(number.0);
            }
        }
    }

    /// An entry of the log as what it means.
    fn open(&mut self, entry: &Entry) -> Committed {
        assert_eq!(entry.get_entry_type(), EntryType::EntryNormal, "the quorum's members do not change");
        let records = decode_payload(&entry.data).expect("an entry was encoded here or read at start");
        let mut proposal = None;
        while let Some(oldest) = self.proposals.front().filter(|oldest| oldest.offset <= entry.index) {
            if oldest.offset == entry.index && oldest.term == entry.term {
                proposal = Some(oldest.id);
            }
            self.proposals.pop_front();
        }
        Committed { offset: MetadataOffset(entry.index), term: entry.term, records, proposal }
    }
}

impl fmt::Debug for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quorum")
            .field("term", &self.term())
            .field("role", &self.raft.raft.state)
            .field("applied", &self.applied())
            .field("last", &self.raft.raft.raft_log.last_index())
            .field("unpersisted", &self.unpersisted)
            .finish_non_exhaustive()
    }
}

/// Raft's nodes are numbered from 1, Kafka's from 0.
fn raft_id(node_id: BrokerId) -> u64 {
    u64::try_from(node_id.0).expect("a node id is not negative") + 1
}

fn config(raft_id: u64, seed: u64, applied: u64) -> Config {
    // Raft draws the timeout from [min, max) with a generator of its own: a range of one leaves it no choice.
    let spread = usize::try_from(seed % ELECTION_TICKS_MIN as u64).expect("it is below the minimum");
    let election_ticks = ELECTION_TICKS_MIN + spread;
    Config {
        id: raft_id,
        applied,
        heartbeat_tick: HEARTBEAT_TICKS,
        election_tick: election_ticks,
        min_election_tick: election_ticks,
        max_election_tick: election_ticks + 1,
        check_quorum: true,
        pre_vote: true,
        max_size_per_msg: limits::ENTRY_BYTES_MAX as u64,
        max_uncommitted_size: limits::UNCOMMITTED_BYTES_MAX as u64,
        max_committed_size_per_ready: COMMITTED_BYTES_PER_STEP,
        ..Config::default()
    }
}

fn persisted_form(entry: &Entry) -> LogEntry {
    LogEntry { offset: MetadataOffset(entry.index), term: entry.term, payload: entry.data.clone() }
}

fn decode_payload(payload: &Bytes) -> Result<Vec<MetadataRecord>, DecodeError> {
    // The entry that opens a term is empty; a batch never is.
    if payload.is_empty() { Ok(Vec::new()) } else { encoding::decode(payload) }
}

#[cfg(test)]
mod tests;
