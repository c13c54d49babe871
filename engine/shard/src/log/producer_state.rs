//! What a partition remembers of each idempotent producer: its epoch and its last five batches.
//!
//! Invariants: the batches of a producer are in sequence and at most [`BATCHES_KEPT`]; the rules are Kafka's
//! (`ProducerAppendInfo`, KIP-98, KIP-360). A partition keeps two of these: one at its log end, one exactly at the
//! flushed offset, which is what a checkpoint stores.

use super::AckPoint;
use alloc::collections::{BTreeMap, VecDeque};
use corelog_wire::error_code::ErrorCode;
use corelog_wire::record_batch::RecordBatch;

/// How many batches of a producer are remembered for the recognition of duplicates.
pub const BATCHES_KEPT: usize = 5;

/// The producer fields of one batch. Sequences count records and wrap from `i32::MAX` to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The producer's id, not negative.
    pub producer_id: i64,
    /// The producer's epoch, not negative.
    pub producer_epoch: i16,
    /// Sequence of the first record.
    pub base_sequence: i32,
    /// Sequence of the last record.
    pub last_sequence: i32,
}

impl ProducerBatch {
    /// The fields of a batch, or `None` when no idempotent producer wrote it.
    pub fn new(producer_id: i64, producer_epoch: i16, base_sequence: i32, last_offset_delta: i32) -> Option<Self> {
        if producer_id < 0 || base_sequence < 0 {
            return None;
        }
        Some(Self {
            producer_id,
            producer_epoch,
            base_sequence,
            last_sequence: add_to_sequence(base_sequence, last_offset_delta),
        })
    }
}

/// `sequence + n`, wrapping from `i32::MAX` to 0 as Kafka does.
pub fn add_to_sequence(sequence: i32, n: i32) -> i32 {
    ((i64::from(sequence) + i64::from(n)) % (i64::from(i32::MAX) + 1)) as i32
}

/// A batch that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedBatch {
    /// Sequence of its first record.
    pub base_sequence: i32,
    /// Sequence of its last record.
    pub last_sequence: i32,
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Its largest timestamp, in milliseconds.
    pub timestamp_ms: i64,
    /// When its answer may leave. Not stored: what was recovered is durable.
    pub ack: AckPoint,
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Its current epoch.
    pub epoch: i16,
    /// Its last batches, oldest first, all of this epoch; empty after an epoch change without data.
    pub batches: VecDeque<AppendedBatch>,
    /// When it last wrote, in milliseconds: the largest timestamp of its last batch.
    pub last_timestamp_ms: i64,
}

/// What a new batch means to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It continues its producer's sequence.
    New,
    /// It was appended before, there.
    Duplicate(AppendedBatch),
}

/// All producers of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerState {
    producers: BTreeMap<i64, Producer>,
}

