//! The connections to the brokers of a cluster, and the metadata that say who they are.
//!
//! Invariants:
//! - One connection per address and use, opened when somebody has something to send there, and not before the backoff of
//!   the last failure is over.
//! - Every tag that was sent comes back once: with an answer, or as lost.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use corelog_wire::api::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};

use crate::address::Address;
use crate::connection::{Answer, Connection, ConnectionError, Yield};
use crate::limits::{CONNECT_TIMEOUT, RECONNECT_BACKOFF_MAX, RETRY_BACKOFF};
use crate::metadata::Metadata;

/// Names a connection for as long as the client lives; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What whoever owns the sockets has to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Open a connection to this address, and say when it is open or that it could not be.
    Connect(ConnectionId, Address),
    /// Write these bytes, in order.
    Send(ConnectionId, Vec<Bytes>),
    /// Close it; nothing more is heard of it.
    Close(ConnectionId),
}

/// What a connection is for. A broker answers in the order in which it was asked, so what may wait for long has a
/// connection of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Use {
    /// Records, metadata, and all else.
    Data,
    /// A group's coordinator: JoinGroup waits for all other members.
    Coordination,
}

/// Whose request it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Metadata,
    ProducerId,
    Produce(u64),
    Offsets(u64),
    Fetch(u64),
    Call(u64),
    Group(u64),
}

/// What became of a request.
pub(crate) type Outcome = (Tag, Result<Answer, ConnectionError>);

/// What is known about an address.
#[derive(Debug, Default)]
struct Contact {
    connection: Option<ConnectionId>,
    /// No attempt before this.
    not_before: Duration,
    backoff: Duration,
    /// What went wrong last; none since it was open.
    failure: Option<ConnectionError>,
}

#[derive(Debug)]
struct Link {
    contact: (Address, Use),
    state: LinkState,
}

#[derive(Debug)]
enum LinkState {
    Connecting { deadline: Duration },
    Open(Connection<Tag>),
}

impl Link {
    fn is_ready(&self) -> bool {
        matches!(&self.state, LinkState::Open(connection) if connection.is_ready())
    }
}

/// Connections and metadata.
#[derive(Debug)]
pub(crate) struct Cluster {
    client_id: String,
    request_timeout: Duration,
    may_create_topics: bool,
    bootstrap: Vec<Address>,
    /// Whose turn it is of the bootstrap addresses.
    next_bootstrap: usize,
    contacts: BTreeMap<(Address, Use), Contact>,
    links: BTreeMap<ConnectionId, Link>,
    next_id: u64,
    actions: Vec<Action>,
    outcomes: Vec<Outcome>,
    pub(crate) metadata: Metadata,
    /// Grows whenever metadata arrive or a connection becomes ready or is lost: whoever waits for one looks again.
    pub(crate) changes: u64,
}

impl Cluster {
    pub(crate) fn new(
        client_id: &str,
        bootstrap: Vec<Address>,
        request_timeout: Duration,
        may_create_topics: bool,
    ) -> Self {
        assert!(!bootstrap.is_empty(), "a client knows an address to begin with");
        Self {
            client_id: client_id.to_owned(),
            request_timeout,
            may_create_topics,
            bootstrap,
            next_bootstrap: 0,
            contacts: BTreeMap::new(),
            links: BTreeMap::new(),
            next_id: 0,
            actions: Vec::new(),
            outcomes: Vec::new(),
            metadata: Metadata::new(),
            changes: 0,
        }
    }

    /// When a request that is sent now is overdue.
    pub(crate) fn request_deadline(&self, now: Duration) -> Duration {
        now + self.request_timeout
    }

    /// The connection to a broker, if it is ready; otherwise it will be opened, when it may.
    pub(crate) fn broker(&mut self, now: Duration, broker: i32) -> Option<&mut Connection<Tag>> {
        let address = match self.metadata.broker(broker) {
            Some(address) => address.clone(),
            None => {
                self.metadata.mark_stale();
                return None;
            }
        };
        self.address(now, (address, Use::Data))
    }

    /// The connection to a group's coordinator, if it is ready; otherwise it will be opened, when it may.
    pub(crate) fn coordinator(&mut self, now: Duration, address: &Address) -> Option<&mut Connection<Tag>> {
        self.address(now, (address.clone(), Use::Coordination))
    }

    /// Whether the last attempt to reach a group's coordinator there failed.
    pub(crate) fn has_lost_coordinator(&self, address: &Address) -> bool {
        let contact = self.contacts.get(&(address.clone(), Use::Coordination));
        contact.is_some_and(|contact| contact.failure.is_some() && contact.connection.is_none())
    }

