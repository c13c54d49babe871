//! Groups under test: clients whose requests are written out, a log that is told when to answer, a clock that is moved.

mod departures;
mod joining;
mod model;
mod restored;
mod static_members;
mod storm;
mod syncing;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use corelog_wire::error_code::ErrorCode;

use super::*;

const SETTINGS: GroupSettings = GroupSettings {
    min_session_timeout_ms: 1_000,
    max_session_timeout_ms: 600_000,
    initial_rebalance_delay_ms: 3_000,
    max_size: usize::MAX,
};

const SESSION_MS: u64 = 10_000;
const REBALANCE_MS: u64 = 60_000;
const OK: ErrorCode = ErrorCode::NONE;

/// A group with its surroundings.
struct Bench {
    group: Group<u32>,
    settings: GroupSettings,
    now: Now,
    waiters: u32,
    joined: BTreeMap<u32, JoinAnswer>,
    synced: BTreeMap<u32, SyncAnswer>,
    /// What is not stored yet.
    persists: VecDeque<(PersistTicket, StoredGroup)>,
    /// What is stored.
    log: Vec<StoredGroup>,
    /// Whether everything is stored at once.
    stores_at_once: bool,
}

/// What a client sends when it joins.
#[derive(Clone)]
struct Client {
    member_id: String,
    instance_id: Option<&'static str>,
    protocol_type: &'static str,
    protocols: Vec<(&'static str, Vec<u8>)>,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    requires_known_member_id: bool,
    supports_skip_assignment: bool,
}

/// A client without an id that supports one assignor, as before version 4.
fn client() -> Client {
    Client {
        member_id: String::new(),
        instance_id: None,
        protocol_type: "consumer",
        protocols: vec![("range", subscription(&["t"]))],
        session_timeout_ms: i32::try_from(SESSION_MS).unwrap(),
        rebalance_timeout_ms: i32::try_from(REBALANCE_MS).unwrap(),
        requires_known_member_id: false,
        supports_skip_assignment: false,
    }
}

impl Client {
    fn with_id(&self, member_id: &str) -> Self {
        Self { member_id: member_id.into(), ..self.clone() }
    }

    fn with_instance(&self, instance_id: &'static str) -> Self {
        Self { instance_id: Some(instance_id), ..self.clone() }
    }