impl ProducerState {
    /// Judges a batch before it is appended.
    ///
    /// # Errors
    /// `INVALID_PRODUCER_EPOCH` for an epoch older than the producer's, `OUT_OF_ORDER_SEQUENCE_NUMBER` for a gap. A
    /// producer that is not known may start at any sequence, since its records may have been deleted by retention.
    pub fn check(&self, batch: ProducerBatch) -> Result<Verdict, ErrorCode> {
        let Some(producer) = self.producers.get(&batch.producer_id) else {
            return Ok(Verdict::New);
        };
        if batch.producer_epoch < producer.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if batch.producer_epoch > producer.epoch {
            return if batch.base_sequence == 0 {
                Ok(Verdict::New)
            } else {
                Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
            };
        }
        let repeated = producer
            .batches
            .iter()
            .find(|b| b.base_sequence == batch.base_sequence && b.last_sequence == batch.last_sequence);
        if let Some(original) = repeated {
            return Ok(Verdict::Duplicate(*original));
        }
        match producer.batches.back() {
            Some(last) if add_to_sequence(last.last_sequence, 1) == batch.base_sequence => Ok(Verdict::New),
            Some(_) => Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER),
            None if batch.base_sequence == 0 => Ok(Verdict::New),
            None => Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER),
        }
    }

    /// Records a batch that was appended (or replayed). What is not newer than the state leaves it unchanged.
    pub fn append(
        &mut self,
        batch: ProducerBatch,
        base_offset: i64,
        last_offset: i64,
        timestamp_ms: i64,
        ack: AckPoint,
    ) {
        let producer = self.producers.entry(batch.producer_id).or_insert_with(|| Producer {
            epoch: batch.producer_epoch,
            batches: VecDeque::new(),
            last_timestamp_ms: timestamp_ms,
        });
        if producer.batches.back().is_some_and(|b| b.last_offset >= base_offset) {
            return;
        }
        if producer.epoch != batch.producer_epoch {
            producer.epoch = batch.producer_epoch;
            producer.batches.clear();
        }
        if producer.batches.len() == BATCHES_KEPT {
            producer.batches.pop_front();
        }
        producer.batches.push_back(AppendedBatch {
            base_sequence: batch.base_sequence,
            last_sequence: batch.last_sequence,
            base_offset,
            last_offset,
            timestamp_ms,
            ack,
        });
        producer.last_timestamp_ms = timestamp_ms;
    }

    /// Whether a batch is the last one of its producer: it tells where the producer goes on.
    pub fn is_last_batch(&self, batch: &RecordBatch<'_>) -> bool {
        self.producers.get(&batch.producer_id()).is_some_and(|producer| match producer.batches.back() {
            Some(last) => last.last_offset == batch.last_offset(),
            None => batch.attributes().is_control() && producer.epoch == batch.producer_epoch(),
        })
    }

    /// Restores a producer from a checkpoint.
    pub fn restore(&mut self, producer_id: i64, producer: Producer) {
        assert!(producer.batches.len() <= BATCHES_KEPT, "a checkpoint holds at most five batches of a producer");
        self.producers.insert(producer_id, producer);
    }

    /// Forgets producers whose last batch is from `deadline_ms` or before (`producer.id.expiration.ms`), by the timestamps of
    /// its records: as in Kafka, one that writes old records may be forgotten while it writes. It goes on at any sequence.
    pub fn expire(&mut self, deadline_ms: i64) {
        self.producers.retain(|_, p| p.last_timestamp_ms > deadline_ms);
    }

    /// All producers in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.producers.iter().map(|(id, p)| (*id, p))
    }

    /// How many producers are remembered.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is remembered.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, base: i32, records: i32) -> ProducerBatch {
        ProducerBatch::new(7, epoch, base, records - 1).unwrap()
    }

    fn append(state: &mut ProducerState, b: ProducerBatch, offset: i64) {
        assert_eq!(state.check(b), Ok(Verdict::New));
        let count = i64::from(b.last_sequence.wrapping_sub(b.base_sequence));
        state.append(b, offset, offset + count.max(0), 0, AckPoint::NOW);
    }

    #[test]
    fn the_last_five_batches_are_duplicates_and_an_older_one_is_out_of_order() {
        let mut state = ProducerState::default();
        for i in 0..7 {
            append(&mut state, batch(0, i * 10, 10), i64::from(i) * 10);
        }
        for i in 2..7 {
            match state.check(batch(0, i * 10, 10)) {
                Ok(Verdict::Duplicate(original)) => assert_eq!(original.base_offset, i64::from(i) * 10),
                other => panic!("batch {i}: {other:?}"),
            }
        }
        assert_eq!(state.check(batch(0, 10, 10)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(state.check(batch(0, 80, 10)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        assert_eq!(state.check(batch(0, 70, 10)), Ok(Verdict::New));
    }

    #[test]
    fn an_older_epoch_is_fenced_and_a_newer_one_starts_at_zero() {
        let mut state = ProducerState::default();
        append(&mut state, batch(3, 0, 1), 0);
        assert_eq!(state.check(batch(2, 1, 1)), Err(ErrorCode::INVALID_PRODUCER_EPOCH));
        assert_eq!(state.check(batch(4, 1, 1)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        append(&mut state, batch(4, 0, 1), 1);
        assert_eq!(state.check(batch(4, 1, 1)), Ok(Verdict::New));
    }

    #[test]
    fn sequences_wrap() {
        let mut state = ProducerState::default();
        append(&mut state, batch(0, i32::MAX - 1, 2), 0);
        assert_eq!(state.check(batch(0, 0, 1)), Ok(Verdict::New));
        assert_eq!(add_to_sequence(i32::MAX - 1, 3), 1);
    }

    #[test]
    fn replay_of_what_is_known_changes_nothing() {
        let mut state = ProducerState::default();
        append(&mut state, batch(0, 0, 5), 0);
        append(&mut state, batch(0, 5, 5), 5);
        let before = state.clone();
        state.append(batch(0, 0, 5), 0, 4, 0, AckPoint::NOW);
        assert_eq!(state, before);
    }

    #[test]
    fn idle_producers_expire() {
        let mut state = ProducerState::default();
        state.append(batch(0, 0, 1), 0, 0, 1_000, AckPoint::NOW);
        state.expire(999);
        assert_eq!(state.len(), 1);
        state.expire(1_000);
        assert!(state.is_empty());
        // It goes on where it is.
        assert_eq!(state.check(batch(0, 1, 1)), Ok(Verdict::New));
    }
}
