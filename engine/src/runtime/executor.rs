//! glommio: one executor on one core. Nothing else in the workspace knows it.
//!
//! The host's task never blocks in glommio except on the doorbell, the eventfd of its ring. glommio's own rings carry
//! that one read (and, in time, messages between cores), so they are kept small.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use glommio::io::BufferedFile;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

/// Entries of each of glommio's three rings.
const RING_DEPTH: usize = 16;
/// Memory that glommio registers for storage; 64 KiB is the least it takes. It counts against the limit of locked
/// memory where the process has no `CAP_IPC_LOCK`.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Runs a task to its end on the calling thread, bound to `cpu` if that is given and possible.
pub(crate) fn run<T>(cpu: Option<usize>, task: impl Future<Output = T>) -> std::io::Result<T> {
    let make = |placement| -> glommio::Result<LocalExecutor, ()> {
        LocalExecutorBuilder::new(placement).ring_depth(RING_DEPTH).io_memory(IO_MEMORY_BYTES).name("shard").make()
    };
    let pinned = cpu.and_then(|cpu| match make(Placement::Fixed(cpu)) {
        Ok(executor) => Some(executor),
        Err(error) => {
            tracing::warn!("cannot stay on core {cpu}, going on without: {error}");
            None
        }
    });
    let executor = match pinned {
        Some(executor) => executor,
        None => make(Placement::Unbound).map_err(|error| std::io::Error::other(error.to_string()))?,
    };
    Ok(executor.run(task))
}

/// Lets glommio run whatever else is ready on this core.
pub(crate) async fn yield_turn() {
    glommio::executor().yield_now().await;
}

/// What a sleeping host is woken by.
pub(crate) struct Doorbell(BufferedFile);

impl Doorbell {
    /// Takes the ring's eventfd, which must block. Call it inside [`run`].
    pub(crate) fn new(event: OwnedFd) -> Self {
        // SAFETY: The descriptor is owned and given away; glommio closes it.
        Self(unsafe { BufferedFile::from_raw_fd(event.into_raw_fd()) })
    }

    /// Waits until the eventfd is written, and resets it.
    pub(crate) async fn rung(&self) -> std::io::Result<()> {
        match self.0.read_at(0, size_of::<u64>()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(std::io::Error::other(error.to_string())),
        }
    }
}
