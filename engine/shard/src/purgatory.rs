//! Requests whose answer has to wait: for commits, for records, for reads from a disk, for the metadata log, or for
//! time to pass.
//!
//! Invariants:
//! - A parked request leaves exactly once: what it waits for came, its deadline passed, or its connection closed.
//!   Whatever it was registered for is forgotten with it, or recognised as stale when it comes.
//! - Nothing spins: each event leads straight to the requests that wait for it.
//! - The size is bounded by the connections' bounds ([`crate::limits`]): each request is parked once, with at most as
//!   many registrations as it names partitions.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use corelog_replication::quorum::ProposalId;

use crate::connection::RequestId;
use crate::io::ConnectionId;
use crate::log::{AckPoint, Durability, PartitionId, ReadId};

/// Parked requests, `T` being what is known of each.
#[derive(Debug)]
pub(crate) struct Purgatory<T> {
    parked: BTreeMap<RequestId, Entry<T>>,
    deadlines: BTreeSet<(u64, RequestId)>,
    /// Requests that wait for commits, in the order of their appends. Sequences hardly ever fall within a queue (the
    /// original of a duplicate is older), so looking at the head is enough.
    acks: [VecDeque<(AckPoint, RequestId)>; 3],
    /// Which entry of which request waits for records of a partition.
    watches: BTreeMap<(PartitionId, RequestId), usize>,
    /// Who waits for a read or a lookup.
    reads: BTreeMap<ReadId, AwaitedRead>,
    proposals: BTreeMap<ProposalId, Vec<RequestId>>,
}

/// Who waits for a read or a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AwaitedRead {
    /// The request.
    pub(crate) id: RequestId,
    /// Which of its entries.
    pub(crate) index: usize,
    /// The most bytes that the read brings.
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct Entry<T> {
    request: T,
    deadline_us: Option<u64>,
    watched: Vec<PartitionId>,
}

impl<T> Purgatory<T> {
    /// Empty.
    pub(crate) fn new() -> Self {
        Self {
            parked: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            acks: [const { VecDeque::new() }; 3],
            watches: BTreeMap::new(),
            reads: BTreeMap::new(),
            proposals: BTreeMap::new(),
        }
    }

