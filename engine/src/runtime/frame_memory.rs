//! The memory of large request frames: a budget, buffers that are used again, and who waits for them.
//!
//! A frame that does not fit one provided buffer gets a buffer of its own, in steps that follow what really arrived.
//! Invariants:
//! - Buffers lent out and buffers kept for reuse together never exceed the budget, however many connections announce
//!   however much. A buffer counts until the last reference to its frame is gone.
//! - Buffers above [`ORDINARY_BYTES`] take at most half of the shared part, so that large frames cannot keep ordinary
//!   ones out.
//! - One frame of the largest size always has a place of its own, the *lane*. It is lent to one waiting frame at a
//!   time, so that frames which hold half of what they need each cannot block one another for ever.
//! - The hosts of a node share one budget. A frame's last reference may go away on any thread; every host is told, and
//!   those where frames wait are woken.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use corelog_wire::buffer::AlignedBuf;

use super::bell::Bell;
use super::provided::CHUNK_BYTES;

/// The first buffer of a frame on a connection that has not sent a large one before.
pub(crate) const FIRST_BYTES: usize = 64 * 1024;
/// The largest buffer of an ordinary client's frame.
pub(crate) const ORDINARY_BYTES: usize = 1024 * 1024 + FIRST_BYTES;
/// The largest first buffer, however large the frames were that a connection sent before.
pub(crate) const TRUSTED_BYTES: usize = 4 * ORDINARY_BYTES;
/// Buffers up to this size are kept for reuse.
const KEPT_BYTES: usize = 2 * 1024 * 1024;
/// The smallest class of kept buffers.
const CLASS_BYTES_MIN: usize = 32 * 1024;
/// Classes: two for each doubling from the smallest to the largest.
const CLASSES: usize = 2 * (KEPT_BYTES / CLASS_BYTES_MIN).trailing_zeros() as usize + 1;

const _: () = assert!(CHUNK_BYTES <= CLASS_BYTES_MIN && FIRST_BYTES >= CLASS_BYTES_MIN);

/// From which part of the budget a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Ordinary,
    Large,
    Lane,
}

/// The budget and the buffers, as one host has them.
pub(crate) struct FrameMemory {
    shared: Arc<Mutex<Shelf>>,
    /// The host, among those of the shelf.
    host: usize,
    /// Bytes for everything but the lane.
    limit: usize,
    lane_bytes: usize,
}

struct Shelf {
    ordinary: usize,
    large: usize,
    lane_lent: bool,
    kept: usize,
    classes: [Vec<AlignedBuf>; CLASSES],
    hosts: Vec<Borrower>,
}

/// A host that borrows from the shelf.
struct Borrower {
    /// Something was given back since it last looked.
    freed: bool,
    /// Frames wait for memory there.
    waits: bool,
    /// How it is woken by other hosts, if there are any.
    bell: Option<Arc<Bell>>,
}

/// A lent buffer. Counts against the budget until it is dropped.
pub(crate) struct FrameBuffer {
    memory: Option<AlignedBuf>,
    share: Share,
    shared: Arc<Mutex<Shelf>>,
}

impl FrameMemory {
    /// A budget of `budget` bytes for frames of up to `frame_bytes_max`, which is cut to what half of the budget can
    /// hold (see [`FrameMemory::frame_bytes_max`]).
    pub(crate) fn new(budget: usize, frame_bytes_max: usize) -> Self {
        let [alone] = Self::shared(budget, frame_bytes_max, vec![None]).try_into().ok().expect("one for each host");
        alone
    }

    /// As [`FrameMemory::new`], shared by the hosts with these bells.
    pub(crate) fn shared(budget: usize, frame_bytes_max: usize, bells: Vec<Option<Arc<Bell>>>) -> Vec<Self> {
        let lane_bytes = frame_bytes_max.min(budget / 2).max(CHUNK_BYTES);
        let shelf = Shelf {
            ordinary: 0,
            large: 0,
            lane_lent: false,
            kept: 0,
            classes: std::array::from_fn(|_| Vec::new()),
            hosts: bells.into_iter().map(|bell| Borrower { freed: false, waits: false, bell }).collect(),
        };
        let limit = budget.saturating_sub(lane_bytes).max(ORDINARY_BYTES);
        let hosts = 0..shelf.hosts.len();
        let shared = Arc::new(Mutex::new(shelf));
        hosts.map(|host| Self { shared: Arc::clone(&shared), host, limit, lane_bytes }).collect()
    }

