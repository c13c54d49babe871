//! What shards send to one another: a mailbox for each pair of hosts, and batches in it.
//!
//! A sender collects a turn's messages by destination and hands each batch over with two atomic exchanges; a receiver
//! takes whole batches with one. There is no lock, so a thread that the system has stopped at any instruction keeps
//! nobody waiting but those who wait for its own messages. Emptied batches go back the same way: nothing is allocated
//! for a message once the batches have grown to what is usual.
//!
//! Invariants:
//! - A message arrives once, and after those that the same shard sent before. Only the sender puts batches into the
//!   mailbox of a pair, and it takes back what was not fetched yet and appends to it; a batch that was taken has one
//!   owner. Between taking back and putting again the mailbox is empty: the receiver then finds the batch when the bell
//!   rings, which is after it was put.
//! - The receiver's bell is rung after every batch. See [`super::bell`] for why it does not sleep through it.
//! - Nothing here bounds how much is on the way: shards bound what they ask of one another.

use std::collections::VecDeque;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use corelog_shard::mesh::ShardIndex;

use super::bell::Bell;

/// Messages that an emptied batch may keep room for.
const BATCH_KEPT: usize = 4096;

/// A place for one thing, which threads put and take without waiting.
struct Slot<T>(AtomicPtr<T>);

// SAFETY: A slot hands its thing from one thread to another, and never lets two have it.
unsafe impl<T: Send> Send for Slot<T> {}
// SAFETY: As above; nothing is reached through a shared slot but by taking it out.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    fn empty() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts it there, and returns what was there.
    fn replace(&self, thing: Option<Box<T>>) -> Option<Box<T>> {
        let new = thing.map_or(ptr::null_mut(), Box::into_raw);
        // Release: whoever takes it sees all of it. Acquire: the same for what is taken.
        let old = self.0.swap(new, Ordering::AcqRel);
        // SAFETY: Every pointer in the slot came from `Box::into_raw`, and the exchange gives it to one thread alone.
        (!old.is_null()).then(|| unsafe { Box::from_raw(old) })
    }

    fn take(&self) -> Option<Box<T>> {
        self.replace(None)
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Some things in their order.
pub(crate) struct Batch<T>(pub(crate) VecDeque<T>);

/// From one thread to one other.
#[repr(align(64))]
pub(crate) struct Mailbox<T> {
    batch: Slot<Batch<T>>,
    /// An emptied batch, for the sender to fill.
    spare: Slot<Batch<T>>,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        Self { batch: Slot::empty(), spare: Slot::empty() }
    }

    /// Moves everything in `things` there. For the one sender; ring the receiver's bell afterwards.
    pub(crate) fn put(&self, things: &mut VecDeque<T>) {
        let batch = self.batch.take().or_else(|| self.spare.take());
        let mut batch = batch.unwrap_or_else(|| Box::new(Batch(VecDeque::new())));
        if batch.0.is_empty() {
            std::mem::swap(&mut batch.0, things);
        } else {
            batch.0.append(things);
        }
        let other = self.batch.replace(Some(batch));
        assert!(other.is_none(), "a mailbox has one sender");
    }

    /// What is there. For the one receiver.
    pub(crate) fn take(&self) -> Option<Box<Batch<T>>> {
        self.batch.take()
    }

    /// Gives an emptied batch back to be used again.
    pub(crate) fn give_back(&self, batch: Box<Batch<T>>) {
        assert!(batch.0.is_empty(), "what is given back was read");
        if batch.0.capacity() <= BATCH_KEPT {
            drop(self.spare.replace(Some(batch)));
        }
    }
}

/// What the hosts of a node share: all mailboxes.
struct Mesh<M> {
    desks: Box<[Desk<M>]>,
}

/// Where one host's messages arrive.
struct Desk<M> {
    bell: Arc<Bell>,
    /// By sender.
    from: Box<[Mailbox<M>]>,
    /// A bit for each sender that has put something there since the receiver has looked.
    senders: Box<[AtomicU64]>,
}

/// One host's end of the mesh.
pub(crate) struct Post<M> {
    me: ShardIndex,
    mesh: Arc<Mesh<M>>,
    /// Messages of this turn, by receiver.
    outgoing: Box<[VecDeque<M>]>,
    /// Whom they are for.
    addressed: Vec<ShardIndex>,
    /// Batches that were taken and are not read to their end, at most one of each sender.
    arrived: VecDeque<(ShardIndex, Box<Batch<M>>)>,
    /// The bell was rung, and the mailboxes were not looked at since.
    due: bool,
}

