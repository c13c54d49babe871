//! The tail cache of a partition: what was appended recently, in memory, in the layout of its segments.
//!
//! Owns the chunks (aligned buffers that mirror block-aligned ranges of a segment file) and a descriptor per batch.
//! The same bytes serve consumers, write-back and carrying; they are copied in once and never moved.
//!
//! Invariants: the batches' offsets grow; those of one segment are contiguous in positions; every byte of
//! every batch lies in a chunk; a chunk begins at a multiple of the block size and belongs to one segment; a batch may
//! straddle chunks, never segments. Bytes that recovery may still need (from the flushed offset on) are never evicted.

use super::producer_state::ProducerBatch;
use super::{Durability, Flushed};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use corelog_wire::buffer::AppendBuf;

/// The largest chunk, and so the largest single piece of a write-back, in bytes.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// A batch in the tail.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Offset of its first record.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// Base offset of its segment.
    pub segment: i64,
    /// Where it begins in the segment, in bytes.
    pub position: u64,
    /// Its bytes.
    pub size: u32,
    /// Its CRC field.
    pub crc: u32,
    /// The leader epoch it was written in.
    pub leader_epoch: i32,
    /// The use of a journal file that holds it.
    pub ordinal: u64,
    /// The journal commit that holds it.
    pub sequence: u64,
    /// What its acknowledgement waits for.
    pub level: Durability,
    /// Its largest timestamp in milliseconds, or -1.
    pub max_timestamp_ms: i64,
    /// Offset of the first record that has it.
    pub offset_of_max_timestamp: i64,
    /// Its producer, when idempotent.
    pub producer: Option<ProducerBatch>,
}

impl Batch {
    /// Where it ends in the segment.
    pub fn end(&self) -> u64 {
        self.position + u64::from(self.size)
    }
}

/// Chunks of the largest size whose content is no longer wanted: a shard in steady state takes no fresh memory.
#[derive(Debug, Default)]
pub struct ChunkPool {
    spare: Vec<AppendBuf>,
}

/// Chunks that a pool keeps at most.
const SPARE_CHUNKS_MAX: usize = 64;

impl ChunkPool {
    fn take(&mut self, capacity: usize) -> AppendBuf {
        let spare = if capacity == CHUNK_BYTES_MAX { self.spare.pop() } else { None };
        spare.unwrap_or_else(|| AppendBuf::with_capacity(capacity))
    }

    fn give(&mut self, mut chunk: AppendBuf) {
        // What a slow consumer or the disk still reads is freed with its last reader.
        let wanted = chunk.capacity() == CHUNK_BYTES_MAX && self.spare.len() < SPARE_CHUNKS_MAX;
        if wanted && chunk.reuse() {
            self.spare.push(chunk);
        }
    }
}

#[derive(Debug)]
struct Chunk {
    segment: i64,
    start: u64,
    buffer: AppendBuf,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct Tail {
    block: u64,
    batches: VecDeque<Batch>,
    chunks: VecDeque<Chunk>,
    memory: usize,
}

impl Tail {
    /// An empty tail for a disk with this block size.
    pub fn new(block: usize) -> Self {
        assert!(block.is_power_of_two(), "a block size is a power of two");
        Self { block: block as u64, batches: VecDeque::new(), chunks: VecDeque::new(), memory: 0 }
    }