    /// Closes the connection to a group's coordinator, if there is one; what was asked there is not answered any more.
    pub(crate) fn hang_up(&mut self, address: &Address) {
        let contact = self.contacts.remove(&(address.clone(), Use::Coordination));
        if let Some(id) = contact.and_then(|contact| contact.connection) {
            let link = self.links.remove(&id).expect("a contact's connection is a link");
            self.actions.push(Action::Close(id));
            if let LinkState::Open(connection) = link.state {
                self.outcomes.extend(connection.into_unanswered().map(|tag| (tag, Err(ConnectionError::Closed))));
            }
        }
    }

    /// A connection to some broker.
    pub(crate) fn any(&mut self, now: Duration) -> Option<&mut Connection<Tag>> {
        let found = self.data_links().find(|link| link.is_ready()).map(|link| link.contact.clone());
        if let Some(contact) = found {
            return self.address(now, contact);
        }
        if self.data_links().next().is_some() {
            return None; // One is on its way.
        }
        let known: Vec<Address> = self.metadata.brokers().map(|(_, address)| address.clone()).collect();
        let count = self.bootstrap.len() + known.len();
        let addresses = self.bootstrap.iter().chain(&known).cycle().skip(self.next_bootstrap % count).take(count);
        let may = |contact: Option<&Contact>| contact.is_none_or(|contact| contact.not_before <= now);
        let mut contacts = addresses.map(|address| (address.clone(), Use::Data)).enumerate();
        let (turn, contact) = contacts.find(|(_, to)| may(self.contacts.get(to)))?;
        self.next_bootstrap = (self.next_bootstrap + turn + 1) % count;
        self.address(now, contact)
    }

    fn data_links(&self) -> impl Iterator<Item = &Link> {
        self.links.values().filter(|link| link.contact.1 == Use::Data)
    }

    fn address(&mut self, now: Duration, to: (Address, Use)) -> Option<&mut Connection<Tag>> {
        let contact = self.contacts.entry(to.clone()).or_default();
        let Some(id) = contact.connection else {
            if contact.not_before <= now {
                let id = ConnectionId(self.next_id);
                self.next_id += 1;
                contact.connection = Some(id);
                let state = LinkState::Connecting { deadline: now + CONNECT_TIMEOUT };
                self.actions.push(Action::Connect(id, to.0.clone()));
                self.links.insert(id, Link { contact: to, state });
            }
            return None;
        };
        match &mut self.links.get_mut(&id).expect("a contact's connection is a link").state {
            LinkState::Open(connection) if connection.is_ready() => Some(connection),
            _ => None,
        }
    }

    /// The socket is open.
    pub(crate) fn opened(&mut self, now: Duration, id: ConnectionId) {
        let deadline = self.request_deadline(now);
        if let Some(link) = self.links.get_mut(&id) {
            link.state = LinkState::Open(Connection::open(&self.client_id, deadline));
        }
    }

    /// Room for bytes of a connection; none if it is gone.
    pub(crate) fn room(&mut self, id: ConnectionId) -> Option<&mut [u8]> {
        match &mut self.links.get_mut(&id)?.state {
            LinkState::Open(connection) => Some(connection.room()),
            LinkState::Connecting { .. } => None,
        }
    }

    /// Bytes were read into that room.
    pub(crate) fn received(&mut self, now: Duration, id: ConnectionId, count: usize) {
        let Some(Link { contact: to, state: LinkState::Open(connection) }) = self.links.get_mut(&id) else { return };
        let mut yields = Vec::new();
        let result = connection.received(count, &mut yields);
        for one in yields {
            match one {
                Yield::Ready => {
                    self.changes += 1;
                    let contact = self.contacts.get_mut(to).expect("a link has a contact");
                    (contact.backoff, contact.failure) = (Duration::ZERO, None);
                }
                Yield::Answer(tag, answer) => self.outcomes.push((tag, Ok(answer))),
            }
        }
        if let Err(error) = result {
            self.close(now, id, error);
        }
    }

    /// The connection broke, or could not be opened.
    pub(crate) fn closed(&mut self, now: Duration, id: ConnectionId, error: ConnectionError) {
        let Some(link) = self.links.remove(&id) else { return };
        self.changes += 1;
        let contact = self.contacts.get_mut(&link.contact).expect("a link has a contact");
        contact.connection = None;
        contact.backoff = (contact.backoff * 2).clamp(RETRY_BACKOFF, RECONNECT_BACKOFF_MAX);
        contact.not_before = now + contact.backoff;
        contact.failure = Some(error.clone());
        self.metadata.mark_stale();
        if let LinkState::Open(connection) = link.state {
            self.outcomes.extend(connection.into_unanswered().map(|tag| (tag, Err(error.clone()))));
        }
    }

