//! The only place that knows glommio and io_uring.
//!
//! Owns the executor on its pinned core, the ring that moves all bytes, and what is submitted to it: file steps and
//! socket operations. All of the crate's unsafe code is here. Invariants:
//! - A buffer that the kernel may touch belongs to its operation until the operation's completion has arrived. What
//!   owns such a buffer leaks it rather than free it while the operation is in flight.
//! - One thread owns a ring; nothing here blocks it for longer than the plain system calls named in `file`.

pub(crate) mod bell;
pub mod clock;
pub mod disk;
pub(crate) mod executor;
pub(crate) mod file;
#[cfg(test)]
mod file_test;
pub(crate) mod frame_memory;
pub mod limits;
pub(crate) mod mesh;
pub(crate) mod path;
pub mod probe;
pub(crate) mod provided;
pub mod ring;
pub(crate) mod slab;
pub(crate) mod socket;
pub(crate) mod splice;
pub mod stop;
