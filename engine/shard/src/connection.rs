//! One client connection as the front sees it: requests in, answers out in the order of the requests.
//!
//! Invariants:
//! - Answers leave in request order, whatever order they become ready in.
//! - What a connection can make the broker hold is bounded: requests without an answer, bytes of requests and answers
//!   that wait, and requests that are not taken up yet. Input is paused before a bound is reached and resumed well below
//!   it; nothing is refused and nothing grows.
//! - A request that is not taken up yet keeps its frame and costs nothing else.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;

use bytes::Bytes;
use corelog_wire::ids::ClientInstanceId;

use crate::io::{ConnectionId, FileId, Piece};
use crate::limits;
use crate::log::SegmentRange;
use crate::metrics::Received;
use crate::quota::Client;

/// The capacity that an empty backlog may keep.
const BACKLOG_KEPT: usize = 16;

/// A request of a connection that is still open. Ordered by connection, then by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId {
    /// Where it came from.
    pub(crate) connection: ConnectionId,
    /// Its number on that connection, counted from 0 without holes.
    pub(crate) number: u64,
}

/// The state of a connection between its requests and their answers.
#[derive(Debug)]
pub(crate) struct Connection {
    peer: SocketAddr,
    last_active_us: u64,
    /// The number of the request that the first slot belongs to.
    first: u64,
    /// One slot per request that was taken up and whose answer has not left, in order.
    slots: VecDeque<(Received, Slot)>,
    /// Bytes of requests that wait for an answer and of answers that wait for their turn.
    held_bytes: usize,
    /// Frames that were not taken up yet, in order, and when they came.
    backlog: VecDeque<(Bytes, u64)>,
    backlog_bytes: usize,
    /// The request that was taken up last, and the one whose answer left last.
    taken_up: Received,
    answered: Received,
    /// Bytes of large answers that were handed to the host and are not sent yet.
    sending_bytes: usize,
    /// Of answers that are being sent: too little to be counted yet.
    uncounted_bytes: usize,
    lending: Lending,
    paused: bool,
    /// Whether it stands in one of the front's queues.
    queued: bool,
    /// Whether a request that was taken up holds up those behind it.
    blocked: bool,
    /// Until when no further request is taken up, for the client has used more than it may; 0 if it has not.
    held_back_until_us: u64,
    /// Who its latest request said that it was.
    client: Client,
    /// The name and version of the client's software, if it has told them.
    software: Option<Box<(String, String)>>,
    /// The client's id for its metrics.
    instance: Option<ClientInstanceId>,
    closing: bool,
}

/// Whether batches are sent to the client from where they stand in their files: one answer at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Lending {
    #[default]
    Nothing,
    /// The files are being looked at.
    Reading,
    /// The host has these.
    Sending(Vec<SegmentRange>),
}

/// Where a request that was taken up stands.
#[derive(Debug)]
enum Slot {
    /// It waits for something; so many bytes count for it.
    Waiting { weight: usize },
    /// Its answer is ready; no pieces for a request that gets none.
    Ready { pieces: Vec<Piece>, weight: usize },
}

impl Connection {
    /// A connection that was just accepted.
    pub(crate) fn new(peer: SocketAddr, now_us: u64) -> Self {
        Self {
            peer,
            last_active_us: now_us,
            first: 0,
            slots: VecDeque::new(),
            held_bytes: 0,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            taken_up: Received::new(&[], now_us),
            answered: Received::new(&[], now_us),
            sending_bytes: 0,
            uncounted_bytes: 0,
            lending: Lending::Nothing,
            paused: false,
            queued: false,
            blocked: false,
            held_back_until_us: 0,
            client: Client::NOBODY,
            software: None,
            instance: None,
            closing: false,
        }
    }

    /// The client's address, for logs.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When something last arrived or left, in microseconds of the monotonic clock.
    pub(crate) fn last_active_us(&self) -> u64 {
        self.last_active_us
    }

    /// Something arrived or left.
    pub(crate) fn touch(&mut self, now_us: u64) {
        self.last_active_us = now_us;
    }