    /// The largest frame that can be received.
    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.lane_bytes
    }

    /// Whether something was given back since this was last asked.
    pub(crate) fn freed(&self) -> bool {
        std::mem::take(&mut lock(&self.shared).hosts[self.host].freed)
    }

    /// Says whether frames of this host wait for memory. Ask [`FrameMemory::freed`] once more before sleeping.
    pub(crate) fn wait(&self, waits: bool) {
        lock(&self.shared).hosts[self.host].waits = waits;
    }

    /// Bytes lent out, to all hosts.
    pub(crate) fn lent(&self) -> usize {
        let shelf = lock(&self.shared);
        shelf.ordinary + shelf.large
    }

    /// A buffer for at least `capacity` bytes, if the budget has room for it.
    pub(crate) fn lend(&self, capacity: usize) -> Option<FrameBuffer> {
        let class = class_of(capacity);
        let size = class.map_or(capacity.next_multiple_of(corelog_wire::buffer::ALIGN), class_bytes);
        let share =
            if size <= ORDINARY_BYTES.max(class_bytes_above(ORDINARY_BYTES)) { Share::Ordinary } else { Share::Large };
        let mut shelf = lock(&self.shared);
        let lent = shelf.ordinary + shelf.large;
        if lent + size > self.limit || (share == Share::Large && shelf.large + size > self.limit / 2) {
            return None;
        }
        let kept = class.and_then(|class| shelf.classes[class].pop());
        if let Some(memory) = &kept {
            shelf.kept -= memory.capacity();
        } else {
            shelf.drop_kept_above(self.limit - lent - size);
        }
        match share {
            Share::Large => shelf.large += size,
            _ => shelf.ordinary += size,
        }
        drop(shelf);
        let memory = kept.unwrap_or_else(|| AlignedBuf::with_capacity(size));
        assert_eq!(memory.capacity(), size);
        Some(FrameBuffer { memory: Some(memory), share, shared: Arc::clone(&self.shared) })
    }

    /// As [`FrameMemory::lend`], from the lane, if nobody has it. For the frame that has waited longest.
    pub(crate) fn lend_lane(&self, capacity: usize) -> Option<FrameBuffer> {
        assert!(
            capacity <= self.lane_bytes,
            "a frame of {capacity} bytes was let in, the lane has {}",
            self.lane_bytes
        );
        let mut shelf = lock(&self.shared);
        if shelf.lane_lent {
            return None;
        }
        shelf.lane_lent = true;
        drop(shelf);
        let memory = Some(AlignedBuf::with_capacity(capacity));
        Some(FrameBuffer { memory, share: Share::Lane, shared: Arc::clone(&self.shared) })
    }
}

impl Shelf {
    /// Frees kept buffers, the largest first, until at most `room` bytes are kept.
    fn drop_kept_above(&mut self, room: usize) {
        for class in (0..CLASSES).rev() {
            while self.kept > room
                && let Some(memory) = self.classes[class].pop()
            {
                self.kept -= memory.capacity();
            }
        }
    }
}

impl FrameBuffer {
    /// Shares the received bytes. The buffer goes back when the last reference is gone.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    /// Leaks the memory: the kernel may still write to it.
    pub(crate) fn leak(mut self) {
        std::mem::forget(self.memory.take());
    }
}

impl Deref for FrameBuffer {
    type Target = AlignedBuf;

    fn deref(&self) -> &AlignedBuf {
        self.memory.as_ref().expect("a lent buffer has memory until it is dropped")
    }
}

impl DerefMut for FrameBuffer {
    fn deref_mut(&mut self) -> &mut AlignedBuf {
        self.memory.as_mut().expect("a lent buffer has memory until it is dropped")
    }
}

impl AsRef<[u8]> for FrameBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for FrameBuffer {
    fn drop(&mut self) {
        let Some(mut memory) = self.memory.take() else { return };
        let size = memory.capacity();
        let mut shelf = lock(&self.shared);
        match self.share {
            Share::Ordinary => shelf.ordinary -= size,
            Share::Large => shelf.large -= size,
            Share::Lane => shelf.lane_lent = false,
        }
        // The lane's memory is not the shared part's: what is kept must have been lent from it.
        if let Some(class) = class_of(size)
            && class_bytes(class) == size
            && self.share != Share::Lane
        {
            memory.clear();
            shelf.kept += size;
            shelf.classes[class].push(memory);
        }
        for host in &mut shelf.hosts {
            host.freed = true;
            if host.waits
                && let Some(bell) = &host.bell
            {
                bell.ring();
            }
        }
    }
}