impl<M> Post<M> {
    /// The ends for the hosts with these bells, in the order of their shards.
    pub(crate) fn all(bells: &[Arc<Bell>]) -> Vec<Self> {
        let desk = |bell: &Arc<Bell>| Desk {
            bell: Arc::clone(bell),
            from: bells.iter().map(|_| Mailbox::new()).collect(),
            senders: (0..bells.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
        };
        let mesh = Arc::new(Mesh { desks: bells.iter().map(desk).collect() });
        let post = |me| Self {
            me: ShardIndex(me),
            mesh: Arc::clone(&mesh),
            outgoing: bells.iter().map(|_| VecDeque::new()).collect(),
            addressed: Vec::new(),
            arrived: VecDeque::new(),
            due: false,
        };
        (0..bells.len() as u16).map(post).collect()
    }

    /// Takes a message to another shard. It leaves with [`Post::hand_over`].
    pub(crate) fn send(&mut self, to: ShardIndex, message: M) {
        assert!(to != self.me, "a shard sends nothing to itself");
        let outgoing = &mut self.outgoing[usize::from(to.0)];
        if outgoing.is_empty() {
            self.addressed.push(to);
        }
        outgoing.push_back(message);
    }

    /// Hands over what was sent since the last time.
    pub(crate) fn hand_over(&mut self) {
        let me = usize::from(self.me.0);
        for to in self.addressed.drain(..) {
            let desk = &self.mesh.desks[usize::from(to.0)];
            desk.from[me].put(&mut self.outgoing[usize::from(to.0)]);
            // Release: who sees the bit finds the batch.
            desk.senders[me / 64].fetch_or(1 << (me % 64), Ordering::Release);
            desk.bell.ring();
        }
    }

    /// Call it once a turn, with whether the bell was rung: takes what has arrived, unless there is something left of
    /// the last time.
    pub(crate) fn receive(&mut self, rung: bool) {
        self.due |= rung;
        if !self.due || !self.arrived.is_empty() {
            return;
        }
        self.due = false;
        let desk = &self.mesh.desks[usize::from(self.me.0)];
        for (word, senders) in desk.senders.iter().enumerate() {
            if senders.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let mut bits = senders.swap(0, Ordering::Acquire);
            while bits != 0 {
                let sender = 64 * word + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                // Its sender may have taken it back, to put it there with more.
                if let Some(batch) = desk.from[sender].take() {
                    self.arrived.push_back((ShardIndex(sender as u16), batch));
                }
            }
        }
    }

    /// The next message of those that were received, and who sent it; the senders take turns.
    pub(crate) fn next(&mut self) -> Option<(ShardIndex, M)> {
        let (from, mut batch) = self.arrived.pop_front()?;
        let message = batch.0.pop_front().expect("a batch is not empty");
        if batch.0.is_empty() {
            self.mesh.desks[usize::from(self.me.0)].from[usize::from(from.0)].give_back(batch);
        } else {
            self.arrived.push_back((from, batch));
        }
        Some((from, message))
    }

    /// Whether there is more to receive: the host may not sleep.
    pub(crate) fn has_more(&self) -> bool {
        self.due || !self.arrived.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bells(count: usize) -> Vec<Arc<Bell>> {
        (0..count).map(|_| Arc::new(Bell::new().unwrap())).collect()
    }

    #[test]
    fn batches_are_joined_in_order_until_they_are_taken() {
        let bells = bells(2);
        let [mut first, mut second] = Post::all(&bells).try_into().ok().unwrap();
        for number in 0..10 {
            first.send(ShardIndex(1), number);
            if number % 3 == 0 {
                first.hand_over();
            }
        }
        second.receive(bells[1].answer());
        let got: Vec<_> = std::iter::from_fn(|| second.next()).collect();
        assert_eq!(got, (0..10).map(|number| (ShardIndex(0), number)).collect::<Vec<_>>());
        assert!(!second.has_more() && !bells[1].answer() && !bells[0].answer());
        first.hand_over();
        assert!(!bells[1].answer(), "nothing was sent");
    }

    #[test]
    fn what_is_left_of_a_turn_keeps_the_host_awake_and_senders_take_turns() {
        let bells = bells(3);
        let [mut first, mut second, mut third] = Post::all(&bells).try_into().ok().unwrap();
        (0..3).for_each(|number| first.send(ShardIndex(2), number));
        (10..12).for_each(|number| second.send(ShardIndex(2), number));
        first.hand_over();
        second.hand_over();
        third.receive(bells[2].answer());
        assert_eq!((third.next(), third.next()), (Some((ShardIndex(0), 0)), Some((ShardIndex(1), 10))));
        first.send(ShardIndex(2), 3);
        first.hand_over();
        third.receive(bells[2].answer());
        assert!(third.has_more());
        let mut got: Vec<_> = std::iter::from_fn(|| third.next()).map(|(_, number)| number).collect();
        assert!(third.has_more(), "the mailbox was not looked at since the bell rang");
        third.receive(false);
        got.extend(std::iter::from_fn(|| third.next()).map(|(_, number)| number));
        assert_eq!((got, third.has_more()), (vec![1, 11, 2, 3], false));
    }

    #[test]
    fn nothing_is_allocated_once_the_batches_have_grown() {
        let bells = bells(2);
        let [mut first, mut second] = Post::all(&bells).try_into().ok().unwrap();
        let mut batches = std::collections::BTreeSet::new();
        for _ in 0..100 {
            (0..50).for_each(|number| first.send(ShardIndex(1), number));
            first.hand_over();
            second.receive(bells[1].answer());
            let batch = &second.arrived[0].1;
            batches.insert((&raw const **batch, batch.0.capacity()));
            while second.next().is_some() {}
        }
        assert_eq!(batches.len(), 1, "the same batch travels to and fro");
        assert!(first.outgoing[1].capacity() >= 50, "and the sender has room for the next");
    }

    #[test]
    fn what_nobody_fetched_is_dropped_with_the_mesh() {
        let counted = Arc::new(());
        let bells = bells(2);
        let [mut first, second] = Post::all(&bells).try_into().ok().unwrap();
        (0..5).for_each(|_| first.send(ShardIndex(1), Arc::clone(&counted)));
        first.hand_over();
        first.send(ShardIndex(1), Arc::clone(&counted));
        assert_eq!(Arc::strong_count(&counted), 7);
        drop((first, second));
        assert_eq!(Arc::strong_count(&counted), 1);
    }

    /// Every shard sends to every other, in bursts of all sizes, and sleeps on its bell where it has nothing to do.
    #[test]
    fn threads_lose_nothing_double_nothing_and_keep_the_order() {
        const SHARDS: u16 = 4;
        const EACH: u64 = 30_000;
        let bells = bells(usize::from(SHARDS));
        let posts = Post::<Box<u64>>::all(&bells);
        std::thread::scope(|scope| {
            for (mut post, bell) in posts.into_iter().zip(&bells) {
                scope.spawn(move || {
                    let me = post.me.0;
                    let others: Vec<u16> = (0..SHARDS).filter(|&other| other != me).collect();
                    let (mut sent, mut expected) = (0, [0; SHARDS as usize]);
                    let mut seed = u64::from(me) + 1;
                    let all = |expected: &[u64]| others.iter().all(|&other| expected[usize::from(other)] == EACH);
                    while sent < EACH || !all(&expected) {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        for _ in 0..(seed >> 33) % 100 {
                            if sent < EACH {
                                others.iter().for_each(|&other| post.send(ShardIndex(other), Box::new(sent)));
                                sent += 1;
                            }
                        }
                        post.hand_over();
                        post.receive(bell.answer());
                        for _ in 0..(seed >> 43) % 200 {
                            let Some((from, number)) = post.next() else { break };
                            let expected = &mut expected[usize::from(from.0)];
                            assert_eq!(*number, *expected, "from {from:?}");
                            *expected += 1;
                        }
                        if sent == EACH && !post.has_more() && !all(&expected) && bell.may_sleep() {
                            let descriptor = bell.descriptor();
                            // SAFETY: The bell lives longer than this thread.
                            let event = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor) };
                            let mut poll = [nix::poll::PollFd::new(event, nix::poll::PollFlags::POLLIN)];
                            assert_eq!(nix::poll::poll(&mut poll, 20_000u16).unwrap(), 1, "slept through a ring");
                            bell.awake();
                            nix::unistd::read(event, &mut [0; 8]).unwrap();
                        }
                    }
                    assert!(post.next().is_none());
                });
            }
        });
    }
}
