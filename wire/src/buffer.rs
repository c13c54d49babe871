//! Memory that direct I/O can use: aligned, of fixed capacity, never moved.
//!
//! Owns the only unsafe code of this crate. Invariants:
//! - A [`Region`] never moves and is freed once, when its last owner is gone.
//! - In every buffer the bytes `0..len` are initialised and `len <= capacity`. No `&[u8]` ever covers a byte at or
//!   beyond `len`.
//! - [`AlignedBuf`] is the only owner of its region, so it may hand out `&mut [u8]`.
//! - [`AppendBuf`] is the only writer of its region, and it writes at or beyond `len` only. Bytes below `len` never
//!   change again, so any number of threads (and the kernel) may read them meanwhile.
#![allow(unsafe_code)]

use alloc::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use alloc::sync::Arc;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut, Range};
use core::ptr::NonNull;
use core::slice;

use bytes::Bytes;

/// The alignment, in bytes, of every buffer that is not asked for with another one. Sufficient for direct I/O on any
/// device with logical blocks of up to 4 KiB.
pub const ALIGN: usize = 4096;

/// A heap allocation of fixed place, size and alignment. Its bytes may be uninitialised.
struct Region {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: A region is memory from the global allocator without ties to a thread. It offers no access to its bytes; the
// buffers around it keep readers and the one writer apart.
unsafe impl Send for Region {}
// SAFETY: As above: `&Region` gives out nothing but the address.
unsafe impl Sync for Region {}

impl Region {
    /// The layout of `capacity` bytes rounded up to a multiple of `align`.
    fn layout(capacity: usize, align: usize) -> Layout {
        assert!(align.is_power_of_two(), "alignment {align} is not a power of two");
        let size = capacity.checked_next_multiple_of(align).expect("a buffer's capacity fits the address space");
        Layout::from_size_align(size, align).expect("a buffer's capacity fits the address space")
    }

    fn uninitialised(capacity: usize, align: usize) -> Self {
        let layout = Self::layout(capacity, align);
        if layout.size() == 0 {
            return Self::empty(layout);
        }
        // SAFETY: The layout's size is not zero.
        let start = unsafe { alloc(layout) };
        Self { start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }

    fn zeroed(capacity: usize, align: usize) -> Self {
        let layout = Self::layout(capacity, align);
        if layout.size() == 0 {
            return Self::empty(layout);
        }
        // SAFETY: The layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        Self { start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }

    /// A region without bytes: nothing is allocated, the address is aligned all the same.
    fn empty(layout: Layout) -> Self {
        assert_eq!(layout.size(), 0);
        let start = core::ptr::without_provenance_mut::<u8>(layout.align());
        Self { start: NonNull::new(start).expect("an alignment is not zero"), layout }
    }

    fn capacity(&self) -> usize {
        self.layout.size()
    }

    fn align(&self) -> usize {
        self.layout.align()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: `start` came from the global allocator with this very layout and is freed here only.
            unsafe { dealloc(self.start.as_ptr(), self.layout) }
        }
    }
}

/// A uniquely owned aligned buffer of fixed capacity, for direct writes and reads.
///
/// Dereferences to its initialised bytes `0..len`. It never grows: running over the capacity is a bug of the caller.
pub struct AlignedBuf {
    region: Region,
    len: usize,
}

impl AlignedBuf {
    /// An empty buffer for at least `capacity` bytes, rounded up to a multiple of [`ALIGN`]. Its memory is not zeroed.
    /// A capacity of 0 allocates nothing.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::with_capacity_and_align(capacity, ALIGN)
    }

    /// As [`AlignedBuf::with_capacity`], for a device that asks for `align` bytes (a power of two).
    pub fn with_capacity_and_align(capacity: usize, align: usize) -> Self {
        Self { region: Region::uninitialised(capacity, align), len: 0 }
    }

    /// A buffer of `len` zeros; its capacity is `len` rounded up to a multiple of [`ALIGN`].
    pub fn zeroed(len: usize) -> Self {
        Self { region: Region::zeroed(len, ALIGN), len }
    }

    /// How many bytes are initialised.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is initialised.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes fit, a multiple of the alignment.
    pub fn capacity(&self) -> usize {
        self.region.capacity()
    }

    /// How many bytes still fit.
    pub fn remaining(&self) -> usize {
        self.capacity() - self.len
    }

    /// The alignment of the first byte, in bytes.
    pub fn align(&self) -> usize {
        self.region.align()
    }

