//! Groups under fire: members are added, killed, stopped and removed while records come in, and the broker is killed in
//! between. Committed offsets never go back, every record is consumed at least once, and nobody is stuck: after each blow
//! the group settles with whoever is left, and goes on.

mod load;
mod member;

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use corelog_tests::broker::{Broker, Options};
use corelog_tests::client::Client;
use corelog_tests::groups::Group;
use corelog_wire::error_code::ErrorCode;

use load::Load;
use member::{Member, Role, Told};

/// How long the group may take after each blow. Sessions last three seconds, and rebalances wait for six.
const SETTLE_MAX: Duration = Duration::from_secs(45);

const GROUP: &str = "under-fire";
const TOPIC: &str = "fire";
const PARTITIONS: usize = 6;
/// So many offsets the group goes on after each blow.
const PROGRESS: i64 = 100;

/// A broker, a group of processes, and all that is known of them.
struct Fire {
    broker: Broker,
    client: Option<Client>,
    strategy: &'static str,
    /// How many dynamic members were started.
    members: usize,
    teller: Sender<Told>,
    told: Receiver<Told>,
    consumed: [BTreeSet<i64>; PARTITIONS],
    /// The highest commit of each partition that a member knows to be taken.
    acknowledged: [i64; PARTITIONS],
    /// The last commit of each partition that the broker told.
    committed: [i64; PARTITIONS],
    group: Option<Group>,
}

fn index(partition: i32) -> usize {
    usize::try_from(partition).expect("partitions count from 0")
}

impl Fire {
    fn start(cores: u32, strategy: &'static str) -> Self {
        let broker = Options::new()
            .cores(cores)
            .set("group.min.session.timeout.ms", "1000")
            .set("group.initial.rebalance.delay.ms", "100")
            .start();
        let mut client = Client::connect(broker.address()).expect("a connection");
        let partitions = i32::try_from(PARTITIONS).expect("few");
        assert_eq!(client.create_topic(TOPIC, partitions).expect("an answer"), ErrorCode::NONE);
        client.await_coordinator(GROUP).expect("a coordinator");
        let (teller, told) = mpsc::channel();
        Self {
            broker,
            client: Some(client),
            strategy,
            members: 0,
            teller,
            told,
            consumed: [const { BTreeSet::new() }; PARTITIONS],
            acknowledged: [-1; PARTITIONS],
            committed: [-1; PARTITIONS],
            group: None,
        }
    }

    fn start_member(&self, name: &str, is_static: bool) -> Member {
        let role = Role {
            bootstrap: self.broker.bootstrap(),
            group: GROUP.to_owned(),
            topic: TOPIC.to_owned(),
            strategy: self.strategy,
            name: name.to_owned(),
            is_static,
        };
        Member::start(&role, self.teller.clone())
    }

    /// Starts a dynamic member.
    fn member(&mut self) -> Member {
        self.members += 1;
        self.start_member(&format!("member-{}", self.members), false)
    }

    /// Kills the broker, if it is ours, and starts it again where it was.
    fn restart_broker(&mut self) {
        if !self.broker.is_ours() {
            return;
        }
        let address = self.broker.address();
        self.broker.kill();
        self.client = None;
        self.broker.start_again_at(address);
    }

    /// Takes in what the members tell, and asks the broker.
    fn look(&mut self) {
        let first = self.told.recv_timeout(Duration::from_millis(20));
        for told in first.into_iter().chain(self.told.try_iter()) {
            match told {
                Told::Record(partition, offset) => _ = self.consumed[index(partition)].insert(offset),
                Told::Failed(why) => panic!("a member cannot go on: {why}"),
                Told::Committed(partition, offset) => {
                    let highest = &mut self.acknowledged[index(partition)];
                    *highest = offset.max(*highest);
                }
            }
        }
        let Some(mut client) = self.client.take().or_else(|| Client::connect(self.broker.address()).ok()) else {
            return;
        };
        let acknowledged = self.acknowledged;
        let partitions = i32::try_from(PARTITIONS).expect("few");
        let (Ok(committed), Ok(group)) =
            (client.committed_offsets(GROUP, TOPIC, partitions), client.describe_group(GROUP))
        else {
            return;
        };
        self.client = Some(client);
        self.group = group;
        let Some(committed) = committed else { return };
        for (partition, offset) in committed.into_iter().enumerate() {
            let (before, acknowledged) = (self.committed[partition], acknowledged[partition]);
            assert!(offset >= before, "the commit of partition {partition} went back from {before} to {offset}");
            assert!(offset >= acknowledged, "partition {partition}: {acknowledged} was taken, {offset} is told");
            self.committed[partition] = offset;
        }
    }

