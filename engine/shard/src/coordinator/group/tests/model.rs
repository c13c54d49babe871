//! Random histories of clients, a log that may fail, and a broker that may be killed. After every step the group keeps
//! its invariants; once the faults end, all clients settle in one generation; once the clients end, nothing waits.

use alloc::format;

use proptest::prelude::*;

use super::*;

const CLIENTS: usize = 6;
/// The first clients are static.
const INSTANCES: [&str; 2] = ["i0", "i1"];
/// Longer than all timeouts that may follow each other.
const SETTLED_WITHIN_S: u64 = 900;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Op {
    /// A client does what comes next.
    Step(usize),
    /// A client joins, whatever it waits for.
    Join(usize),
    /// A client subscribes to something else.
    Subscribe(usize, u8),
    /// A client is killed and starts anew; if it is static, under the same instance id.
    Restart(usize),
    /// A client leaves.
    Leave(usize),
    /// A client commits offsets.
    Commit(usize),
    /// An operator removes a static member.
    Remove(usize),
    /// Time passes.
    Pass(u64),
    /// The log stores what it has to, or refuses it.
    Store(bool),
    /// The broker is killed: what was stored remains.
    Kill,
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..CLIENTS;
    prop_oneof![
        30 => who.clone().prop_map(Op::Step),
        2 => who.clone().prop_map(Op::Join),
        2 => (who.clone(), 0..3_u8).prop_map(|(who, topic)| Op::Subscribe(who, topic)),
        3 => who.clone().prop_map(Op::Restart),
        2 => who.clone().prop_map(Op::Leave),
        2 => who.clone().prop_map(Op::Commit),
        1 => (0..INSTANCES.len()).prop_map(Op::Remove),
        8 => prop_oneof![Just(0), 1..200_u64, 200..4_000_u64, 4_000..70_000_u64].prop_map(Op::Pass),
        8 => proptest::bool::weighted(0.85).prop_map(Op::Store),
        1 => Just(Op::Kill),
    ]
}

/// What a client waits for, or has.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    Joining(u32),
    Joined { is_leader: bool, members: Vec<MemberId> },
    Syncing(u32),
    In,
}

#[derive(Clone)]
struct Simulated {
    client: Client,
    generation: i32,
    phase: Phase,
}

struct World {
    bench: Bench,
    clients: Vec<Simulated>,
    generation_before: i32,
    /// Requests of a broker that was killed: nobody answers them any more.
    lost: u32,
}