    fn close(&mut self, now: Duration, id: ConnectionId, error: ConnectionError) {
        self.actions.push(Action::Close(id));
        self.closed(now, id, error);
    }

    /// Does what time demands: gives up what is overdue, asks for metadata.
    pub(crate) fn tick(&mut self, now: Duration) {
        let overdue = |link: &Link| match &link.state {
            LinkState::Connecting { deadline } if *deadline <= now => {
                Some(ConnectionError::Broken("the connection could not be opened in time".to_owned()))
            }
            LinkState::Connecting { .. } => None,
            LinkState::Open(connection) => connection.overdue(now).map(ConnectionError::TimedOut),
        };
        let late: Vec<_> = self.links.iter().filter_map(|(id, link)| Some((*id, overdue(link)?))).collect();
        for (id, error) in late {
            self.close(now, id, error);
        }
        self.refresh(now);
    }

    /// Asks for metadata, if it is time.
    pub(crate) fn refresh(&mut self, now: Duration) {
        if self.metadata.due_at().is_some_and(|at| at <= now) {
            self.ask_metadata(now);
        }
    }

    fn ask_metadata(&mut self, now: Duration) {
        let deadline = self.request_deadline(now);
        let may_create = self.may_create_topics;
        let names = self.metadata.wanted();
        let topics: Vec<_> =
            names.iter().map(|name| MetadataRequestTopic { name: Some(name), ..Default::default() }).collect();
        let request = MetadataRequest {
            topics: Some((&topics).into()),
            allow_auto_topic_creation: may_create,
            ..Default::default()
        };
        let sent = self.any(now).map(|connection| connection.send(&request, i16::MAX, Some(deadline), Tag::Metadata));
        if let Some(sent) = sent {
            self.metadata.asked(now);
            if sent.is_err() {
                // A broker that has no Metadata; another may.
                self.metadata.failed();
            }
        }
    }

    /// Takes an answer to a request for metadata.
    pub(crate) fn metadata_answered(&mut self, now: Duration, result: &Result<Answer, ConnectionError>) {
        self.changes += 1;
        let response = result.as_ref().ok().and_then(|answer| answer.decode::<MetadataResponse<'_>>().ok());
        match response {
            Some(response) => self.metadata.apply(now, &response),
            None => self.metadata.failed(),
        }
    }

    /// What became of requests since the last call.
    pub(crate) fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    pub(crate) fn has_outcomes(&self) -> bool {
        !self.outcomes.is_empty()
    }

    /// What is to be done with sockets.
    pub(crate) fn take_actions(&mut self, actions: &mut Vec<Action>) {
        actions.append(&mut self.actions);
        for (id, link) in &mut self.links {
            if let LinkState::Open(connection) = &mut link.state
                && connection.has_output()
            {
                actions.push(Action::Send(*id, connection.take_output()));
            }
        }
    }

    /// When [`Self::tick`], or whoever waits for a connection, has something to do.
    pub(crate) fn deadline(&self, now: Duration) -> Option<Duration> {
        let links = self.links.values().filter_map(|link| match &link.state {
            LinkState::Connecting { deadline } => Some(*deadline),
            LinkState::Open(connection) => connection.deadline(),
        });
        let retries = self.contacts.values().filter(|contact| contact.connection.is_none() && contact.not_before > now);
        // Without a connection that is ready there is nobody to ask; one that gets ready is an event.
        let metadata = self.metadata.due_at().filter(|_| self.is_ready());
        links.chain(retries.map(|contact| contact.not_before)).chain(metadata).min()
    }

    /// Whether some connection can be used.
    pub(crate) fn is_ready(&self) -> bool {
        self.data_links().any(Link::is_ready)
    }

    /// The addresses that failed, and why; each until it is open again.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&Address, &ConnectionError)> {
        self.contacts.iter().filter_map(|((address, _), contact)| Some((address, contact.failure.as_ref()?)))
    }

    /// Whether every address to begin with has failed, and nothing is open.
    pub(crate) fn is_unreachable(&self) -> bool {
        let failed = |address: &Address| {
            let contact = self.contacts.get(&(address.clone(), Use::Data));
            contact.is_some_and(|to| to.failure.is_some() && to.connection.is_none())
        };
        !self.is_ready() && self.bootstrap.iter().all(failed)
    }
}