    /// Whether no request is in any state on this connection.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.is_empty() && self.backlog.is_empty()
    }

    /// Whether the connection is being closed: frames that still arrive are dropped.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Forgets its requests; no further one will be taken up.
    pub(crate) fn start_closing(&mut self) {
        self.closing = true;
        self.drop_backlog();
        self.slots = VecDeque::new();
        self.held_bytes = 0;
    }

    /// Drops what has not been taken up.
    pub(crate) fn drop_backlog(&mut self) {
        self.backlog = VecDeque::new();
        self.backlog_bytes = 0;
    }

    /// While a request that was taken up is not finished, no other one is taken up.
    pub(crate) fn block(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// Takes up no further request until then; at once, if it is 0.
    pub(crate) fn hold_back(&mut self, until_us: u64) {
        self.held_back_until_us = until_us;
    }

    /// Until when no further request is taken up; 0 if one may be.
    pub(crate) fn held_back_until_us(&self) -> u64 {
        self.held_back_until_us
    }

    /// Its latest request is this client's.
    pub(crate) fn set_client(&mut self, client: Client) {
        self.client = client;
    }

    /// Whose limits its answers count towards.
    pub(crate) fn client(&self) -> Client {
        self.client
    }

    /// The client has told what its software is.
    pub(crate) fn set_software(&mut self, name: &str, version: &str) {
        // Longer ones are no names.
        if name.len() + version.len() <= limits::SOFTWARE_NAME_BYTES_MAX {
            self.software = Some(Box::new((name.to_string(), version.to_string())));
        }
    }

    /// The name and version of the client's software; nothing where it has not told them.
    pub(crate) fn software(&self) -> (&str, &str) {
        self.software.as_deref().map_or(("", ""), |(name, version)| (name, version))
    }

    /// The client has this id for its metrics. Returns the one that it had before, if that was another.
    pub(crate) fn set_instance(&mut self, id: ClientInstanceId) -> Option<ClientInstanceId> {
        self.instance.replace(id).filter(|before| *before != id)
    }

    /// The client's id for its metrics.
    pub(crate) fn instance(&self) -> Option<ClientInstanceId> {
        self.instance
    }

    /// Marks it as standing in a queue. False if it stands in one already.
    pub(crate) fn enqueue(&mut self) -> bool {
        !core::mem::replace(&mut self.queued, true)
    }

    /// Whether it stands in a queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.queued
    }

    /// It left the queue.
    pub(crate) fn dequeue(&mut self) {
        self.queued = false;
    }

    /// Keeps a frame for later: it came when the connection was last active. False when the host has sent far more than a paused connection may: it is to be closed.
    pub(crate) fn keep(&mut self, frame: Bytes) -> bool {
        self.backlog_bytes += frame.len();
        self.backlog.push_back((frame, self.last_active_us));
        self.backlog.len() <= limits::BACKLOG_FRAMES_MAX
    }

    /// The next frame to take up, if it may be taken up now.
    pub(crate) fn next_frame(&self) -> Option<&Bytes> {
        if self.is_full() { None } else { self.backlog.front().map(|(frame, _)| frame) }
    }

    /// Takes that frame out of the backlog.
    pub(crate) fn take_frame(&mut self) -> Option<Bytes> {
        let (frame, at_us) = self.backlog.pop_front()?;
        self.taken_up = Received::new(&frame, at_us);
        self.backlog_bytes -= frame.len();
        if self.backlog.is_empty() && self.backlog.capacity() > BACKLOG_KEPT {
            // Ten thousand pipelined requests are rare; their queue is not kept.
            self.backlog = VecDeque::new();
        }
        Some(frame)
    }

    /// Whether frames wait to be taken up.
    pub(crate) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Takes up the request whose frame was taken last: its answer has a place in the order now.
    pub(crate) fn begin(&mut self) -> u64 {
        let number = self.first + self.slots.len() as u64;
        self.slots.push_back((self.taken_up, Slot::Waiting { weight: 0 }));
        number
    }

    /// The request waits, and holds about so many bytes.
    pub(crate) fn set_weight(&mut self, number: u64, new: usize) {
        let Slot::Waiting { weight } = self.slot(number) else { panic!("an answered request waits for nothing") };
        let old = core::mem::replace(weight, new);
        self.held_bytes = self.held_bytes - old + new;
    }

    /// Whether the request is the oldest one without an answer, so that its answer would leave at once.
    pub(crate) fn is_next(&self, number: u64) -> bool {
        number == self.first
    }

    /// The oldest request without an answer.
    pub(crate) fn oldest(&self) -> Option<u64> {
        (!self.slots.is_empty()).then_some(self.first)
    }

    /// The answer of a request is ready.
    pub(crate) fn answer(&mut self, number: u64, pieces: Vec<Piece>) {
        let ready = pieces.iter().map(Piece::memory).sum();
        let before = core::mem::replace(self.slot(number), Slot::Ready { pieces, weight: ready });
        let Slot::Waiting { weight } = before else { panic!("a request is answered once") };
        self.held_bytes = self.held_bytes - weight + ready;
    }

    /// The next answer that may leave: `Some` with no pieces for a request that gets none.
    pub(crate) fn take_answer(&mut self) -> Option<Vec<Piece>> {
        if !matches!(self.slots.front(), Some((_, Slot::Ready { .. }))) {
            return None;
        }
        let Some((request, Slot::Ready { pieces, weight })) = self.slots.pop_front() else {
            unreachable!("it is ready")
        };
        self.answered = request;
        self.first += 1;
        self.held_bytes -= weight;
        Some(pieces)
    }

    /// The request whose answer was taken last.
    pub(crate) fn answered(&self) -> Received {
        self.answered
    }

    /// What to tell the host about this connection's input, if that changed: `Some(true)` to pause it.
    pub(crate) fn change_of_input(&mut self) -> Option<bool> {
        if self.closing {
            return None;
        }
        let low_enough = if self.paused { self.is_well_below() } else { !self.is_full() };
        let pause = self.has_backlog() || !low_enough;
        (pause != self.paused).then(|| {
            self.paused = pause;
            pause
        })
    }

    /// An answer is on its way to the client. Returns how many bytes of it count against the shard's memory.
    pub(crate) fn sending(&mut self, pieces: &[Piece]) -> usize {
        self.uncounted_bytes += pieces.iter().map(Piece::memory).sum::<usize>();
        if self.uncounted_bytes < limits::ANSWER_COUNTED_BYTES_MIN {
            return 0;
        }
        let counted = core::mem::take(&mut self.uncounted_bytes);
        self.sending_bytes += counted;
        counted
    }

    /// Whether a large answer is on its way to the client.
    pub(crate) fn is_sending(&self) -> bool {
        self.sending_bytes > 0
    }

    /// Everything was sent, or the connection is gone. Returns how many bytes no longer count.
    pub(crate) fn sent(&mut self) -> usize {
        self.uncounted_bytes = 0;
        core::mem::take(&mut self.sending_bytes)
    }

    /// Whether an answer is on its way, or about to be, that takes batches from their files.
    pub(crate) fn is_lending(&self) -> bool {
        self.lending != Lending::Nothing
    }

    /// Files are being looked at for an answer.
    pub(crate) fn begin_lending(&mut self) {
        assert!(!self.is_lending(), "one answer at a time takes batches from files");
        self.lending = Lending::Reading;
    }

    /// The answer for which files were looked at takes these. False if it takes none, which ends the lending.
    pub(crate) fn lend(&mut self, ranges: Vec<SegmentRange>) -> bool {
        assert_eq!(self.lending, Lending::Reading, "files were looked at");
        self.lending = if ranges.is_empty() { Lending::Nothing } else { Lending::Sending(ranges) };
        self.is_lending()
    }

    /// The segment that the host has from this file.
    pub(crate) fn lent(&self, file: FileId) -> Option<SegmentRange> {
        match &self.lending {
            Lending::Sending(ranges) => ranges.iter().find(|lent| lent.range.file == file).copied(),
            Lending::Nothing | Lending::Reading => None,
        }
    }

    /// The host has sent everything. Whether files were lent that are not any more.
    pub(crate) fn end_lending(&mut self) -> bool {
        let ends = matches!(self.lending, Lending::Sending(_));
        if ends {
            self.lending = Lending::Nothing;
        }
        ends
    }

    fn slot(&mut self, number: u64) -> &mut Slot {
        let position = number.checked_sub(self.first).expect("a request is answered once") as usize;
        let (_, slot) = self.slots.get_mut(position).expect("the request was taken up");
        slot
    }

    /// No further request may be taken up.
    fn is_full(&self) -> bool {
        self.blocked
            || self.held_back_until_us > 0
            || self.slots.len() >= limits::PIPELINED_REQUESTS_MAX
            || self.held_bytes >= limits::PIPELINED_BYTES_MAX
    }

    fn is_well_below(&self) -> bool {
        !self.blocked
            && self.held_back_until_us == 0
            && self.slots.len() <= limits::PIPELINED_REQUESTS_MAX / 2
            && self.held_bytes <= limits::PIPELINED_BYTES_MAX / 2
    }

    /// Bytes that the connection holds, for tests of the bounds.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize, usize) {
        (self.slots.len(), self.held_bytes, self.backlog_bytes)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::net::{Ipv4Addr, SocketAddr};

    use proptest::prelude::*;

    use super::*;
    use crate::io::FileRange;
    use crate::log::PartitionId;

    fn connection() -> Connection {
        Connection::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), 0)
    }

    fn piece(bytes: &[u8]) -> Piece {
        Piece::Memory(Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn answers_wait_for_their_turn() {
        let mut connection = connection();
        let (first, second, third) = (connection.begin(), connection.begin(), connection.begin());
        assert_eq!((first, second, third), (0, 1, 2));
        connection.answer(third, vec![piece(b"third")]);
        assert_eq!(connection.take_answer(), None);
        connection.answer(first, vec![piece(b"first")]);
        assert_eq!(connection.take_answer(), Some(vec![piece(b"first")]));
        assert_eq!(connection.take_answer(), None);
        connection.answer(second, vec![]);
        assert_eq!(connection.take_answer(), Some(vec![]));
        assert_eq!(connection.take_answer(), Some(vec![piece(b"third")]));
        assert_eq!(connection.take_answer(), None);
        assert!(connection.is_idle());
        assert_eq!(connection.held(), (0, 0, 0));
    }

    #[test]
    #[should_panic(expected = "answered once")]
    fn a_second_answer_is_a_bug() {
        let mut connection = connection();
        let number = connection.begin();
        connection.begin();
        connection.answer(number, vec![]);
        connection.answer(number, vec![]);
    }

    #[test]
    fn input_pauses_at_the_bound_and_resumes_at_half() {
        let mut connection = connection();
        for number in 0..limits::PIPELINED_REQUESTS_MAX {
            assert_eq!(connection.change_of_input(), None, "at {number}");
            connection.begin();
        }
        assert_eq!(connection.change_of_input(), Some(true));
        assert_eq!(connection.change_of_input(), None);
        for number in 0..limits::PIPELINED_REQUESTS_MAX / 2 {
            assert_eq!(connection.change_of_input(), None, "at {number}");
            connection.answer(number as u64, vec![]);
            connection.take_answer();
        }
        assert_eq!(connection.change_of_input(), Some(false));
    }

    #[test]
    fn held_bytes_pause_too() {
        let mut connection = connection();
        connection.begin();
        let second = connection.begin();
        connection.answer(second, vec![piece(&[0; limits::PIPELINED_BYTES_MAX])]);
        assert_eq!(connection.change_of_input(), Some(true));
        connection.keep(Bytes::from_static(b"later"));
        assert_eq!(connection.next_frame(), None);
        connection.answer(0, vec![]);
        while connection.take_answer().is_some() {}
        assert_eq!(connection.change_of_input(), None, "the backlog comes first");
        assert_eq!(connection.take_frame(), Some(Bytes::from_static(b"later")));
        assert_eq!(connection.change_of_input(), Some(false));
    }

    #[test]
    fn a_flood_is_noticed() {
        let mut connection = connection();
        for _ in 0..limits::BACKLOG_FRAMES_MAX {
            assert!(connection.keep(Bytes::from_static(b"x")));
        }
        assert!(!connection.keep(Bytes::from_static(b"x")));
        connection.start_closing();
        assert_eq!(connection.held(), (0, 0, 0));
    }

    #[test]
    fn files_are_lent_to_one_answer_at_a_time() {
        let mut connection = connection();
        let range = FileRange { file: FileId(7), position: 3, len: 5 };
        let lent = SegmentRange { range, partition: PartitionId(1), segment: 40 };
        connection.begin_lending();
        assert!(connection.is_lending());
        assert!(!connection.end_lending(), "an earlier answer left");
        assert!(connection.lend(vec![lent]));
        assert_eq!((connection.lent(FileId(7)), connection.lent(FileId(8))), (Some(lent), None));
        assert_eq!(connection.sending(&[Piece::File(range)]), 0, "it takes no memory");
        assert!(connection.end_lending());
        assert!(!connection.is_lending() && !connection.end_lending());
        connection.begin_lending();
        assert!(!connection.lend(vec![]), "everything was in memory");
        assert!(!connection.is_lending());
    }

    proptest! {
        /// Whatever order the answers become ready in, they leave in the order of the requests, none twice, none lost.
        #[test]
        fn order_is_kept(order in Just((0_u64..40).collect::<Vec<_>>()).prop_shuffle(), early in 0_usize..40) {
            let mut connection = connection();
            let mut left = vec![];
            for number in 0..40 {
                prop_assert_eq!(connection.begin(), number);
            }
            for (position, number) in order.iter().enumerate() {
                connection.answer(*number, vec![piece(&number.to_be_bytes())]);
                if position % (early + 1) == 0 {
                    while let Some(answer) = connection.take_answer() {
                        left.push(answer[0].clone());
                    }
                }
            }
            while let Some(answer) = connection.take_answer() {
                left.push(answer[0].clone());
            }
            let expected: Vec<_> = (0..40_u64).map(|number| piece(&number.to_be_bytes())).collect();
            prop_assert_eq!(left, expected);
            prop_assert_eq!(connection.held(), (0, 0, 0));
        }
    }
}