impl World {
    fn new() -> Self {
        let mut bench = Bench::new();
        bench.stores_at_once = false;
        let simulated = |index: usize| Simulated {
            client: Client {
                instance_id: INSTANCES.get(index).copied(),
                requires_known_member_id: index.is_multiple_of(2),
                supports_skip_assignment: index.is_multiple_of(2),
                rebalance_timeout_ms: if index == 3 { 20_000 } else { 60_000 },
                ..client().with_protocols(if index == 4 { &["range", "sticky"] } else { &["sticky", "range"] })
            },
            generation: -1,
            phase: Phase::Out,
        };
        Self { bench, clients: (0..CLIENTS).map(simulated).collect(), generation_before: 0, lost: 0 }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Step(who) => self.step(who),
            Op::Join(who) => self.join(who),
            Op::Subscribe(who, topic) => {
                let client = &mut self.clients[who];
                client.client = client.client.with_topics(&["t", &format!("t{topic}")]);
                if client.phase == Phase::In {
                    self.join(who);
                }
            }
            Op::Restart(who) => self.forget(who),
            Op::Leave(who) => {
                let client = &self.clients[who];
                let (id, instance_id) = (client.client.member_id.clone(), client.client.instance_id);
                if !id.is_empty() {
                    self.bench.leave(&[(&id, instance_id)]);
                    self.forget(who);
                }
            }
            Op::Commit(who) => {
                let Simulated { client, generation, .. } = self.clients[who].clone();
                let (bench, id) = (&mut self.bench, &client.member_id);
                let result = bench.group.check_commit(bench.now, id, client.instance_id, generation, false);
                assert!(result.is_err() || generation == bench.group.generation || generation < 0);
            }
            Op::Remove(instance) => _ = self.bench.leave(&[("", Some(INSTANCES[instance]))]),
            Op::Pass(ms) => self.bench.pass_ms(ms),
            Op::Store(succeeds) => {
                if !self.bench.persists.is_empty() {
                    self.bench.store(if succeeds { Ok(()) } else { Err(ErrorCode::NOT_ENOUGH_REPLICAS) });
                }
            }
            Op::Kill => self.kill(),
        }
        self.hear();
        self.check();
    }

    fn step(&mut self, who: usize) {
        let Simulated { client, generation, phase } = self.clients[who].clone();
        match phase {
            Phase::Out => self.join(who),
            Phase::Joined { is_leader, members } => {
                let given = |id: &MemberId| (MemberId::clone(id), format!("{generation}:{id}"));
                let assignments: Vec<_> = members.iter().filter(|_| is_leader).map(given).collect();
                let waiter = self.bench.sync_with(Syncing {
                    member_id: &client.member_id,
                    instance_id: client.instance_id,
                    generation,
                    protocol_type: Some("consumer"),
                    protocol_name: None,
                    assignments: assignments.iter().map(|(id, given)| (&**id, given.as_bytes())).collect(),
                });
                self.clients[who].phase = Phase::Syncing(waiter);
            }
            Phase::In => {
                let bench = &mut self.bench;
                let error = bench.group.heartbeat(bench.now, &client.member_id, client.instance_id, generation);
                self.react(who, error);
            }
            Phase::Joining(_) | Phase::Syncing(_) => {}
        }
    }

    fn join(&mut self, who: usize) {
        let waiter = self.bench.join(&self.clients[who].client.clone());
        self.clients[who].phase = Phase::Joining(waiter);
    }

    fn forget(&mut self, who: usize) {
        let client = &mut self.clients[who];
        client.client.member_id = String::new();
        (client.generation, client.phase) = (-1, Phase::Out);
    }

    fn react(&mut self, who: usize, error: ErrorCode) {
        match error {
            OK => {}
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID => self.forget(who),
            _ => self.clients[who].phase = Phase::Out,
        }
    }

    /// Clients take notice of their answers.
    fn hear(&mut self) {
        for who in 0..CLIENTS {
            match self.clients[who].phase {
                Phase::Joining(waiter) if self.bench.is_answered(waiter) => {
                    let answer = self.bench.join_answer(waiter);
                    self.react(who, answer.error);
                    let client = &mut self.clients[who];
                    if [OK, ErrorCode::MEMBER_ID_REQUIRED].contains(&answer.error) {
                        client.client.member_id = (*answer.member_id).into();
                    }
                    if answer.error.is_none() {
                        let is_leader = answer.leader == answer.member_id;
                        assert_eq!(is_leader, !answer.members.is_empty());
                        let members = answer.members.into_iter().map(|member| member.member_id);
                        client.phase = Phase::Joined { is_leader, members: members.collect() };
                        client.generation = answer.generation;
                    }
                }
                Phase::Syncing(waiter) if self.bench.is_answered(waiter) => {
                    let answer = self.bench.sync_answer(waiter);
                    self.react(who, answer.error);
                    if answer.error.is_none() {
                        assert!(answer.assignment.starts_with(format!("{}:", self.clients[who].generation).as_bytes()));
                        self.clients[who].phase = Phase::In;
                    }
                }
                _ => {}
            }
        }
    }

    fn kill(&mut self) {
        let bench = &mut self.bench;
        bench.group = match bench.log.last() {
            Some(stored) => Group::restore(bench.now, &bench.settings, "g".into(), stored.clone()),
            None => Group::new(bench.now, "g".into()),
        };
        bench.persists.clear();
        self.lost = bench.waiters - u32::try_from(bench.joined.len() + bench.synced.len()).unwrap();
        self.generation_before = bench.group.generation;
        for client in &mut self.clients {
            if matches!(client.phase, Phase::Joining(_) | Phase::Syncing(_)) {
                client.phase = Phase::Out;
            }
        }
    }

    fn check(&mut self) {
        let bench = &self.bench;
        let group = &bench.group;
        let owed = group.members.check();
        let answered = bench.joined.len() + bench.synced.len();
        assert_eq!(answered + owed + self.lost as usize, bench.waiters as usize, "every request has one answer");
        assert!(group.generation >= self.generation_before);
        self.generation_before = group.generation;
        let leader = group.leader.as_ref().map(|id| group.members.get(id).is_some());
        assert_eq!(leader, if group.members.is_empty() { None } else { Some(true) });
        assert_eq!(group.join_phase.is_some(), group.state() == GroupState::PreparingRebalance);
        assert!(owed == 0 || group.next_deadline_us().is_some() || !bench.persists.is_empty());
        let members = || group.members.by_id_for_tests();
        match group.state() {
            GroupState::Empty => assert!(group.members.is_empty()),
            GroupState::PreparingRebalance => assert!(members().all(|(_, member)| !member.is_syncing())),
            GroupState::CompletingRebalance => {
                assert!(members().all(|(_, member)| !member.is_joining()));
                assert!(group.assigning.is_some() || group.sync_ends_us.is_some(), "somebody has to act");
            }
            GroupState::Stable => {
                let prefix = format!("{}:", group.generation);
                for (id, member) in members() {
                    assert!(!member.is_syncing() && member.next_assignment.is_none());
                    assert!(member.assignment.starts_with(prefix.as_bytes()));
                    let is_being_stored = || {
                        let all = group.replacements.iter().chain(&group.next_replacements);
                        all.into_iter().any(|replacement| replacement.new_id == *id)
                    };
                    assert!(!member.is_joining() || is_being_stored());
                }
                if bench.persists.is_empty() {
                    let stored = bench.log.last().expect("a generation is stored before it is Stable");
                    let stored = stored.members.iter().map(|member| (&member.member_id, &member.assignment));
                    assert!(stored.eq(members().map(|(id, member)| (id, &member.assignment))));
                }
            }
            GroupState::Dead => unreachable!("nobody deletes it"),
        }
    }

    fn have_settled(&self) -> bool {
        let generation = self.bench.group.generation;
        let are_in = self.clients.iter().all(|client| client.phase == Phase::In && client.generation == generation);
        are_in && self.bench.state() == GroupState::Stable && self.bench.group.size() == CLIENTS
    }

    fn settle(&mut self) {
        for second in 0.. {
            for who in 0..CLIENTS {
                self.step(who);
                self.hear();
            }
            while !self.bench.persists.is_empty() {
                self.bench.store(Ok(()));
                self.hear();
            }
            self.check();
            if self.have_settled() {
                return;
            }
            self.bench.pass_ms(1_000);
            self.hear();
            assert!(second < SETTLED_WITHIN_S, "somebody is stuck: {:?}", self.bench.group);
        }
    }

    fn abandon(&mut self) {
        for _ in 0..SETTLED_WITHIN_S {
            self.run(&Op::Pass(1_000));
            while !self.bench.persists.is_empty() {
                self.run(&Op::Store(true));
            }
        }
        assert_eq!(self.bench.group.members.check(), 0, "nobody waits");
        assert!(self.bench.group.is_empty_and_idle());
        assert_eq!(self.bench.group.next_deadline_us(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_invariants_and_settles(ops in proptest::collection::vec(op(), 1..150)) {
        let mut world = World::new();
        for op in &ops {
            world.run(op);
        }
        world.settle();
        for op in &ops[ops.len() / 2..] {
            world.run(op);
        }
        world.abandon();
    }
}
