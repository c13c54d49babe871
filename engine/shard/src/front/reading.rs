//! Records for fetches: whose turn it is, and whether there is memory for them.
//!
//! Invariants: a fetch of this shard's connections reads when its answer is the next to leave; what is read and not sent
//! stays within the memory for reads, and clients that do not read do not starve those that do.

use super::{Context, Front, shares};
use crate::api::{Outcome, Parked};
use crate::config::SegmentReads;
use crate::connection::{Connection, RequestId};
use crate::io::{FileId, Piece};
use crate::limits;
use crate::purgatory::AwaitedRead;

impl Front {
    /// A fetch has waited long enough. It reads as soon as it is its turn.
    pub(super) fn fetch_is_due(&mut self, cx: &mut Context<'_>, id: RequestId) {
        self.purgatory.settle(id);
        let Some(Parked::Fetch(pending)) = self.purgatory.get_mut(id) else { return };
        pending.set_due();
        if !cx.seat.is_home_of(id.connection) {
            self.read_share(cx, id);
        } else if self.connections.get(&id.connection).is_some_and(|connection| connection.is_next(id.number)) {
            self.flush(cx, id.connection);
        }
    }

    /// Reads the records of a fetch, if the request is one that is due and there is memory. Gives its answer if
    /// everything was at hand.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, id: RequestId) -> Option<Outcome> {
        let Some(Parked::Fetch(pending)) = self.purgatory.get_mut(id) else { return None };
        let budget = usize::try_from(cx.config.memory.reads).unwrap_or(usize::MAX);
        if !pending.is_due() {
            if pending.has_unasked() && !pending.is_reading() {
                shares::ask_for_records(
                    cx,
                    id,
                    pending.ask((budget / limits::READ_SHARE).max(limits::SMALL_READ_BYTES)),
                );
            }
            return None;
        }
        if self.connections.get(&id.connection).is_some_and(Connection::is_lending) {
            // Its client has to take what it was sent from files before. When that is done, it is its turn again.
            pending.outdate();
            return None;
        }
        let sends = self.connections.get(&id.connection).is_some_and(Connection::is_sending);
        let bytes_max = if self.read_bytes < budget {
            (budget / limits::READ_SHARE).max(limits::SMALL_READ_BYTES)
        } else if !sends && self.read_bytes < budget.saturating_mul(2) {
            // Clients that do not read must not starve those that do.
            limits::SMALL_READ_BYTES
        } else {
            0
        };
        if bytes_max == 0 {
            pending.outdate();
            if !self.wait_for_memory.contains(&id) {
                self.wait_for_memory.push_back(id);
            }
            return None;
        }
        let may_lend = cx.seat.is_home_of(id.connection)
            && cx.config.segment_reads == SegmentReads::Splice
            && self.lending < limits::LENDING_CONNECTIONS_MAX;
        let reads = pending.read(cx, bytes_max, if may_lend { limits::LENT_FILES_PER_ANSWER_MAX } else { 0 });
        let asks = pending.ask(bytes_max);
        if pending.has_read_all() {
            return Some(self.finish_fetch(cx, id));
        }
        let waits_for_others = pending.awaited().next().is_some();
        shares::ask_for_records(cx, id, asks);
        if waits_for_others {
            self.purgatory.set_deadline(id, cx.now.monotonic_us.saturating_add(limits::SHARE_WAIT_US));
        }
        if may_lend {
            self.connections.get_mut(&id.connection).expect("its turn has come").begin_lending();
            self.lending += 1;
        }
        for (read, index, bytes) in reads {
            self.read_bytes += bytes;
            self.purgatory.wait_for_read(read, AwaitedRead { id, index, bytes });
        }
        None
    }

    /// The answer of a fetch that has read everything.
    pub(super) fn finish_fetch(&mut self, cx: &mut Context<'_>, id: RequestId) -> Outcome {
        let Some(Parked::Fetch(pending)) = self.purgatory.take(id) else { unreachable!("it has just read") };
        self.read_bytes -= pending.held_bytes();
        let mut lent = pending.in_place();
        let throttle_ms = match cx.seat.is_home_of(id.connection) {
            true => cx.quotas.take_fetch(pending.client(), pending.record_bytes(), cx.now.monotonic_us),
            false => 0,
        };
        let outcome = match throttle_ms {
            0 => pending.answer(&mut self.shared, cx),
            _ => pending.hold_back(throttle_ms),
        };
        let is_named = |file: FileId| {
            let Outcome::Answer(answer) = &outcome else { return false };
            answer.pieces.iter().any(|piece| matches!(piece, Piece::File(range) if range.file == file))
        };
        lent.retain(|lent| {
            let is_named = is_named(lent.range.file);
            if !is_named {
                cx.logs.close_file(lent.range.file, cx.actions);
            }
            is_named
        });
        let Some(connection) = self.connections.get_mut(&id.connection) else { return outcome };
        if connection.is_lending() && !connection.lend(lent) {
            self.lending -= 1;
        }
        outcome
    }

    pub(super) fn serve_who_waits_for_memory(&mut self, cx: &mut Context<'_>) {
        let mut waited_on = 0;
        for _ in 0..self.wait_for_memory.len() {
            let Some(id) = self.wait_for_memory.pop_front() else { break };
            let others = self.wait_for_memory.len();
            match cx.seat.is_home_of(id.connection) {
                true => self.flush(cx, id.connection),
                false => self.read_share(cx, id),
            }
            // Whoever still waits is behind the others now, so that next time these are asked first.
            waited_on += usize::from(self.wait_for_memory.len() > others);
            if waited_on >= limits::WAITING_READS_ASKED_MAX {
                break;
            }
        }
    }
}