    /// Whether nothing is parked.
    pub(crate) fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }

    /// How many requests are parked.
    pub(crate) fn len(&self) -> usize {
        self.parked.len()
    }

    /// Parks a request. It expires at `deadline_us` of the monotonic clock, if at all.
    pub(crate) fn park(&mut self, id: RequestId, request: T, deadline_us: Option<u64>) {
        if let Some(deadline_us) = deadline_us {
            self.deadlines.insert((deadline_us, id));
        }
        let before = self.parked.insert(id, Entry { request, deadline_us, watched: Vec::new() });
        assert!(before.is_none(), "a request is parked once");
    }

    /// A parked request.
    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut T> {
        self.parked.get_mut(&id).map(|entry| &mut entry.request)
    }

    /// Takes a request out, with its deadline and its watches.
    pub(crate) fn take(&mut self, id: RequestId) -> Option<T> {
        let mut entry = self.parked.remove(&id)?;
        Self::forget(&mut self.deadlines, &mut self.watches, id, &mut entry);
        Some(entry.request)
    }

    /// The request waits for a commit.
    pub(crate) fn wait_for_ack(&mut self, id: RequestId, ack: AckPoint) {
        self.acks[level_index(ack.level)].push_back((ack, id));
    }

    /// The next request whose commits are reached; call it until it gives none. `id` may be gone meanwhile.
    pub(crate) fn next_acknowledged(&mut self, reached: impl Fn(AckPoint) -> bool) -> Option<RequestId> {
        self.acks.iter_mut().find_map(|queue| {
            let (ack, id) = *queue.front()?;
            reached(ack).then(|| {
                queue.pop_front();
                id
            })
        })
    }

    /// Entry `index` of the request waits for records of a partition. A partition named twice wakes its last entry.
    pub(crate) fn watch(&mut self, id: RequestId, partition: PartitionId, index: usize) {
        let entry = self.parked.get_mut(&id).expect("only parked requests watch");
        if self.watches.insert((partition, id), index).is_none() {
            entry.watched.push(partition);
        }
    }

    /// The request waits for no time and no partition any more, but goes on being parked.
    pub(crate) fn settle(&mut self, id: RequestId) {
        if let Some(entry) = self.parked.get_mut(&id) {
            Self::forget(&mut self.deadlines, &mut self.watches, id, entry);
        }
    }

    /// A parked request without a deadline expires then.
    pub(crate) fn set_deadline(&mut self, id: RequestId, deadline_us: u64) {
        let entry = self.parked.get_mut(&id).expect("only parked requests have deadlines");
        assert!(entry.deadline_us.is_none(), "the request was settled before");
        entry.deadline_us = Some(deadline_us);
        self.deadlines.insert((deadline_us, id));
    }

    /// The requests that watch a partition, with the entry concerned.
    pub(crate) fn watchers(&self, partition: PartitionId) -> impl Iterator<Item = (RequestId, usize)> {
        let first = RequestId { connection: ConnectionId(0), number: 0 };
        let last = RequestId { connection: ConnectionId(u64::MAX), number: u64::MAX };
        self.watches.range((partition, first)..=(partition, last)).map(|((_, id), index)| (*id, *index))
    }

    /// A request waits for a read or a lookup.
    pub(crate) fn wait_for_read(&mut self, read: ReadId, awaited: AwaitedRead) {
        self.reads.insert(read, awaited);
    }

    /// A read or lookup ended: who waited for it. The request may be gone meanwhile.
    pub(crate) fn read_ended(&mut self, read: ReadId) -> Option<AwaitedRead> {
        self.reads.remove(&read)
    }

    /// The request waits for a change of the metadata.
    pub(crate) fn wait_for_proposal(&mut self, id: RequestId, proposal: ProposalId) {
        self.proposals.entry(proposal).or_default().push(id);
    }

    /// A change of the metadata is decided: who waited for it. Some may be gone meanwhile.
    pub(crate) fn proposal_decided(&mut self, proposal: ProposalId) -> Vec<RequestId> {
        self.proposals.remove(&proposal).unwrap_or_default()
    }

    /// The next request whose deadline has passed; it stays parked, without a deadline.
    pub(crate) fn next_expired(&mut self, now_us: u64) -> Option<RequestId> {
        let &(deadline_us, id) = self.deadlines.first()?;
        if deadline_us > now_us {
            return None;
        }
        self.deadlines.pop_first();
        self.parked.get_mut(&id).expect("deadlines belong to parked requests").deadline_us = None;
        Some(id)
    }

    /// When the next deadline passes.
    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_us, _)| *deadline_us)
    }

    /// Some parked request of a connection, taken out; call it until it gives none.
    pub(crate) fn take_any_of(&mut self, connection: ConnectionId) -> Option<(RequestId, T)> {
        let all = RequestId { connection, number: 0 }..=RequestId { connection, number: u64::MAX };
        let id = *self.parked.range(all).next()?.0;
        self.take(id).map(|request| (id, request))
    }

    /// All parked requests.
    pub(crate) fn ids(&self) -> Vec<RequestId> {
        self.parked.keys().copied().collect()
    }

    fn forget(
        deadlines: &mut BTreeSet<(u64, RequestId)>,
        watches: &mut BTreeMap<(PartitionId, RequestId), usize>,
        id: RequestId,
        entry: &mut Entry<T>,
    ) {
        if let Some(deadline_us) = entry.deadline_us.take() {
            deadlines.remove(&(deadline_us, id));
        }
        for partition in entry.watched.drain(..) {
            watches.remove(&(partition, id));
        }
        entry.watched = Vec::new();
    }

    /// Registrations of every kind, for tests of the bounds.
    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize, usize) {
        let acks = self.acks.iter().map(VecDeque::len).sum::<usize>();
        (self.parked.len(), self.deadlines.len() + self.watches.len(), acks + self.reads.len() + self.proposals.len())
    }
}

