//! A quorum of one against a disk that keeps what was written and forgets what was not, cut off at any moment.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::ids::TopicId;
use crate::metadata::{MetadataImage, PartitionAssignment, snapshot};

const NODE: BrokerId = BrokerId(1);

fn config(number: u64) -> Vec<MetadataRecord> {
    // Two records, so that half an entry would show.
    let half = |side: &str| MetadataRecord::BrokerConfig {
        key: format!("{side}-{}", number % 7),
        value: Some(number.to_string()),
    };
    vec![half("left"), half("right")]
}

fn fresh() -> Quorum {
    Quorum::new(NODE, 0, Recovered::default()).expect("nothing is a sound log")
}

/// Persists all there is at once and applies it.
fn settle(quorum: &mut Quorum, disk: &mut Disk, image: &mut MetadataImage) -> Vec<Committed> {
    while let Some(ready) = quorum.poll_ready() {
        disk.write(&ready);
        quorum.persisted(ready.number);
    }
    let committed = quorum.take_committed();
    for entry in &committed {
        image.apply(entry.offset, entry.term, &entry.records).expect("configs always apply");
    }
    committed
}

/// Stable storage: what a start reads. Everything goes through its bytes.
#[derive(Clone, Debug, Default)]
struct Disk {
    hard_state: Option<Vec<u8>>,
    entries: BTreeMap<MetadataOffset, Vec<u8>>,
    snapshot: Option<Vec<u8>>,
}

impl Disk {
    fn write(&mut self, ready: &Ready) {
        self.write_part(ready, usize::MAX);
    }

    /// Hard state and entries are writes of their own, in this order; only the first `writes` of them arrive.
    fn write_part(&mut self, ready: &Ready, writes: usize) {
        let mut left = writes;
        if let Some(hard_state) = ready.hard_state.filter(|_| left > 0) {
            self.hard_state = Some(hard_state.to_bytes().to_vec());
            left -= 1;
        }
        for entry in ready.entries.iter().take(left) {
            self.entries.split_off(&entry.offset);
            self.entries.insert(entry.offset, entry.to_bytes());
        }
    }

    /// The snapshot, then the log without what it holds; a crash in between leaves more log than is needed.
    fn compact(&mut self, image: &MetadataImage, trim: bool) {
        self.snapshot = Some(snapshot::to_bytes(image));
        if trim {
            self.entries = self.entries.split_off(&image.offset().next());
        }
    }

    fn recover(&self) -> (MetadataImage, Recovered) {
        let image = match &self.snapshot {
            Some(bytes) => snapshot::from_bytes(bytes).expect("our own snapshot loads"),
            None => MetadataImage::default(),
        };
        let recovered = Recovered {
            hard_state: self.hard_state.as_ref().map(|bytes| HardState::from_bytes(bytes).expect("it is ours")),
            entries: self.entries.values().map(|bytes| LogEntry::from_bytes(bytes).expect("it is ours")).collect(),
            snapshot: self.snapshot.as_ref().map(|_| meta(&image)),
        };
        (image, recovered)
    }
}

fn meta(image: &MetadataImage) -> SnapshotMeta {
    SnapshotMeta { offset: image.offset(), term: image.term() }
}

