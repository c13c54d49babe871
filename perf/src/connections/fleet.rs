//! Many clients on one thread: the sockets of all of them behind one epoll.
//!
//! The client's own driver has one client and waits in poll(2), which looks at every socket each time. Here thousands of
//! clients are told only what concerns them.
//!
//! Invariants: sockets never block; a client is polled after each event of its own and when its deadline has come, seen
//! every [`DEADLINES_LOOKED_AT`].

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use corelog_client::client::{Client, ClientConfig};
use corelog_client::cluster::{Action, ConnectionId};
use corelog_client::connection::ConnectionError;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// How often deadlines are looked at.
const DEADLINES_LOOKED_AT: Duration = Duration::from_millis(5);

/// A client's place in the fleet.
pub(super) type Place = usize;

struct Socket {
    member: Place,
    id: ConnectionId,
    stream: TcpStream,
    output: VecDeque<Bytes>,
}

/// See the module's description.
pub(super) struct Fleet {
    epoll: Epoll,
    started: Instant,
    clients: Vec<Client>,
    /// By the number that epoll has for them; places are used again.
    sockets: Vec<Option<Socket>>,
    free: Vec<usize>,
    /// Clients that something happened to.
    touched: VecDeque<Place>,
    is_touched: Vec<bool>,
    deadlines_at: Duration,
    /// Connections that were lost.
    pub(super) lost: u64,
}

impl Fleet {
    pub(super) fn new() -> Result<Self, String> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|error| format!("epoll: {error}"))?;
        Ok(Self {
            epoll,
            started: Instant::now(),
            clients: Vec::new(),
            sockets: Vec::new(),
            free: Vec::new(),
            touched: VecDeque::new(),
            is_touched: Vec::new(),
            deadlines_at: Duration::ZERO,
            lost: 0,
        })
    }

    /// Adds a client.
    pub(super) fn add(&mut self, config: ClientConfig) -> Place {
        self.clients.push(Client::new(config));
        self.is_touched.push(false);
        self.touch(self.clients.len() - 1);
        self.clients.len() - 1
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// The time as the clients know it.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn client(&self, place: Place) -> &Client {
        &self.clients[place]
    }

    /// A client, to tell it something; the next turn does it.
    pub(super) fn client_mut(&mut self, place: Place) -> &mut Client {
        self.touch(place);
        &mut self.clients[place]
    }

    /// Open connections.
    pub(super) fn connections(&self) -> usize {
        self.sockets.iter().flatten().count()
    }

    /// Sends and receives what there is, and waits for it so long at most. Appends whom something happened to.
    pub(super) fn turn(&mut self, wait_max: Duration, happened: &mut Vec<Place>) -> Result<(), String> {
        self.act(happened)?;
        let mut events = [EpollEvent::empty(); 512];
        let millis = u16::try_from(wait_max.min(DEADLINES_LOOKED_AT).as_millis()).unwrap_or(0);
        let count = match self.epoll.wait(&mut events, EpollTimeout::from(millis)) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(format!("epoll: {error}")),
        };
        for event in &events[..count] {
            let number = event.data() as usize;
            if event.events().intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
                self.read(number);
            }
            if event.events().contains(EpollFlags::EPOLLOUT) {
                self.write(number);
            }
        }
        let now = self.now();
        if now >= self.deadlines_at {
            self.deadlines_at = now + DEADLINES_LOOKED_AT;
            for place in 0..self.clients.len() {
                if self.clients[place].deadline(now).is_some_and(|at| at <= now) {
                    self.touch(place);
                }
            }
        }
        self.act(happened)
    }

    fn touch(&mut self, place: Place) {
        if !std::mem::replace(&mut self.is_touched[place], true) {
            self.touched.push_back(place);
        }
    }

    /// Has the clients decide to whom something happened, and does what they decided.
    fn act(&mut self, happened: &mut Vec<Place>) -> Result<(), String> {
        let mut actions = Vec::new();
        while let Some(place) = self.touched.pop_front() {
            self.is_touched[place] = false;
            happened.push(place);
            let now = self.now();
            self.clients[place].poll(now, &mut actions);
            for action in actions.drain(..) {
                match action {
                    Action::Connect(id, address) => self.open(place, id, &address.to_string())?,
                    Action::Send(id, segments) => {
                        let Some(number) = self.find(place, id) else { continue };
                        let socket = self.sockets[number].as_mut().expect("it was found");
                        socket.output.extend(segments.into_iter().filter(|segment| !segment.is_empty()));
                        self.write(number);
                    }
                    Action::Close(id) => {
                        if let Some(number) = self.find(place, id) {
                            self.forget(number);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn find(&self, place: Place, id: ConnectionId) -> Option<usize> {
        // A client has one or two: those of its own are found by the numbers that were given to it last.
        let is_it = |socket: &Option<Socket>| socket.as_ref().is_some_and(|s| s.member == place && s.id == id);
        let near = place.min(self.sockets.len());
        let (before, after) = self.sockets.split_at(near);
        after.iter().position(is_it).map(|at| at + near).or_else(|| before.iter().rposition(is_it))
    }

    /// Connects at once: to a broker that runs on this machine that takes no time, and the rate at which connections come
    /// is the load's own.
    fn open(&mut self, member: Place, id: ConnectionId, address: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot connect to {address}: {error}");
        let stream = TcpStream::connect(address).map_err(failed)?;
        stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).map_err(failed)?;
        let number = self.free.pop().unwrap_or_else(|| {
            self.sockets.push(None);
            self.sockets.len() - 1
        });
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(&stream, EpollEvent::new(flags, number as u64)).map_err(|error| format!("epoll: {error}"))?;
        self.sockets[number] = Some(Socket { member, id, stream, output: VecDeque::new() });
        let now = self.now();
        self.clients[member].opened(now, id);
        self.touch(member);
        Ok(())
    }

    fn read(&mut self, number: usize) {
        loop {
            let Some(socket) = self.sockets[number].as_mut() else { return };
            let (member, id) = (socket.member, socket.id);
            let now = self.started.elapsed();
            let client = &mut self.clients[member];
            let Some(room) = client.room(id) else { return };
            let result = socket.stream.read(room);
            if !std::mem::replace(&mut self.is_touched[member], true) {
                self.touched.push_back(member);
            }
            match result {
                Ok(0) => return self.lose(number, "the broker closed the connection".to_owned()),
                Ok(count) => client.received(now, id, count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.lose(number, error.to_string()),
            }
        }
    }

    fn write(&mut self, number: usize) {
        let Some(socket) = self.sockets[number].as_mut() else { return };
        while let Some(first) = socket.output.front_mut() {
            match socket.stream.write(first) {
                Ok(count) => {
                    first.advance(count);
                    if first.is_empty() {
                        socket.output.pop_front();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let reason = error.to_string();
                    return self.lose(number, reason);
                }
            }
        }
    }

    fn lose(&mut self, number: usize, reason: String) {
        let Some(Socket { member, id, .. }) = self.forget(number) else { return };
        self.lost += 1;
        let now = self.now();
        self.clients[member].closed(now, id, ConnectionError::Broken(reason));
        self.touch(member);
    }

    /// Closes a socket, which leaves the epoll with it.
    fn forget(&mut self, number: usize) -> Option<Socket> {
        let socket = self.sockets[number].take()?;
        self.free.push(number);
        Some(socket)
    }
}