    /// Appends a batch, whose bytes come in pieces. Returns how many chunks became full.
    pub fn append(&mut self, batch: Batch, pieces: &[&[u8]], pool: &mut ChunkPool) -> usize {
        debug_assert_eq!(pieces.iter().map(|p| p.len()).sum::<usize>(), batch.size as usize);
        if let Some(last) = self.batches.back() {
            assert!(last.last_offset < batch.base_offset, "offsets of batches grow");
            let contiguous =
                if last.segment == batch.segment { last.end() == batch.position } else { batch.position == 0 };
            assert!(contiguous, "batches are contiguous in positions");
        }
        let mut filled = 0;
        let mut position = batch.position;
        let mut left = batch.size as usize;
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let chunk = match self.chunks.back_mut() {
                    Some(c) if c.segment == batch.segment && c.end() == position && c.buffer.remaining() > 0 => c,
                    _ => self.begin_chunk(batch.segment, position, left, pool),
                };
                let taken = chunk.buffer.append(rest);
                filled += usize::from(chunk.buffer.remaining() == 0);
                rest = &rest[taken..];
                position += taken as u64;
                left -= taken;
            }
        }
        self.batches.push_back(batch);
        self.memory += size_of::<Batch>();
        filled
    }

    fn begin_chunk(&mut self, segment: i64, position: u64, wanted: usize, pool: &mut ChunkPool) -> &mut Chunk {
        let skipped = (position % self.block) as usize;
        let before = self.chunks.back().filter(|c| c.segment == segment).map_or(0, |c| c.buffer.capacity());
        let block = self.block as usize;
        let capacity = (before * 2).max(skipped + wanted).clamp(block, CHUNK_BYTES_MAX).next_multiple_of(block);
        let mut buffer = pool.take(capacity);
        buffer.skip(skipped);
        self.memory += buffer.capacity();
        self.chunks.push_back(Chunk { segment, start: position - skipped as u64, buffer });
        self.chunks.back_mut().expect("one was pushed")
    }

    /// The batches, oldest first.
    pub fn batches(&self) -> &VecDeque<Batch> {
        &self.batches
    }

    /// The batch at `base_offset` has been carried into another use of a journal file.
    pub fn relocate(&mut self, base_offset: i64, ordinal: u64) {
        let at = self.find(base_offset);
        let batch = &mut self.batches[at];
        assert!(batch.base_offset == base_offset && batch.ordinal < ordinal, "carrying moves a batch forward");
        batch.ordinal = ordinal;
    }

    /// The first offset that is in memory, or `None` when nothing is.
    pub fn first_offset(&self) -> Option<i64> {
        self.batches.front().map(|b| b.base_offset)
    }

    /// The place in [`Self::batches`] of the batch that holds `offset` or, when none does, of the first one behind it.
    pub fn find(&self, offset: i64) -> usize {
        self.batches.partition_point(|b| b.last_offset < offset)
    }

    /// The bytes `from..to` of a segment, which must be in memory, in as few pieces as there are chunks.
    pub fn slices(&self, segment: i64, from: u64, to: u64, out: &mut Vec<Bytes>) {
        let mut at = from;
        for chunk in self.chunks.range(self.first_chunk(segment, from)..) {
            if at >= to {
                break;
            }
            assert!(chunk.segment == segment && chunk.start <= at, "the range is in memory");
            let end = to.min(chunk.end());
            assert!(at < end, "the range is in memory");
            out.push(chunk.buffer.slice((at - chunk.start) as usize..(end - chunk.start) as usize));
            at = end;
        }
        assert!(at >= to, "the range is in memory");
    }

    /// A batch's bytes, in as many pieces as chunks hold it.
    pub fn pieces(&self, batch: &Batch) -> Vec<&[u8]> {
        let mut out = Vec::with_capacity(2);
        let mut at = batch.position;
        for chunk in self.chunks.range(self.first_chunk(batch.segment, at)..) {
            if at >= batch.end() {
                break;
            }
            let end = batch.end().min(chunk.end());
            out.push(chunk.buffer.read((at - chunk.start) as usize..(end - chunk.start) as usize));
            at = end;
        }
        assert!(at == batch.end(), "a batch of the tail is in memory");
        out
    }

    /// How many chunks there are.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    /// A batch's bytes in one piece.
    pub fn copy(&self, batch: &Batch) -> Vec<u8> {
        self.pieces(batch).concat()
    }

    fn first_chunk(&self, segment: i64, position: u64) -> usize {
        self.chunks.partition_point(|c| (c.segment, c.end()) <= (segment, position))
    }

    /// Fills the last block of a segment with zeros, so that it can be written as a whole. Nothing is appended to it after.
    pub fn pad(&mut self, segment: i64) {
        let last = self.chunks.iter_mut().rev().find(|c| c.segment == segment);
        if let Some(chunk) = last {
            let to = chunk.buffer.len().next_multiple_of(self.block as usize);
            chunk.buffer.append_zeros(to - chunk.buffer.len());
        }
    }

    /// Drops the oldest chunk if recovery no longer needs any batch in it. Returns the memory that came free.
    pub fn evict_oldest(&mut self, flushed: &Flushed, pool: &mut ChunkPool) -> Option<usize> {
        let front = self.chunks.front()?;
        let (segment, end) = (front.segment, front.end());
        let clean = segment < flushed.segment || (segment == flushed.segment && end <= flushed.offset_position);
        let closed = self.chunks.len() > 1 || front.buffer.remaining() == 0;
        (clean && closed).then(|| self.drop_oldest(segment, end, pool))
    }

    fn drop_oldest(&mut self, segment: i64, end: u64, pool: &mut ChunkPool) -> usize {
        let before = self.memory;
        let chunk = self.chunks.pop_front().expect("the caller saw it");
        self.memory -= chunk.buffer.capacity();
        pool.give(chunk.buffer);
        while self.batches.front().is_some_and(|b| (b.segment, b.position) < (segment, end)) {
            self.batches.pop_front();
            self.memory -= size_of::<Batch>();
        }
        before - self.memory
    }

    /// Drops every batch that ends before `offset`, and the chunks that hold nothing else.
    pub fn drop_before(&mut self, offset: i64) {
        while self.batches.front().is_some_and(|b| b.last_offset < offset) {
            self.batches.pop_front();
            self.memory -= size_of::<Batch>();
        }
        let (segment, position) = self.batches.front().map_or((i64::MAX, 0), |b| (b.segment, b.position));
        while self.chunks.front().is_some_and(|c| (c.segment, c.end()) <= (segment, position)) {
            let chunk = self.chunks.pop_front().expect("seen just now");
            self.memory -= chunk.buffer.capacity();
        }
    }

    /// Moves what is left of an idle partition into a chunk of just its size. Returns the memory that came free.
    pub fn shrink(&mut self) -> usize {
        let before = self.memory;
        let (Some(first), 1) = (self.batches.front().copied(), self.chunks.len()) else { return 0 };
        let chunk = &self.chunks[0];
        let from = first.position - first.position % self.block;
        let needed = ((chunk.end() - from) as usize).next_multiple_of(self.block as usize);
        if chunk.buffer.capacity() < needed * 4 {
            return 0;
        }
        let mut buffer = AppendBuf::with_capacity(needed);
        buffer.skip((first.position - from) as usize);
        buffer.append(chunk.buffer.read((first.position - chunk.start) as usize..chunk.buffer.len()));
        self.memory = self.memory - chunk.buffer.capacity() + buffer.capacity();
        self.chunks[0] = Chunk { segment: first.segment, start: from, buffer };
        before - self.memory
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> usize {
        self.memory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn batch(base_offset: i64, segment: i64, position: u64, size: u32) -> Batch {
        Batch {
            base_offset,
            last_offset: base_offset,
            segment,
            position,
            size,
            crc: 0,
            leader_epoch: 0,
            ordinal: 0,
            sequence: 0,
            level: Durability::Fsync,
            max_timestamp_ms: -1,
            offset_of_max_timestamp: base_offset,
            producer: None,
        }
    }

    proptest! {
        /// Whatever is appended, rolled and evicted: what remains reads back as it was written.
        #[test]
        fn the_tail_agrees_with_a_plain_list(
            sizes in prop::collection::vec((1_u32..30_000, prop::bool::weighted(0.1)), 1..60),
            evictions in 0_usize..6,
        ) {
            let mut tail = Tail::new(4096);
            let mut model: Vec<(Batch, Vec<u8>)> = vec![];
            let (mut segment, mut position) = (0_i64, 0_u64);
            for (i, (size, roll)) in sizes.into_iter().enumerate() {
                if roll && position > 0 {
                    tail.pad(segment);
                    (segment, position) = (i as i64, 0);
                }
                let bytes: Vec<u8> = (0..size).map(|n| (n as usize * 7 + i) as u8).collect();
                let b = batch(i as i64, segment, position, size);
                let cut = bytes.len().min(16);
                tail.append(b, &[&bytes[..cut], &bytes[cut..]], &mut ChunkPool::default());
                position += u64::from(size);
                model.push((b, bytes));
            }
            let flushed = Flushed::begin(segment);
            for _ in 0..evictions {
                tail.evict_oldest(&flushed, &mut ChunkPool::default());
            }
            let first = tail.first_offset().expect("the active segment is never evicted here");
            prop_assert!(first <= segment);
            for (b, bytes) in &model[first as usize..] {
                prop_assert_eq!(&tail.copy(b), bytes);
                let mut pieces = vec![];
                tail.slices(b.segment, b.position, b.end(), &mut pieces);
                prop_assert_eq!(&pieces.concat(), bytes);
                prop_assert_eq!(tail.batches()[tail.find(b.base_offset)].base_offset, b.base_offset);
            }
            tail.drop_before(model.len() as i64);
            prop_assert_eq!(tail.memory(), 0);
        }
    }

    #[test]
    fn a_straddling_batch_keeps_its_first_chunk() {
        let mut tail = Tail::new(4096);
        tail.append(batch(0, 0, 0, 4_000), &[&[1; 4_000]], &mut ChunkPool::default());
        tail.append(batch(1, 0, 4_000, 4_000), &[&[2; 4_000]], &mut ChunkPool::default());
        let mut flushed = Flushed { position: 4_096, offset: 1, offset_position: 4_000, ..Flushed::begin(0) };
        assert_eq!(tail.evict_oldest(&flushed, &mut ChunkPool::default()), None);
        flushed.offset_position = 8_000;
        assert!(tail.evict_oldest(&flushed, &mut ChunkPool::default()).is_some());
        assert_eq!(tail.first_offset(), None);
    }

    #[test]
    fn an_idle_partition_shrinks_to_what_it_holds() {
        let mut tail = Tail::new(4096);
        tail.append(batch(0, 0, 0, 900_000), &[&[1; 900_000]], &mut ChunkPool::default());
        tail.append(batch(1, 0, 900_000, 100), &[&[2; 100]], &mut ChunkPool::default());
        tail.drop_before(1);
        let freed = tail.shrink();
        assert!(freed > 800_000, "{freed}");
        assert_eq!(tail.copy(&batch(1, 0, 900_000, 100)), vec![2; 100]);
    }
}