fn lock(shared: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The smallest class whose buffers hold `capacity` bytes; `None` above the largest.
fn class_of(capacity: usize) -> Option<usize> {
    (0..CLASSES).find(|&class| class_bytes(class) >= capacity)
}

/// 32 KiB, 48 KiB, 64 KiB, 96 KiB, 128 KiB and so on.
fn class_bytes(class: usize) -> usize {
    let power = CLASS_BYTES_MIN << (class / 2);
    power + if class.is_multiple_of(2) { 0 } else { power / 2 }
}

fn class_bytes_above(capacity: usize) -> usize {
    class_of(capacity).map_or(capacity, class_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn classes_cover_every_size_up_to_the_largest() {
        assert_eq!(class_bytes(CLASSES - 1), KEPT_BYTES);
        for capacity in [1, CLASS_BYTES_MIN, CLASS_BYTES_MIN + 1, 65 * 1024, MIB, MIB + 1, KEPT_BYTES] {
            let class = class_of(capacity).unwrap();
            assert!(class_bytes(class) >= capacity && (class == 0 || class_bytes(class - 1) < capacity));
        }
        assert_eq!(class_of(KEPT_BYTES + 1), None);
    }

    #[test]
    fn a_buffer_is_used_again_and_counts_until_its_last_reference_is_gone() {
        let memory = FrameMemory::new(64 * MIB, 8 * MIB);
        let mut buffer = memory.lend(40_000).unwrap();
        assert_eq!((buffer.capacity(), memory.lent()), (48 * 1024, 48 * 1024));
        buffer.extend_from_slice(b"frame");
        let address = buffer.as_ptr();
        let frame = buffer.freeze();
        let part = frame.slice(1..3);
        drop(frame);
        assert_eq!((&part[..], memory.lent(), memory.freed()), (&b"ra"[..], 48 * 1024, false));
        drop(part);
        assert_eq!((memory.lent(), memory.freed(), memory.freed()), (0, true, false));
        let again = memory.lend(48 * 1024).unwrap();
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
    }

    #[test]
    fn hosts_share_the_budget_and_those_who_wait_are_woken() {
        let bells: Vec<_> = (0..3).map(|_| Arc::new(Bell::new().unwrap())).collect();
        let hosts = FrameMemory::shared(8 * MIB, 2 * MIB, bells.iter().cloned().map(Some).collect());
        let lent: Vec<_> = std::iter::from_fn(|| hosts[0].lend(MIB)).collect();
        assert_eq!((lent.len(), hosts[1].lent()), (6, 6 * MIB));
        assert!(hosts[1].lend(MIB).is_none());
        hosts[1].wait(true);
        drop(lent);
        assert!(hosts.iter().all(FrameMemory::freed));
        assert_eq!([0, 1, 2].map(|host: usize| bells[host].answer()), [false, true, false]);
        let buffer = hosts[1].lend(MIB).unwrap();
        hosts[1].wait(false);
        std::thread::spawn(move || drop(buffer)).join().unwrap();
        assert!(hosts[2].freed() && !bells[1].answer());
    }

    #[test]
    fn lent_and_kept_stay_within_the_budget() {
        let memory = FrameMemory::new(12 * MIB, 4 * MIB);
        let total = |memory: &FrameMemory| memory.lent() + lock(&memory.shared).kept;
        let small: Vec<_> = std::iter::from_fn(|| memory.lend(FIRST_BYTES)).collect();
        assert_eq!(small.len(), 8 * MIB / FIRST_BYTES);
        drop(small);
        assert_eq!(total(&memory), 8 * MIB);
        let larger: Vec<_> = std::iter::from_fn(|| memory.lend(MIB)).collect();
        assert_eq!((larger.len(), total(&memory)), (8, 8 * MIB));
    }

    #[test]
    fn large_frames_leave_room_for_ordinary_ones() {
        let memory = FrameMemory::new(40 * MIB, 20 * MIB);
        let large: Vec<_> = std::iter::from_fn(|| memory.lend(5 * MIB)).collect();
        assert_eq!(large.len(), 2, "half of 20 MiB");
        assert!(memory.lend(MIB).is_some());
        assert_eq!(memory.frame_bytes_max(), 20 * MIB);
    }

    #[test]
    fn one_frame_of_any_size_always_finds_the_lane_free_or_busy() {
        let memory = FrameMemory::new(8 * MIB, 100 * MIB);
        assert_eq!(memory.frame_bytes_max(), 4 * MIB);
        let lane = memory.lend_lane(4 * MIB).unwrap();
        assert!(memory.lend_lane(1).is_none());
        drop(lane);
        assert!(memory.lend_lane(4 * MIB).is_some());
        assert_eq!(memory.lent(), 0);
    }
}