#[test]
fn nothing_commits_before_it_is_persisted() {
    let mut quorum = fresh();
    assert!(quorum.is_leader() && !quorum.caught_up());
    let first = quorum.poll_ready().expect("a new term is to be persisted");
    assert_eq!(first.hard_state.map(|state| (state.term, state.vote)), Some((1, 2)));
    assert_eq!(first.entries.len(), 1, "the term's first entry");
    assert_eq!(quorum.poll_ready(), None);
    assert_eq!(quorum.take_committed(), []);

    let proposal = quorum.propose(&config(1)).expect("the leader takes proposals");
    let second = quorum.poll_ready().expect("the proposal is to be persisted");
    assert_eq!(second.hard_state, None);
    assert_eq!(quorum.take_committed(), []);

    quorum.persisted(first.number);
    let committed = quorum.take_committed();
    assert_eq!(committed.len(), 1);
    assert_eq!((committed[0].offset, committed[0].term), (MetadataOffset(1), 1));
    assert!(committed[0].records.is_empty() && committed[0].proposal.is_none());
    assert!(quorum.caught_up());
    assert_eq!(quorum.poll_ready(), None, "a commit offset alone is not worth a write");

    quorum.persisted(second.number);
    let committed = quorum.take_committed();
    assert_eq!(committed.len(), 1);
    assert_eq!((committed[0].offset, committed[0].proposal), (MetadataOffset(2), Some(proposal)));
    assert_eq!(committed[0].records, config(1));
    assert_eq!(quorum.take_committed(), [], "each once");
    assert_eq!(quorum.applied(), MetadataOffset(2));
}

#[test]
fn proposals_of_a_turn_leave_in_one_ready() {
    let (mut quorum, mut disk, mut image) = (fresh(), Disk::default(), MetadataImage::default());
    settle(&mut quorum, &mut disk, &mut image);
    let proposals: Vec<ProposalId> = (0..5).map(|number| quorum.propose(&config(number)).expect("taken")).collect();
    let ready = quorum.poll_ready().expect("they are to be persisted");
    assert_eq!(ready.entries.len(), 5);
    assert_eq!(ready.hard_state.map(|state| state.committed), Some(MetadataOffset(1)), "the commit goes along");
    assert_eq!(quorum.poll_ready(), None);
    quorum.persisted(ready.number);
    let committed: Vec<_> = quorum.take_committed().into_iter().map(|entry| entry.proposal).collect();
    assert_eq!(committed, proposals.into_iter().map(Some).collect::<Vec<_>>());
}

#[test]
fn a_later_ready_stands_for_those_before_it() {
    let mut quorum = fresh();
    let mut readies = vec![quorum.poll_ready().expect("the first term")];
    for number in 0..3 {
        quorum.propose(&config(number)).expect("taken");
        readies.push(quorum.poll_ready().expect("one each"));
    }
    quorum.persisted(readies[2].number);
    assert_eq!(quorum.take_committed().len(), 3);
    quorum.persisted(readies[3].number);
    assert_eq!(quorum.take_committed().len(), 1);
}

#[test]
#[should_panic(expected = "not handed out")]
fn what_was_not_polled_is_not_persisted() {
    let mut quorum = fresh();
    let ready = quorum.poll_ready().expect("the first term");
    quorum.propose(&config(1)).expect("taken");
    quorum.persisted(ReadyNumber(ready.number.0 + 1));
}

#[test]
#[should_panic(expected = "reported once")]
fn what_was_reported_is_not_reported_again() {
    let mut quorum = fresh();
    let ready = quorum.poll_ready().expect("the first term");
    quorum.persisted(ready.number);
    quorum.persisted(ready.number);
}

#[test]
fn time_alone_makes_no_work() {
    let (mut quorum, mut disk, mut image) = (fresh(), Disk::default(), MetadataImage::default());
    settle(&mut quorum, &mut disk, &mut image);
    for _ in 0..1000 {
        quorum.tick();
        assert_eq!(quorum.poll_ready(), None);
    }
    assert!(quorum.caught_up());
    assert_eq!(quorum.take_committed(), []);
}