    #[track_caller]
    fn await_that(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SETTLE_MAX;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}: not in time; {:?}, {:?}", self.group, self.committed);
            self.look();
        }
    }

    fn is(&self, state: &str, clients: &[&str]) -> bool {
        self.group.as_ref().is_some_and(|group| group.state == state && group.clients == clients)
    }

    /// The group settles with these members, and goes on.
    #[track_caller]
    fn settles_with(&mut self, fixed: &[&Member], others: &[Member], what: &str) {
        let mut clients: Vec<_> = fixed.iter().copied().chain(others).map(Member::name).collect();
        clients.sort_unstable();
        let began = Instant::now();
        self.group = None;
        self.await_that(what, |fire| fire.is("Stable", &clients));
        let settled = began.elapsed();
        let goal = self.committed.iter().sum::<i64>() + PROGRESS;
        self.await_that(what, |fire| fire.committed.iter().sum::<i64>() >= goal);
        println!("{what}: settled after {settled:?}, went on after {:?}", began.elapsed());
    }
}

fn under_fire(cores: u32, strategy: &'static str) {
    let mut fire = Fire::start(cores, strategy);
    let load = Load::start(&fire.broker.bootstrap(), TOPIC);
    let fixed = fire.start_member("fixed", true);
    let mut members = vec![fire.member(), fire.member()];
    fire.settles_with(&[&fixed], &members, "three come");
    members.extend([fire.member(), fire.member()]);
    fire.settles_with(&[&fixed], &members, "two more come");
    members.remove(0).kill();
    fire.settles_with(&[&fixed], &members, "one is killed");
    members[0].pause();
    fire.settles_with(&[&fixed], &members[1..], "one stops");
    members[0].go_on();
    fire.settles_with(&[&fixed], &members, "it goes on");
    fire.restart_broker();
    fire.settles_with(&[&fixed], &members, "the broker is killed");
    members.push(fire.member());
    members.remove(0).kill();
    fire.restart_broker();
    fire.settles_with(&[&fixed], &members, "the broker is killed while one comes and one goes");
    fixed.kill();
    let fixed = fire.start_member("fixed", true);
    fire.settles_with(&[&fixed], &members, "a static member is killed and comes back");
    members.remove(0).leave();
    fire.settles_with(&[&fixed], &members, "one leaves");
    let written = load.finish();
    let mut ends = [0; PARTITIONS];
    for (partition, offset) in &written {
        ends[index(*partition)] = ends[index(*partition)].max(offset + 1);
    }
    fire.await_that("all is consumed", |fire| {
        ends.iter().zip(&fire.committed).all(|(end, committed)| *end == (*committed).max(0))
    });
    members.push(fixed);
    for member in members {
        member.leave();
    }
    fire.await_that("all leave", |fire| fire.is("Empty", &[]));
    let missing = written.iter().find(|(partition, offset)| !fire.consumed[index(*partition)].contains(offset));
    assert_eq!(missing, None, "every record is consumed");
    assert!(written.len() > 1_000, "there was some load: {}", written.len());
}

#[test]
fn an_eager_group_on_one_core() {
    under_fire(1, "range,roundrobin");
}

#[test]
fn a_cooperative_group_on_two_cores() {
    under_fire(2, "cooperative-sticky");
}

/// What the other tests rely on; and, started by them, the member itself.
#[test]
fn a_member_consumes_commits_and_leaves() {
    if member::is_member_process() {
        return;
    }
    let mut fire = Fire::start(1, "range");
    let load = Load::start(&fire.broker.bootstrap(), TOPIC);
    let member = fire.member();
    fire.settles_with(&[&member], &[], "it comes");
    let written = load.finish();
    let end: i64 = i64::try_from(written.len()).expect("fits");
    fire.await_that("it consumes all", |fire| fire.committed.iter().map(|offset| (*offset).max(0)).sum::<i64>() == end);
    member.leave();
    fire.await_that("it has left", |fire| fire.is("Empty", &[]));
    assert!(written.iter().all(|(partition, offset)| fire.consumed[index(*partition)].contains(offset)));
}
