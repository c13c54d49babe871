//! The records for one partition: an open batch, batches that wait, and how many are under way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corelog_wire::record_batch::{BatchBuilder, NewRecord, RecordBatch, advance_sequence};

use super::{Identity, ProducerConfig};

/// Where the fields of the idempotent producer stand in a batch, and its CRC.
const CRC_AT: usize = 17;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
/// What a record takes beside its key, value and headers, at most.
const RECORD_OVERHEAD: usize = 36;

/// An upper bound of what a record takes in a batch.
pub(super) fn record_size(record: &NewRecord<'_>) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = record.headers.iter().map(|(key, value)| key.len() + length(*value) + 10);
    length(record.key) + length(record.value) + headers.sum::<usize>() + RECORD_OVERHEAD
}

/// Bytes of a batch, before and after it was closed.
#[derive(Debug)]
enum Content {
    Open(Box<BatchBuilder>),
    Built(Bytes),
}

/// A batch.
#[derive(Debug)]
pub(super) struct Batch {
    /// The order of batches.
    pub(super) serial: u64,
    /// When its first record came.
    pub(super) opened_at: Duration,
    /// What its records count in the buffer.
    pub(super) record_bytes: usize,
    /// What its records were given with.
    pub(super) tokens: Vec<u64>,
    /// What the last try met.
    pub(super) last_failure: Option<String>,
    /// Whether a try ended without an answer.
    pub(super) may_be_written: bool,
    /// How often it was sent.
    pub(super) tries: u32,
    /// The number of its first record, if it has one, and the producer id that it is of.
    number: Option<(i64, i32)>,
    content: Content,
}

impl Batch {
    pub(super) fn has_number(&self) -> bool {
        self.number.is_some()
    }

    /// The bytes; known once it was sent.
    pub(super) fn bytes(&self) -> &Bytes {
        match &self.content {
            Content::Built(bytes) => bytes,
            Content::Open(_) => panic!("a batch is built when it is sent first"),
        }
    }

    /// The records in two batches, numbered as they were; none if it has one record alone, or was not sent yet.
    pub(super) fn halves(&self, config: &ProducerConfig) -> Option<(Self, Self)> {
        let Content::Built(bytes) = &self.content else { return None };
        let first_count = self.tokens.len() / 2;
        if first_count == 0 {
            return None;
        }
        let (batch, _) = RecordBatch::split_from(bytes).expect("a batch that was built is one");
        let payload = batch.decompressed_payload(usize::MAX).expect("what was compressed can be decompressed");
        let empty = |number, tokens: &[u64]| Self {
            record_bytes: 0,
            tokens: tokens.to_vec(),
            last_failure: None,
            number,
            content: Content::Open(Box::new(
                BatchBuilder::new().compression(config.compression, config.compression_level),
            )),
            ..*self
        };
        let (first_tokens, second_tokens) = self.tokens.split_at(first_count);
        let advanced = |(id, sequence)| (id, advance_sequence(sequence, first_count as i32));
        let mut halves = [empty(self.number, first_tokens), empty(self.number.map(advanced), second_tokens)];
        for (index, record) in batch.records(&payload).enumerate() {
            let record = record.expect("what was written can be read");
            let headers: Vec<_> = record.headers.collect();
            let record =
                NewRecord { timestamp: record.timestamp, key: record.key, value: record.value, headers: &headers };
            let half = &mut halves[usize::from(index >= first_count)];
            half.record_bytes += record_size(&record);
            if let Content::Open(builder) = &mut half.content {
                builder.append(&record);
            }
        }
        Some(halves.into())
    }

    fn record_count(&self) -> i32 {
        i32::try_from(self.tokens.len()).expect("a batch is below 2 GiB")
    }
}

/// What is to be sent to a partition.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    open: Option<Batch>,
    /// Closed batches by serial.
    pub(super) waiting: VecDeque<Batch>,
    /// How many batches are under way.
    pub(super) in_flight: usize,
    pub(super) is_queued: bool,
    pub(super) is_backing_off: bool,
    next_sequence: i32,
    /// Whether the broker has taken a batch under the present producer id.
    is_known: bool,
}

impl Lane {
    pub(super) fn new(topic: Arc<str>, partition: i32) -> Self {
        Self {
            topic,
            partition,
            open: None,
            waiting: VecDeque::new(),
            in_flight: 0,
            is_queued: false,
            is_backing_off: false,
            next_sequence: 0,
            is_known: false,
        }
    }

    fn open_bytes(&self) -> usize {
        match self.open.as_ref().map(|batch| &batch.content) {
            Some(Content::Open(builder)) => builder.uncompressed_size(),
            _ => 0,
        }
    }

    /// Whether a record of this size belongs into the next batch.
    pub(super) fn would_overflow(&self, size: usize, batch_bytes: usize) -> bool {
        self.open.is_some() && self.open_bytes() + size > batch_bytes
    }