#[test]
fn what_waits_for_its_commit_is_bounded() {
    let (mut quorum, mut disk, mut image) = (fresh(), Disk::default(), MetadataImage::default());
    settle(&mut quorum, &mut disk, &mut image);
    let value = Some("v".repeat(limits::STRING_BYTES_MAX));
    let large = vec![MetadataRecord::BrokerConfig { key: "k".to_string(), value }; 31];
    let mut taken = 0;
    let refused = loop {
        match quorum.propose(&large) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, ProposeError::Overloaded);
    assert_eq!(taken, limits::UNCOMMITTED_BYTES_MAX / (31 * limits::STRING_BYTES_MAX));
    assert_eq!(settle(&mut quorum, &mut disk, &mut image).len(), taken);
    assert!(quorum.propose(&large).is_ok(), "there is room again");
    assert!(quorum.snapshot_due());
    settle(&mut quorum, &mut disk, &mut image);
    quorum.compact(meta(&image));
    assert!(!quorum.snapshot_due());

    let too_large = vec![large[0].clone(); 33];
    assert_eq!(quorum.propose(&too_large), Err(ProposeError::Unencodable(EncodeError::TooLarge)));
}

#[test]
fn a_start_goes_on_where_the_last_one_stopped() {
    let (mut quorum, mut disk, mut image) = (fresh(), Disk::default(), MetadataImage::default());
    for number in 0..20 {
        quorum.propose(&config(number)).expect("taken");
        settle(&mut quorum, &mut disk, &mut image);
    }
    for trim in [false, true] {
        let (mut again, recovered) = disk.recover();
        let mut quorum = Quorum::new(NODE, 5, recovered).expect("the log is sound");
        settle(&mut quorum, &mut disk, &mut again);
        assert!(quorum.caught_up());
        assert_eq!(again.broker_configs(), image.broker_configs());
        assert!(again.offset() > image.offset() && again.term() > image.term(), "a start is a term");
        image = again;
        quorum.compact(meta(&image));
        disk.compact(&image, trim);
    }
    // Nothing but the snapshot is left.
    assert!(disk.entries.is_empty());
    let (mut again, recovered) = disk.recover();
    let mut quorum = Quorum::new(NODE, 5, recovered).expect("the log is sound");
    assert_eq!(quorum.applied(), image.offset());
    settle(&mut quorum, &mut disk, &mut again);
    assert_eq!(again.broker_configs(), image.broker_configs());
    assert_eq!(again.offset(), image.offset().next());
}