    /// The address of the first byte. Valid for reads of `len` bytes and for writes of `capacity` bytes as long as the
    /// buffer lives and nobody holds a slice of it.
    pub fn as_ptr(&self) -> *const u8 {
        self.region.start.as_ptr()
    }

    /// As [`AlignedBuf::as_ptr`], for a reader (a kernel) that fills the buffer.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.region.start.as_ptr()
    }

    /// Appends all of `bytes`. Panics if they do not fit.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.remaining(), "{} bytes do not fit, {} are left", bytes.len(), self.remaining());
        // SAFETY: The source is a live slice, the destination lies inside the region (checked above), and they cannot
        // overlap: `&mut self` says that nobody else holds a reference into the region.
        unsafe { self.region.start.as_ptr().add(self.len).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.len += bytes.len();
    }

    /// Appends zeros until `len` bytes are initialised. Panics if `len` is below the current length or over capacity.
    pub fn pad_with_zeros_to(&mut self, len: usize) {
        assert!(self.len <= len && len <= self.capacity(), "cannot pad {} to {len}", self.len);
        // SAFETY: `self.len..len` lies inside the region (checked above), and `&mut self` is the only access.
        unsafe { self.region.start.as_ptr().add(self.len).write_bytes(0, len - self.len) };
        self.len = len;
    }

    /// Forgets the bytes from `len` on. Panics if there are fewer than `len`.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len, "cannot truncate {} to {len}", self.len);
        self.len = len;
    }

    /// Forgets all bytes; keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The memory behind the initialised bytes. What is written there counts after [`AlignedBuf::set_len`].
    pub fn spare_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        let spare = self.remaining();
        // SAFETY: `len..capacity` lies inside the region, may be uninitialised as the type says, and `&mut self` is the
        // only access for as long as the slice lives.
        unsafe { slice::from_raw_parts_mut(self.region.start.as_ptr().add(self.len).cast(), spare) }
    }

    /// Declares that the first `len` bytes are initialised.
    ///
    /// # Safety
    /// Every byte of `0..len` has been written, by this buffer's methods or by whoever was given its address.
    pub unsafe fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "length {len} is over the capacity {}", self.capacity());
        self.len = len;
    }

    /// Shares the initialised bytes by reference count. Copies nothing.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `0..len` is initialised and lies inside the region, which lives as long as `self`; writing needs
        // `&mut self`.
        unsafe { slice::from_raw_parts(self.region.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: As for `deref`, and `&mut self` is the only access.
        unsafe { slice::from_raw_parts_mut(self.region.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.len).field("capacity", &self.capacity()).finish()
    }
}

/// An aligned append-only chunk: one writer appends while any number of readers hold slices of what is published.
///
/// Published bytes never change, so slices stay valid while the chunk grows and after it is gone: the memory is freed
/// with the last of them.
pub struct AppendBuf {
    region: Arc<Region>,
    len: usize,
}

/// Keeps a region alive for one published range of it.
struct Published {
    region: Arc<Region>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Published {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: The range was below the writer's `len` when this was made (see `AppendBuf::slice`): initialised,
        // inside the region, and never written again. The `Arc` keeps the region alive.
        unsafe { slice::from_raw_parts(self.region.start.as_ptr().add(self.range.start), self.range.len()) }
    }
}

impl AppendBuf {
    /// An empty chunk for at least `capacity` bytes, rounded up to a multiple of [`ALIGN`]. Its memory is not zeroed.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::with_capacity_and_align(capacity, ALIGN)
    }

    /// As [`AppendBuf::with_capacity`], for a device that asks for `align` bytes (a power of two).
    pub fn with_capacity_and_align(capacity: usize, align: usize) -> Self {
        Self { region: Arc::new(Region::uninitialised(capacity, align)), len: 0 }
    }

    /// Empties the chunk for other content, unless a slice of it is still alive. Says whether it did. Memory that was used
    /// before costs no page faults.
    pub fn reuse(&mut self) -> bool {
        let unshared = Arc::get_mut(&mut self.region).is_some();
        if unshared {
            self.len = 0;
        }
        unshared
    }

    /// How many bytes are published.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is published yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes fit, a multiple of the alignment.
    pub fn capacity(&self) -> usize {
        self.region.capacity()
    }

    /// How many bytes still fit.
    pub fn remaining(&self) -> usize {
        self.capacity() - self.len
    }

    /// The alignment of the first byte, in bytes.
    pub fn align(&self) -> usize {
        self.region.align()
    }

    /// The address of the first byte. Valid for reads of `len` bytes as long as the chunk or a slice of it lives.
    pub fn as_ptr(&self) -> *const u8 {
        self.region.start.as_ptr()
    }

    /// Publishes as much of `bytes` as fits and returns how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let fits = bytes.len().min(self.remaining());
        // SAFETY: `len..len + fits` lies inside the region. Readers only ever see bytes below `len` (`slice` and `read`
        // check it), and `&mut self` is the only writer. The source may be a published part of this very region, which
        // lies below `len` and so does not overlap.
        unsafe { self.region.start.as_ptr().add(self.len).copy_from_nonoverlapping(bytes.as_ptr(), fits) };
        self.len += fits;
        fits
    }

    /// Publishes `count` zeros. Panics if they do not fit.
    pub fn append_zeros(&mut self, count: usize) {
        assert!(count <= self.remaining(), "{count} zeros do not fit, {} bytes are left", self.remaining());
        // SAFETY: As for `append`: inside the region, at or beyond `len`, by the only writer.
        unsafe { self.region.start.as_ptr().add(self.len).write_bytes(0, count) };
        self.len += count;
    }

    /// Publishes `count` zeros in front of the first byte, for a chunk whose data begins inside a block. Panics if
    /// something is published already or if they do not fit.
    pub fn skip(&mut self, count: usize) {
        assert!(self.is_empty(), "only an empty chunk can skip");
        self.append_zeros(count);
    }

    /// A view of published bytes, shared by reference count. Panics if `range` is not published.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        self.check_published(&range);
        if range.is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(Published { region: Arc::clone(&self.region), range })
    }

    /// Published bytes, borrowed. Panics if `range` is not published.
    pub fn read(&self, range: Range<usize>) -> &[u8] {
        self.check_published(&range);
        // SAFETY: The range is published: initialised, inside the region, never written again.
        unsafe { slice::from_raw_parts(self.region.start.as_ptr().add(range.start), range.len()) }
    }

    fn check_published(&self, range: &Range<usize>) {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} is not published, only {} bytes are",
            self.len
        );
    }
}