fn level_index(level: Durability) -> usize {
    match level {
        Durability::Memory => 0,
        Durability::Write => 1,
        Durability::Fsync => 2,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn id(connection: u64, number: u64) -> RequestId {
        RequestId { connection: ConnectionId(connection), number }
    }

    fn ack(sequence: u64, level: Durability) -> AckPoint {
        AckPoint { sequence, level }
    }

    #[test]
    fn deadlines_pass_in_order_and_once() {
        let mut purgatory = Purgatory::new();
        purgatory.park(id(1, 0), "late", Some(20));
        purgatory.park(id(1, 1), "early", Some(10));
        purgatory.park(id(1, 2), "never", None);
        assert_eq!(purgatory.next_deadline_us(), Some(10));
        assert_eq!(purgatory.next_expired(9), None);
        assert_eq!(purgatory.next_expired(30), Some(id(1, 1)));
        assert_eq!(purgatory.take(id(1, 1)), Some("early"));
        assert_eq!(purgatory.take(id(1, 1)), None);
        purgatory.take(id(1, 0));
        assert_eq!(purgatory.next_expired(30), None);
        assert_eq!(purgatory.next_deadline_us(), None);
        assert!(!purgatory.is_empty());
    }

    #[test]
    fn acknowledgements_come_in_order_per_level() {
        let mut purgatory = Purgatory::new();
        for (number, point) in
            [ack(5, Durability::Fsync), ack(6, Durability::Fsync), ack(5, Durability::Write)].into_iter().enumerate()
        {
            purgatory.park(id(1, number as u64), number, None);
            purgatory.wait_for_ack(id(1, number as u64), point);
        }
        let reached = |written: u64, durable: u64| {
            move |ack: AckPoint| match ack.level {
                Durability::Memory => true,
                Durability::Write => ack.sequence <= written,
                Durability::Fsync => ack.sequence <= durable,
            }
        };
        assert_eq!(purgatory.next_acknowledged(reached(5, 4)), Some(id(1, 2)), "fsync does not hold up write");
        assert_eq!(purgatory.next_acknowledged(reached(5, 4)), None);
        assert_eq!(purgatory.next_acknowledged(reached(6, 5)), Some(id(1, 0)));
        assert_eq!(purgatory.next_acknowledged(reached(6, 5)), None);
        assert_eq!(purgatory.next_acknowledged(reached(6, 6)), Some(id(1, 1)));
    }

    #[test]
    fn watches_go_with_the_request() {
        let mut purgatory = Purgatory::new();
        let (hot, cold) = (PartitionId(7), PartitionId(8));
        for number in 0..3 {
            purgatory.park(id(number, 0), number, Some(100));
            purgatory.watch(id(number, 0), hot, 4);
        }
        purgatory.watch(id(1, 0), cold, 5);
        purgatory.watch(id(1, 0), cold, 6);
        assert_eq!(purgatory.watchers(cold).collect::<Vec<_>>(), vec![(id(1, 0), 6)]);
        purgatory.settle(id(0, 0));
        assert_eq!(purgatory.get_mut(id(0, 0)), Some(&mut 0));
        assert_eq!(purgatory.take_any_of(ConnectionId(1)), Some((id(1, 0), 1)));
        assert_eq!(purgatory.take_any_of(ConnectionId(1)), None);
        assert_eq!(purgatory.watchers(hot).collect::<Vec<_>>(), vec![(id(2, 0), 4)]);
        assert_eq!(purgatory.watchers(cold).count(), 0);
        purgatory.take(id(0, 0));
        purgatory.take(id(2, 0));
        assert_eq!(purgatory.size(), (0, 0, 0));
    }

    #[test]
    fn reads_and_proposals_lead_to_who_waits() {
        let mut purgatory = Purgatory::new();
        purgatory.park(id(1, 0), (), None);
        let awaited = AwaitedRead { id: id(1, 0), index: 2, bytes: 7 };
        purgatory.wait_for_read(ReadId(3), awaited);
        assert_eq!(purgatory.read_ended(ReadId(3)), Some(awaited));
        assert_eq!(purgatory.read_ended(ReadId(3)), None);
        purgatory.wait_for_proposal(id(1, 0), ProposalId(9));
        purgatory.wait_for_proposal(id(2, 0), ProposalId(9));
        assert_eq!(purgatory.proposal_decided(ProposalId(9)), vec![id(1, 0), id(2, 0)]);
        assert!(purgatory.proposal_decided(ProposalId(9)).is_empty());
    }

    #[test]
    #[should_panic(expected = "parked once")]
    fn parking_twice_is_a_bug() {
        let mut purgatory = Purgatory::new();
        purgatory.park(id(1, 0), (), None);
        purgatory.park(id(1, 0), (), None);
    }
}