#[test]
fn ten_thousand_topics_are_no_burden() {
    let (mut quorum, mut disk, mut image) = (fresh(), Disk::default(), MetadataImage::default());
    for number in 0..10_000_u32 {
        let mut id = [9; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let partition = PartitionAssignment {
            index: crate::ids::PartitionIndex(0),
            replicas: vec![NODE],
            leader: NODE,
            leader_epoch: crate::ids::LeaderEpoch(0),
            partition_epoch: crate::ids::PartitionEpoch(0),
        };
        let name = format!("topic-{number}");
        let topic = MetadataRecord::Topic { name, topic_id: TopicId(id), partitions: vec![partition] };
        quorum.propose(&[topic]).expect("taken");
    }
    assert_eq!(settle(&mut quorum, &mut disk, &mut image).len(), 10_001);
    assert_eq!(image.topics().len(), 10_000);
    assert!(disk.entries.values().map(Vec::len).sum::<usize>() < 1_000_000, "a topic takes less than 100 bytes");

    disk.compact(&image, true);
    quorum.compact(meta(&image));
    let (mut again, recovered) = disk.recover();
    assert_eq!(again, image);
    let mut quorum = Quorum::new(NODE, 0, recovered).expect("the log is sound");
    quorum.propose(&[MetadataRecord::RaiseLeaderEpochs { broker_id: NODE }]).expect("taken");
    settle(&mut quorum, &mut disk, &mut again);
    assert!(again.topics().all(|topic| topic.partitions()[0].leader_epoch.0 == 1));
}

fn entry(offset: u64, term: u64) -> LogEntry {
    let payload = encoding::encode(&config(offset)).expect("small").into();
    LogEntry { offset: MetadataOffset(offset), term, payload }
}

fn state(term: u64, committed: u64) -> Option<HardState> {
    Some(HardState { term, vote: 2, committed: MetadataOffset(committed) })
}

fn refusal(hard_state: Option<HardState>, entries: Vec<LogEntry>, at: Option<(u64, u64)>) -> Option<RecoverError> {
    let snapshot = at.map(|(offset, term)| SnapshotMeta { offset: MetadataOffset(offset), term });
    Quorum::new(NODE, 0, Recovered { hard_state, entries, snapshot }).err()
}

#[test]
fn a_log_that_lost_something_is_refused() {
    let at = MetadataOffset;
    assert_eq!(refusal(state(2, 2), vec![entry(1, 1), entry(2, 2)], None), None);
    assert_eq!(refusal(state(2, 2), vec![entry(1, 1), entry(2, 2)], Some((1, 1))), None);
    assert_eq!(refusal(state(2, 0), vec![], Some((1, 1))), None);

    assert_eq!(refusal(None, vec![entry(1, 1)], None), Some(RecoverError::HardStateMissing));
    assert_eq!(refusal(None, vec![], Some((1, 1))), Some(RecoverError::HardStateMissing));
    let stale = Some(RecoverError::HardStateStale { term: 1, newer: 2 });
    assert_eq!(refusal(state(1, 1), vec![entry(1, 1), entry(2, 2)], None), stale);
    assert_eq!(refusal(state(1, 1), vec![], Some((5, 2))), stale);
    let missing = Some(RecoverError::CommittedEntriesMissing { committed: at(2), last: at(1) });
    assert_eq!(refusal(state(1, 2), vec![entry(1, 1)], None), missing);
    assert_eq!(refusal(state(1, 1), vec![entry(1, 1), entry(3, 1)], None), Some(RecoverError::Hole(at(2))));
    assert_eq!(refusal(state(1, 1), vec![entry(2, 1)], None), Some(RecoverError::Hole(at(1))));
    assert_eq!(refusal(state(1, 1), vec![entry(7, 1)], Some((5, 1))), Some(RecoverError::Hole(at(6))));
    assert_eq!(refusal(state(2, 1), vec![entry(1, 2), entry(2, 1)], None), Some(RecoverError::TermMismatch(at(2))));
    assert_eq!(refusal(state(2, 1), vec![entry(5, 2)], Some((5, 1))), Some(RecoverError::TermMismatch(at(5))));
    assert_eq!(refusal(state(2, 1), vec![entry(6, 1)], Some((5, 2))), Some(RecoverError::TermMismatch(at(6))));
    let foreign = Some(HardState { term: 1, vote: 7, committed: at(0) });
    assert_eq!(refusal(foreign, vec![], None), Some(RecoverError::ForeignVote(7)));
    let unreadable = LogEntry { payload: Bytes::from_static(&[1, 1]), ..entry(1, 1) };
    let expected = RecoverError::Undecodable(at(1), DecodeError::Truncated);
    assert_eq!(refusal(state(1, 0), vec![unreadable], None), Some(expected));
}

/// What may happen next.
#[derive(Clone, Debug)]
enum Step {
    Propose,
    /// Take the next Ready; it is on its way to the disk then.
    Poll,
    /// So many of those on their way arrive, and the last one is reported.
    Persist(usize),
    Apply,
    Tick,
    /// Snapshot the image and trim the log, or crash before the log is trimmed.
    Compact {
        trim: bool,
    },
    /// The power goes: of the writes on their way so many arrive whole, and of the next one so many parts.
    Crash {
        readies: usize,
        parts: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Propose),
        6 => Just(Step::Poll),
        4 => (1..4_usize).prop_map(Step::Persist),
        4 => Just(Step::Apply),
        1 => Just(Step::Tick),
        1 => any::<bool>().prop_map(|trim| Step::Compact { trim }),
        1 => (0..4_usize, 0..4_usize).prop_map(|(readies, parts)| Step::Crash { readies, parts }),
    ]
}