impl fmt::Debug for AppendBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppendBuf").field("len", &self.len).field("capacity", &self.capacity()).finish()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn capacity_is_rounded_up_and_memory_is_aligned() {
        for (asked, given) in [(0, 0), (1, ALIGN), (ALIGN, ALIGN), (ALIGN + 1, 2 * ALIGN)] {
            let buf = AlignedBuf::with_capacity(asked);
            assert_eq!(buf.capacity(), given);
            assert_eq!(buf.as_ptr() as usize % ALIGN, 0);
            assert!(buf.is_empty());
            let chunk = AppendBuf::with_capacity(asked);
            assert_eq!(chunk.capacity(), given);
            assert_eq!(chunk.as_ptr() as usize % ALIGN, 0);
        }
        let buf = AlignedBuf::with_capacity_and_align(100, 512);
        assert_eq!((buf.capacity(), buf.align(), buf.as_ptr() as usize % 512), (512, 512, 0));
        let big = AppendBuf::with_capacity_and_align(100, 65536);
        assert_eq!((big.capacity(), big.align(), big.as_ptr() as usize % 65536), (65536, 65536, 0));
    }

    #[test]
    fn aligned_buf_holds_what_is_written() {
        let mut buf = AlignedBuf::with_capacity(10);
        buf.extend_from_slice(b"hello");
        buf.extend_from_slice(b"");
        assert_eq!(&*buf, b"hello");
        buf[0] = b'j';
        buf.pad_with_zeros_to(8);
        assert_eq!(&*buf, b"jello\0\0\0");
        buf.truncate(2);
        assert_eq!(&*buf, b"je");
        buf.pad_with_zeros_to(4);
        assert_eq!(&*buf, b"je\0\0");
        buf.clear();
        assert_eq!((buf.len(), buf.remaining()), (0, ALIGN));
        assert_eq!(&*AlignedBuf::zeroed(5), [0; 5]);
        assert_eq!(AlignedBuf::zeroed(0).len(), 0);
    }

    #[test]
    fn spare_memory_counts_after_set_len() {
        let mut buf = AlignedBuf::with_capacity(ALIGN);
        buf.extend_from_slice(b"ab");
        let spare = buf.spare_mut();
        assert_eq!(spare.len(), ALIGN - 2);
        spare[0].write(b'c');
        // SAFETY: Two bytes were appended, the third was just written.
        unsafe { buf.set_len(3) };
        assert_eq!(&*buf, b"abc");
    }

    #[test]
    fn a_frozen_buffer_keeps_its_address_and_outlives_its_maker() {
        let mut buf = AlignedBuf::with_capacity(ALIGN);
        buf.extend_from_slice(&[7; 100]);
        let address = buf.as_ptr();
        let frozen = buf.freeze();
        assert_eq!(frozen.as_ptr(), address);
        let part = frozen.slice(10..20);
        drop(frozen);
        assert_eq!(&part[..], [7; 10]);
        assert!(AlignedBuf::with_capacity(0).freeze().is_empty());
    }

    #[test]
    fn buffers_move_between_threads() {
        let mut buf = AlignedBuf::with_capacity(ALIGN);
        buf.extend_from_slice(b"x");
        let sum = std::thread::spawn(move || buf.iter().map(|&byte| u64::from(byte)).sum::<u64>()).join().unwrap();
        assert_eq!(sum, u64::from(b'x'));
    }

    #[test]
    #[should_panic(expected = "do not fit")]
    fn aligned_buf_refuses_to_grow() {
        AlignedBuf::with_capacity(ALIGN).extend_from_slice(&[0; ALIGN + 1]);
    }

    #[test]
    #[should_panic(expected = "cannot pad")]
    fn padding_stays_inside_the_capacity() {
        AlignedBuf::with_capacity(ALIGN).pad_with_zeros_to(ALIGN + 1);
    }

    #[test]
    fn append_stops_at_the_capacity() {
        let mut chunk = AppendBuf::with_capacity(ALIGN);
        let bytes: Vec<u8> = (0..ALIGN + 10).map(|i| i as u8).collect();
        assert_eq!(chunk.append(&bytes[..ALIGN - 4]), ALIGN - 4);
        assert_eq!(chunk.append(&bytes[ALIGN - 4..]), 4);
        assert_eq!(chunk.append(&bytes), 0);
        assert_eq!((chunk.len(), chunk.remaining()), (ALIGN, 0));
        assert_eq!(chunk.read(0..ALIGN), &bytes[..ALIGN]);
        assert!(chunk.slice(ALIGN..ALIGN).is_empty());
    }

    #[test]
    fn slices_stay_the_same_while_the_chunk_grows_and_after_it() {
        let mut chunk = AppendBuf::with_capacity(ALIGN);
        chunk.skip(512);
        chunk.append(b"first");
        let all = chunk.slice(0..517);
        let first = chunk.slice(512..517);
        let reading = first.as_ref();
        chunk.append(b"second");
        chunk.append_zeros(2);
        assert_eq!(reading, b"first");
        assert_eq!(chunk.read(512..525), b"firstsecond\0\0");
        let tail = chunk.slice(515..520);
        drop(chunk);
        assert_eq!(&all[..512], &vec![0; 512][..]);
        drop(all);
        assert_eq!((&first[..], &tail[..]), (&b"first"[..], &b"stsec"[..]));
    }

    #[test]
    fn readers_on_other_threads_see_published_bytes_while_the_writer_goes_on() {
        let mut chunk = AppendBuf::with_capacity(4 * ALIGN);
        let mut readers = Vec::new();
        for round in 0..8u8 {
            let start = chunk.len();
            chunk.append(&[round; 1000]);
            let slice = chunk.slice(start..chunk.len());
            readers.push(std::thread::spawn(move || slice.iter().all(|&byte| byte == round)));
        }
        assert!(readers.into_iter().all(|reader| reader.join().unwrap()));
    }

    #[test]
    #[should_panic(expected = "is not published")]
    fn unpublished_bytes_cannot_be_sliced() {
        let mut chunk = AppendBuf::with_capacity(ALIGN);
        chunk.append(b"abc");
        let _ = chunk.slice(0..4);
    }

    #[test]
    #[should_panic(expected = "is not published")]
    fn unpublished_bytes_cannot_be_read() {
        let _ = AppendBuf::with_capacity(ALIGN).read(0..1);
    }

    #[test]
    #[should_panic(expected = "only an empty chunk can skip")]
    fn skipping_comes_first() {
        let mut chunk = AppendBuf::with_capacity(ALIGN);
        chunk.append(b"abc");
        chunk.skip(1);
    }

    #[test]
    fn a_chunk_is_reused_only_when_nobody_reads_it() {
        let mut chunk = AppendBuf::with_capacity(ALIGN);
        chunk.append(b"first");
        let slice = chunk.slice(0..5);
        assert!(!chunk.reuse());
        assert_eq!((chunk.len(), &slice[..]), (5, &b"first"[..]));
        drop(slice);
        assert!(chunk.reuse());
        chunk.append(b"other");
        assert_eq!(chunk.read(0..5), b"other");
    }
}
