//! The receive buffers that all connections of a ring share, so that an idle connection holds none.
//!
//! The kernel takes a buffer when bytes arrive and names it in the completion; the host copies out what it needs and
//! gives it back in the same turn. Invariant: a buffer is either the kernel's (in the ring) or the host's (between a
//! completion and [`ProvidedBuffers::give_back`]), and the host reads only those that are its own.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use corelog_wire::buffer::AlignedBuf;
use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// The size of a buffer in bytes, and so the largest part of a frame that needs no reservation.
pub(crate) const CHUNK_BYTES: usize = 16 * 1024;
/// The one group of buffers.
pub(crate) const GROUP: u16 = 0;

/// A ring of provided buffers registered with io_uring.
pub(crate) struct ProvidedBuffers {
    /// The kernel's ring of entries, page aligned.
    entries: AlignedBuf,
    memory: AlignedBuf,
    count: u16,
    tail: u16,
    /// Which buffers the host holds.
    held: Vec<bool>,
}

impl ProvidedBuffers {
    /// Registers `count` buffers (a power of two). They must live until the ring is quiet.
    pub(crate) fn new(uring: &IoUring, count: u16) -> io::Result<Self> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "{count} buffers");
        let mut entries = AlignedBuf::zeroed(usize::from(count) * size_of::<BufRingEntry>());
        let memory = AlignedBuf::with_capacity(usize::from(count) * CHUNK_BYTES);
        // SAFETY: The entries are page aligned, zeroed, as many as said, and owned by the value that is returned, which
        // the ring keeps until no operation is in flight.
        unsafe {
            uring.submitter().register_buf_ring_with_flags(entries.as_mut_ptr() as u64, count, GROUP, 0)?;
        }
        let mut buffers = Self { entries, memory, count, tail: 0, held: vec![true; usize::from(count)] };
        for id in 0..count {
            buffers.give_back(id);
        }
        Ok(buffers)
    }

    /// The first `len` bytes of a buffer that a completion named.
    pub(crate) fn read(&self, id: u16, len: usize) -> &[u8] {
        assert!(len <= CHUNK_BYTES && self.held[usize::from(id)], "buffer {id} with {len} bytes is not the host's");
        // SAFETY: The buffer lies inside the memory, the kernel has written `len` bytes to it, and it does not touch it
        // again before it is given back, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(usize::from(id) * CHUNK_BYTES), len) }
    }

    /// Notes that a completion named this buffer.
    pub(crate) fn take(&mut self, id: u16) {
        let held = &mut self.held[usize::from(id)];
        assert!(!*held, "buffer {id} was given twice");
        *held = true;
    }

    /// Lets the kernel use the buffer again.
    pub(crate) fn give_back(&mut self, id: u16) {
        let held = &mut self.held[usize::from(id)];
        assert!(*held, "buffer {id} is not the host's");
        *held = false;
        let base = self.entries.as_mut_ptr().cast::<BufRingEntry>();
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: The index is below the count, so the entry lies inside `entries`. The kernel reads entries below the
        // tail only, and this one is at the tail. Its reserved part, which is the ring's tail in entry 0, is not
        // written. The tail is published after the entry, as the release store says.
        unsafe {
            let entry = &mut *base.add(index);
            entry.set_addr(self.memory.as_mut_ptr().add(usize::from(id) * CHUNK_BYTES) as u64);
            entry.set_len(CHUNK_BYTES as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(base).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_the_kernel_has_cannot_be_read() {
        let uring = IoUring::new(4).unwrap();
        let mut buffers = ProvidedBuffers::new(&uring, 4).unwrap();
        buffers.take(2);
        assert_eq!(buffers.read(2, 0), b"");
        buffers.give_back(2);
        assert!(std::panic::catch_unwind(|| buffers.read(2, 0)).is_err());
    }
}