    fn with_protocols(&self, names: &[&'static str]) -> Self {
        Self { protocols: names.iter().map(|name| (*name, subscription(&["t"]))).collect(), ..self.clone() }
    }

    fn with_topics(&self, topics: &[&str]) -> Self {
        let protocols = self.protocols.iter().map(|(name, _)| (*name, subscription(topics))).collect();
        Self { protocols, ..self.clone() }
    }

    fn requiring_id(&self) -> Self {
        Self { requires_known_member_id: true, ..self.clone() }
    }
}

fn subscription(topics: &[&str]) -> Vec<u8> {
    let mut bytes = vec![0, 1];
    bytes.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
    for topic in topics {
        bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend([0xff; 4]);
    bytes
}

impl Bench {
    fn new() -> Self {
        let now = Now { monotonic_us: 1_000_000, wall_ms: 1_700_000_000_000 };
        Self::of(now, Group::new(now, "g".into()))
    }

    fn of(now: Now, group: Group<u32>) -> Self {
        Self {
            group,
            settings: SETTINGS,
            now,
            waiters: 0,
            joined: BTreeMap::new(),
            synced: BTreeMap::new(),
            persists: VecDeque::new(),
            log: Vec::new(),
            stores_at_once: true,
        }
    }

    /// A Stable group of these, the first being the leader, each with its id as its assignment.
    fn stable(clients: &[Client]) -> (Self, Vec<String>) {
        let mut bench = Self::new();
        let ids = bench.settle_with(clients);
        (bench, ids)
    }

    /// Lets all of them join an Empty group and fetch their assignments.
    fn settle_with(&mut self, clients: &[Client]) -> Vec<String> {
        let waiters: Vec<_> = clients.iter().map(|client| self.join(client)).collect();
        self.pass_ms(3_000);
        self.pass_ms(3_000);
        let ids: Vec<_> =
            waiters.into_iter().map(|waiter| String::from(&*self.join_answer(waiter).member_id)).collect();
        for id in ids.iter().rev() {
            self.sync_own(id);
        }
        assert_eq!(self.group.state(), GroupState::Stable);
        ids
    }

    fn waiter(&mut self) -> u32 {
        self.waiters += 1;
        self.waiters
    }

    fn join(&mut self, client: &Client) -> u32 {
        let waiter = self.waiter();
        let joining = Joining {
            member_id: &client.member_id,
            instance_id: client.instance_id,
            client_id: "app",
            client_host: "/127.0.0.1",
            session_timeout_ms: client.session_timeout_ms,
            rebalance_timeout_ms: client.rebalance_timeout_ms,
            protocol_type: client.protocol_type,
            protocols: client.protocols.iter().map(|(name, metadata)| (*name, &metadata[..])).collect(),
            requires_known_member_id: client.requires_known_member_id,
            supports_skip_assignment: client.supports_skip_assignment,
            reason: None,
            new_member_id: MemberSuffix(u128::from(waiter).to_be_bytes()),
        };
        let mut out = Vec::new();
        self.group.join(self.now, &self.settings, joining, waiter, &mut out);
        self.take(out);
        waiter
    }

    /// Joins and gives the answer, which must come at once.
    fn join_now(&mut self, client: &Client) -> JoinAnswer {
        let waiter = self.join(client);
        self.join_answer(waiter)
    }

    fn join_error(&mut self, client: &Client) -> ErrorCode {
        self.join_now(client).error
    }

    /// A SyncGroup of the current generation.
    fn sync(&mut self, id: &str, assignments: &[(&str, &[u8])]) -> u32 {
        let generation = self.group.generation;
        self.sync_with(Syncing {
            member_id: id,
            instance_id: None,
            generation,
            protocol_type: None,
            protocol_name: None,
            assignments: assignments.to_vec(),
        })
    }

    fn sync_with(&mut self, syncing: Syncing<'_>) -> u32 {
        let waiter = self.waiter();
        let mut out = Vec::new();
        self.group.sync(syncing, waiter, &mut out);
        self.take(out);
        waiter
    }

    /// A SyncGroup, which assigns to every member its id if it comes from the leader.
    fn sync_own(&mut self, id: &str) -> u32 {
        let ids: Vec<_> = self.group.members.iter().map(|(id, _)| MemberId::clone(id)).collect();
        let assignments: Vec<_> = ids.iter().map(|id| (&**id, id.as_bytes())).collect();
        let is_leader = self.group.leader.as_deref() == Some(id);
        self.sync(id, if is_leader { &assignments } else { &[] })
    }

    fn heartbeat(&mut self, id: &str) -> ErrorCode {
        let generation = self.group.generation;
        self.group.heartbeat(self.now, id, None, generation)
    }

    fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<ErrorCode> {
        let mut leaving = Vec::new();
        for (member_id, instance_id) in members {
            leaving.push(Leaving { member_id, instance_id: *instance_id, reason: Some("it was told to") });
        }
        let mut out = Vec::new();
        let codes = self.group.leave(self.now, &leaving, &mut out).unwrap();
        self.take(out);
        codes
    }

    /// Time passes, event by event.
    fn pass_ms(&mut self, ms: u64) {
        let until_us = self.now.monotonic_us + ms * 1_000;
        while let Some(at_us) = self.group.next_deadline_us().filter(|at_us| *at_us <= until_us) {
            self.pass_to(at_us.max(self.now.monotonic_us));
        }
        self.pass_to(until_us);
    }

    fn pass_to(&mut self, at_us: u64) {
        let passed_us = at_us - self.now.monotonic_us;
        self.now.monotonic_us = at_us;
        self.now.wall_ms += i64::try_from(passed_us / 1_000).unwrap();
        let mut out = Vec::new();
        self.group.expire(self.now, &mut out);
        self.take(out);
        assert!(self.group.next_deadline_us().is_none_or(|next_us| next_us > at_us), "what is due is done");
    }

    /// Time passes while these send heartbeats.
    fn pass_ms_with_heartbeats(&mut self, ms: u64, ids: &[&str]) {
        for _ in 0..ms / 1_000 {
            self.pass_ms(1_000);
            for id in ids {
                self.heartbeat(id);
            }
        }
    }

    fn store(&mut self, result: Result<(), ErrorCode>) {
        let (ticket, stored) = self.persists.pop_front().expect("something waits to be stored");
        if result.is_ok() {
            self.log.push(stored);
        }
        let mut out = Vec::new();
        self.group.persisted(self.now, ticket, result, &mut out);
        self.take(out);
    }

    fn take(&mut self, out: Vec<Effect<u32>>) {
        for effect in out {
            match effect {
                Effect::Join { waiter, answer } => {
                    assert_eq!(answer.generation >= 0, answer.error.is_none());
                    assert!(self.joined.insert(waiter, answer).is_none(), "answered once");
                }
                Effect::Sync { waiter, answer } => {
                    assert!(self.synced.insert(waiter, answer).is_none(), "answered once");
                }
                Effect::Persist { ticket, stored } => self.persists.push_back((ticket, stored)),
                Effect::Log(_, line) => assert!(line.starts_with("group g ")),
            }
        }
        while self.stores_at_once && !self.persists.is_empty() {
            self.store(Ok(()));
        }
    }

    fn join_answer(&self, waiter: u32) -> JoinAnswer {
        self.joined.get(&waiter).expect("the JoinGroup is answered").clone()
    }

    fn sync_answer(&self, waiter: u32) -> SyncAnswer {
        self.synced.get(&waiter).expect("the SyncGroup is answered").clone()
    }

    fn is_answered(&self, waiter: u32) -> bool {
        self.joined.contains_key(&waiter) || self.synced.contains_key(&waiter)
    }

    fn state(&self) -> GroupState {
        self.group.state()
    }

    fn ids(&self) -> Vec<String> {
        self.group.describe().members.iter().map(|member| member.member_id.into()).collect()
    }
}
