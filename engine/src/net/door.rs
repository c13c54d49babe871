//! How connections and orders come to the hosts of a node with several: through one door.
//!
//! The door is a thread of its own, which sleeps until somebody connects. Hosts could accept on their rings instead, but
//! there an accept waits for the socket exclusively: the kernel would hand connection after connection to a host that
//! does not run, and if one host accepted for all, nobody could connect while it does not. An accept costs one wake-up
//! of this thread more; a connection that stays makes up for it.
//!
//! Invariants: connections of the node together stay within the limit; a new one goes to the host with the fewest among
//! those that take what they are given; the door waits for no host.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use nix::errno::Errno;

use super::connections::{ConnectionCounts, LogLimit};
use super::listener::REST_US;
use crate::runtime::bell::Bell;
use crate::runtime::mesh::Mailbox;

/// How many connections are accepted before the door looks at anything else.
const ACCEPTS_PER_LOOK: usize = 64;
/// A host that leaves a new connection for so long gets no more until it takes it, in microseconds.
const STALLED_US: u64 = 50_000;

/// A client that was let in.
pub(crate) type Arrival = (TcpStream, SocketAddr);

/// What a host of several is told by the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Nothing.
    None,
    /// Answer what is in flight, write back, end.
    Stop,
    /// Another shard cannot go on: do nothing more.
    Halt,
}

/// Where arrivals and orders wait for one host. Ring its bell after either.
pub(crate) struct Reception {
    bell: Arc<Bell>,
    arrivals: Mailbox<Arrival>,
    order: AtomicU8,
    /// How many arrivals the host has taken, and how many of these have gone.
    taken: AtomicU64,
    gone: AtomicU64,
}

impl Reception {
    pub(crate) fn new(bell: Arc<Bell>) -> Self {
        let (taken, gone) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { bell, arrivals: Mailbox::new(), order: AtomicU8::new(Order::None as u8), taken, gone }
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Tells the host. An order is never taken back.
    pub(crate) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Release);
        self.bell.ring();
    }

    /// What the host was told.
    pub(crate) fn ordered(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            order if order == Order::Halt as u8 => Order::Halt,
            order if order == Order::Stop as u8 => Order::Stop,
            _ => Order::None,
        }
    }

    /// Who has arrived since the last call. For the host.
    pub(crate) fn take(&self, each: impl FnMut(Arrival)) {
        if let Some(mut arrivals) = self.arrivals.take() {
            arrivals.0.drain(..).for_each(each);
            self.arrivals.give_back(arrivals);
        }
    }

    /// Lets the door know how many arrivals were taken in all, and how many of them have gone. For the host.
    pub(crate) fn report(&self, taken: u64, gone: u64) {
        if self.gone.load(Ordering::Relaxed) != gone {
            self.gone.store(gone, Ordering::Relaxed);
        }
        if self.taken.load(Ordering::Relaxed) != taken {
            self.taken.store(taken, Ordering::Relaxed);
        }
    }
}

/// A host, as the door sees it.
struct Host {
    reception: Arc<Reception>,
    arriving: VecDeque<Arrival>,
    given: u64,
    /// What it had taken when that last changed, or when it was given something after it had taken everything.
    taken: u64,
    taken_at_us: u64,
}

impl Host {
    fn open(&self) -> u64 {
        self.given - self.reception.gone.load(Ordering::Relaxed)
    }

    /// Whether it leaves what it is given.
    fn is_stalled(&mut self, now_us: u64) -> bool {
        let taken = self.reception.taken.load(Ordering::Relaxed);
        if taken == self.given || taken != self.taken {
            (self.taken, self.taken_at_us) = (taken, now_us);
        }
        now_us - self.taken_at_us > STALLED_US
    }

    fn give(&mut self, arrival: Arrival) {
        self.given += 1;
        self.arriving.push_back(arrival);
        self.reception.arrivals.put(&mut self.arriving);
        self.reception.bell.ring();
    }
}

/// The listening socket of a node with several hosts.
pub(crate) struct Door {
    socket: Option<TcpListener>,
    hosts: Vec<Host>,
    connections_max: usize,
    /// When to accept again, while it rests.
    again_at_us: Option<u64>,
    counts: ConnectionCounts,
    log: LogLimit,
}

impl Door {
    /// A door that lets in so many, for the hosts with these receptions. The socket does not block.
    pub(crate) fn new(socket: TcpListener, receptions: &[Arc<Reception>], connections_max: usize) -> Self {
        let host = |reception: &Arc<Reception>| Host {
            reception: Arc::clone(reception),
            arriving: VecDeque::new(),
            given: 0,
            taken: 0,
            taken_at_us: 0,
        };
        Self {
            socket: Some(socket),
            hosts: receptions.iter().map(host).collect(),
            connections_max,
            again_at_us: None,
            counts: ConnectionCounts::default(),
            log: LogLimit::default(),
        }
    }