/// One node, its disk, and everything that it ever said was committed.
struct World {
    quorum: Quorum,
    image: MetadataImage,
    disk: Disk,
    in_flight: VecDeque<Ready>,
    proposed: u64,
    waiting: BTreeMap<ProposalId, u64>,
    /// By offset: what was committed there.
    committed: BTreeMap<MetadataOffset, (u64, Vec<MetadataRecord>)>,
}

impl World {
    fn new() -> Self {
        Self {
            quorum: fresh(),
            image: MetadataImage::default(),
            disk: Disk::default(),
            in_flight: VecDeque::new(),
            proposed: 0,
            waiting: BTreeMap::new(),
            committed: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Propose => {
                self.proposed += 1;
                let id = self.quorum.propose(&config(self.proposed)).expect("the leader takes proposals");
                assert_eq!(self.waiting.insert(id, self.proposed), None, "a proposal has a number of its own");
            }
            Step::Poll => self.in_flight.extend(self.quorum.poll_ready()),
            Step::Persist(count) => {
                let count = count.min(self.in_flight.len());
                let arrived: Vec<Ready> = self.in_flight.drain(..count).collect();
                arrived.iter().for_each(|ready| self.disk.write(ready));
                if let Some(last) = arrived.last() {
                    self.quorum.persisted(last.number);
                }
            }
            Step::Apply => self.apply(),
            Step::Tick => self.quorum.tick(),
            Step::Compact { trim } => {
                if self.image.offset() > MetadataOffset(0) {
                    self.quorum.compact(meta(&self.image));
                    self.disk.compact(&self.image, trim);
                }
            }
            Step::Crash { readies, parts } => self.crash(readies, parts),
        }
    }

    fn apply(&mut self) {
        for entry in self.quorum.take_committed() {
            assert_eq!(entry.offset, self.image.offset().next(), "in order, without holes, each once");
            let durable = self.disk.entries.get(&entry.offset).expect("what is committed is on the disk");
            assert_eq!(LogEntry::from_bytes(durable).map(|durable| durable.term), Ok(entry.term));
            if let Some(id) = entry.proposal {
                let number = self.waiting.remove(&id).expect("a proposal commits once");
                assert_eq!(entry.records, config(number), "it commits as it was proposed");
            }
            let fact = (entry.term, entry.records.clone());
            let known = self.committed.entry(entry.offset).or_insert_with(|| fact.clone());
            assert_eq!(*known, fact, "what is committed never changes");
            let whole = entry.records.is_empty() || (1..=self.proposed).any(|n| entry.records == config(n));
            assert!(whole, "an entry is whole and was proposed");
            self.image.apply(entry.offset, entry.term, &entry.records).expect("configs always apply");
        }
    }

    fn crash(&mut self, readies: usize, parts: usize) {
        let mut lost = core::mem::take(&mut self.in_flight).into_iter();
        lost.by_ref().take(readies).for_each(|ready| self.disk.write(&ready));
        if let Some(torn) = lost.next() {
            self.disk.write_part(&torn, parts);
        }
        self.waiting.clear();
        let (image, recovered) = self.disk.recover();
        self.image = image;
        self.quorum = Quorum::new(NODE, self.proposed, recovered).expect("a crash leaves a sound log");
    }

    /// Brings everything to rest and checks that nothing committed is missing.
    fn settle(&mut self) {
        loop {
            self.apply();
            self.in_flight.extend(self.quorum.poll_ready());
            if self.in_flight.is_empty() {
                break;
            }
            self.step(&Step::Persist(usize::MAX));
        }
        assert!(self.quorum.caught_up());
        let mut from_start = MetadataImage::default();
        for (offset, (term, records)) in &self.committed {
            from_start.apply(*offset, *term, records).expect("configs always apply");
        }
        assert_eq!(from_start, self.image, "the image is what the whole log gives");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn no_crash_loses_or_halves_what_was_committed(steps in prop::collection::vec(any_step(), 0..120)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
        assert!(world.waiting.is_empty(), "without a crash every proposal commits");
        world.step(&Step::Crash { readies: 0, parts: 0 });
        world.settle();
    }
}