    pub(super) fn is_full(&self, batch_bytes: usize) -> bool {
        self.open_bytes() >= batch_bytes
    }

    pub(super) fn open_serial(&self) -> Option<u64> {
        self.open.as_ref().map(|batch| batch.serial)
    }

    pub(super) fn open_since(&self) -> Option<Duration> {
        self.open.as_ref().map(|batch| batch.opened_at)
    }

    /// Appends a record, to a new batch of this serial if none is open; says whether it was.
    pub(super) fn append(
        &mut self,
        now: Duration,
        config: &ProducerConfig,
        record: &NewRecord<'_>,
        size: usize,
        token: u64,
        serial: u64,
    ) -> bool {
        let is_new = self.open.is_none();
        let batch = self.open.get_or_insert_with(|| Batch {
            serial,
            opened_at: now,
            record_bytes: 0,
            tokens: Vec::new(),
            last_failure: None,
            may_be_written: false,
            tries: 0,
            number: None,
            content: Content::Open(Box::new(
                BatchBuilder::new().compression(config.compression, config.compression_level),
            )),
        });
        match &mut batch.content {
            Content::Open(builder) => builder.append(record),
            Content::Built(_) => panic!("an open batch is not built"),
        }
        batch.record_bytes += size;
        batch.tokens.push(token);
        is_new
    }

    /// Closes the open batch, if there is one.
    pub(super) fn close(&mut self) -> bool {
        let Some(batch) = self.open.take() else { return false };
        self.waiting.push_back(batch);
        true
    }

    /// Whether the next batch may be sent. One that was sent before goes alone. So does the first of all: a broker that
    /// does not know the topic yet refuses it, and may know it when the second comes, which it takes whatever its number is.
    pub(super) fn can_send(&self, config: &ProducerConfig) -> bool {
        let Some(next) = self.waiting.front() else { return false };
        let goes_alone = next.tries > 0 || !self.is_known;
        !self.is_backing_off && self.in_flight < if goes_alone { 1 } else { config.requests_in_flight }
    }

    /// The broker has taken a batch.
    pub(super) fn taken(&mut self) {
        self.is_known = true;
    }

    /// The next batch, ready to be sent.
    pub(super) fn take_next(&mut self, identity: Identity) -> Option<Batch> {
        let mut batch = self.waiting.pop_front()?;
        let identity = match identity {
            Identity::Known { id, epoch } => Some((id, epoch)),
            _ => None,
        };
        let number = identity.map(|(id, epoch)| match batch.number {
            Some((of, sequence)) if of == id => (id, epoch, sequence),
            _ => {
                let sequence = self.next_sequence;
                self.next_sequence = advance_sequence(sequence, batch.record_count());
                (id, epoch, sequence)
            }
        });
        let old = std::mem::replace(&mut batch.content, Content::Built(Bytes::new()));
        let bytes = match (old, number) {
            (Content::Open(builder), Some((id, epoch, sequence))) => {
                builder.producer(id, epoch, sequence).build().into()
            }
            (Content::Open(builder), None) => builder.build().into(),
            (Content::Built(bytes), Some((id, epoch, sequence))) if batch.number != Some((id, sequence)) => {
                renumbered(&bytes, id, epoch, sequence)
            }
            (Content::Built(bytes), _) => bytes,
        };
        batch.content = Content::Built(bytes);
        batch.number = number.map(|(id, _, sequence)| (id, sequence));
        batch.tries += 1;
        self.in_flight += 1;
        Some(batch)
    }

    /// Puts back what was just taken: it is not sent now.
    pub(super) fn untake(&mut self, mut batch: Batch) {
        batch.tries -= 1;
        self.in_flight -= 1;
        self.waiting.push_front(batch);
    }

    /// Puts a batch that was sent back into its place.
    pub(super) fn put_back(&mut self, batch: Batch) {
        let place = self.waiting.partition_point(|waiting| waiting.serial < batch.serial);
        self.waiting.insert(place, batch);
    }

    /// Whether a batch of lower number still waits or is under way.
    pub(super) fn has_older(&self, serial: u64) -> bool {
        self.in_flight > 0 || self.waiting.front().is_some_and(|waiting| waiting.serial < serial)
    }

    /// A new producer id begins at 0.
    pub(super) fn restart_numbers(&mut self) {
        (self.next_sequence, self.is_known) = (0, false);
    }
}

/// The batch with another producer id, epoch and first number.
fn renumbered(batch: &[u8], id: i64, epoch: i16, sequence: i32) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&id.to_be_bytes());
    bytes[PRODUCER_EPOCH_AT..BASE_SEQUENCE_AT].copy_from_slice(&epoch.to_be_bytes());
    bytes[BASE_SEQUENCE_AT..BASE_SEQUENCE_AT + 4].copy_from_slice(&sequence.to_be_bytes());
    let crc = RecordBatch::split_from(&bytes).expect("a batch that was built is one").0.computed_crc();
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}