    /// What to wait for, unless the door rests or was closed.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().filter(|_| self.again_at_us.is_none()).map(AsFd::as_fd)
    }

    /// When to call [`Door::accept`] although nobody has connected.
    pub(crate) fn next_deadline_us(&self) -> Option<u64> {
        self.again_at_us
    }

    /// Those who were refused, and nothing else.
    pub(crate) fn counts(&self) -> ConnectionCounts {
        self.counts
    }

    /// Lets in some of those who wait. Never blocks.
    pub(crate) fn accept(&mut self, now_us: u64) {
        if self.again_at_us.is_some_and(|at| now_us < at) {
            return;
        }
        self.again_at_us = None;
        for _ in 0..ACCEPTS_PER_LOOK {
            let Some(socket) = &self.socket else { return };
            match socket.accept() {
                Ok(arrival) => self.let_in(arrival, now_us),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::ConnectionAborted | ErrorKind::Interrupted => {}
                    _ => {
                        self.again_at_us = Some(now_us + REST_US);
                        let reason = Errno::from_raw(error.raw_os_error().unwrap_or_default()).desc();
                        tracing::warn!("cannot accept connections for a moment, {} are open: {reason}", self.open());
                        return;
                    }
                },
            }
        }
    }

    /// Gives the port back.
    pub(crate) fn close(&mut self) {
        self.socket = None;
        self.again_at_us = None;
    }

    fn open(&self) -> u64 {
        self.hosts.iter().map(Host::open).sum()
    }

    fn let_in(&mut self, arrival: Arrival, now_us: u64) {
        if self.open() >= self.connections_max as u64 {
            self.counts.refused += 1;
            let (peer, max) = (arrival.1, self.connections_max);
            self.log.warn(now_us, || format!("connection from {peer} refused: there are {max} already"));
            return;
        }
        let ranked = self.hosts.iter_mut().map(|host| ((host.is_stalled(now_us), host.open()), host));
        let (_, fewest) = ranked.min_by_key(|(rank, _)| *rank).expect("a node has hosts");
        fewest.give(arrival);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node {
        door: Door,
        receptions: Vec<Arc<Reception>>,
        address: SocketAddr,
        clients: Vec<TcpStream>,
        taken: Vec<u64>,
        gone: Vec<u64>,
    }

    impl Node {
        fn new(hosts: usize, connections_max: usize) -> Self {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            let reception = |_| Arc::new(Reception::new(Arc::new(Bell::new().unwrap())));
            let receptions: Vec<_> = (0..hosts).map(reception).collect();
            let address = socket.local_addr().unwrap();
            let door = Door::new(socket, &receptions, connections_max);
            Self { door, receptions, address, clients: Vec::new(), taken: vec![0; hosts], gone: vec![0; hosts] }
        }

        /// Somebody connects at this time; the hosts that run take what they are given.
        fn connect(&mut self, now_us: u64, run: &[usize]) {
            self.clients.push(TcpStream::connect(self.address).unwrap());
            let open = self.door.open() + self.door.counts.refused;
            while self.door.open() + self.door.counts.refused == open {
                self.door.accept(now_us);
            }
            for &host in run {
                if self.receptions[host].bell().answer() {
                    self.run(host);
                }
            }
        }

        /// The host takes what it was given, and says what it has.
        fn run(&mut self, host: usize) {
            let reception = &self.receptions[host];
            reception.take(|_| self.taken[host] += 1);
            reception.report(self.taken[host], self.gone[host]);
        }
    }

    #[test]
    fn connections_are_spread_and_go_where_others_went() {
        let mut node = Node::new(3, 100);
        (0..30).for_each(|_| node.connect(1, &[0, 1, 2]));
        assert_eq!(node.taken, [10, 10, 10]);
        node.gone[1] = 5;
        node.run(1);
        (0..5).for_each(|_| node.connect(2, &[0, 1, 2]));
        assert_eq!(node.taken, [10, 15, 10]);
    }

    #[test]
    fn a_host_that_takes_nothing_gets_no_more_until_it_does() {
        let mut node = Node::new(2, 100);
        node.connect(1_000, &[1]);
        node.connect(2_000, &[1]);
        node.connect(3_000, &[1]);
        assert_eq!((node.door.hosts[0].given, node.taken[1]), (2, 1), "nobody knows yet");
        (0..10).for_each(|at| node.connect(1_001 + STALLED_US + at, &[1]));
        assert_eq!((node.door.hosts[0].given, node.taken[1]), (2, 11));
        // It runs again, and takes its share.
        node.run(0);
        (0..5).for_each(|at| node.connect(9_000_000 + at, &[0, 1]));
        assert_eq!(node.taken, [7, 11]);
    }

    #[test]
    fn the_limit_is_the_nodes() {
        let mut node = Node::new(2, 5);
        (0..8).for_each(|_| node.connect(1, &[0, 1]));
        assert_eq!((node.taken.iter().sum::<u64>(), node.door.counts().refused), (5, 3));
        node.gone[0] = 1;
        node.run(0);
        (0..2).for_each(|_| node.connect(2, &[0, 1]));
        assert_eq!((node.taken.iter().sum::<u64>(), node.door.counts().refused), (6, 4));
    }

    #[test]
    fn an_order_stands_until_a_graver_one() {
        let reception = Reception::new(Arc::new(Bell::new().unwrap()));
        assert_eq!((reception.ordered(), reception.bell().answer()), (Order::None, false));
        for (order, stands) in [(Order::Stop, Order::Stop), (Order::Halt, Order::Halt), (Order::Stop, Order::Halt)] {
            reception.order(order);
            assert_eq!((reception.ordered(), reception.bell().answer()), (stands, true));
        }
    }
}
