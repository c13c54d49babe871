//! Sessions against a naive model, and the rules of eviction.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn id_key(topic: u8) -> TopicKey {
    TopicKey::Id(TopicId([topic; 16]))
}

fn wanted(topic: u8, partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition {
        topic: id_key(topic),
        partition,
        fetch_offset,
        max_bytes: 1 << 20,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
    }
}

fn quiet(high_watermark: i64) -> News {
    News { error: ErrorCode::NONE, high_watermark, log_start_offset: 0, has_records: false, diverges: false }
}

fn request(id: i32, epoch: i32) -> SessionRequest {
    SessionRequest { id, epoch, uses_topic_ids: true }
}

/// A full request for `partitions` and its answer; the session's id.
fn open(sessions: &mut FetchSessions, now_ms: u64, mut partitions: Vec<FetchPartition>) -> i32 {
    let context = sessions.begin(now_ms, request(0, 0), &mut partitions, [].into_iter()).unwrap();
    let news = vec![quiet(0); partitions.len()];
    let mut send = vec![true; partitions.len()];
    sessions.finish(now_ms, &context, &partitions, &news, &mut send).unwrap()
}

/// An incremental request that changes nothing.
fn poll(sessions: &mut FetchSessions, now_ms: u64, id: i32, epoch: i32) -> Result<Vec<FetchPartition>, ErrorCode> {
    let mut partitions = vec![];
    sessions.begin(now_ms, request(id, epoch), &mut partitions, [].into_iter())?;
    Ok(partitions)
}

#[test]
fn epochs_advance_and_others_are_refused() {
    let mut sessions = FetchSessions::new(10, 1);
    let id = open(&mut sessions, 0, vec![wanted(1, 0, 0)]);
    assert!(id > 0);
    assert_eq!(poll(&mut sessions, 0, id, 2), Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
    assert_eq!(poll(&mut sessions, 0, id, 1), Ok(vec![wanted(1, 0, 0)]));
    assert_eq!(poll(&mut sessions, 0, id, 1), Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
    assert_eq!(poll(&mut sessions, 0, id, 2), Ok(vec![wanted(1, 0, 0)]));
    assert_eq!(poll(&mut sessions, 0, id + 1, 1), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    assert_eq!(poll(&mut sessions, 0, 0, 1), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    let by_name = SessionRequest { uses_topic_ids: false, ..request(id, 3) };
    let error = sessions.begin(0, by_name, &mut vec![], [].into_iter());
    assert_eq!(error, Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR));
}

#[test]
fn the_epoch_after_the_last_is_one() {
    assert_eq!(next_epoch(0), 1);
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[test]
fn a_late_answer_is_refused() {
    let mut sessions = FetchSessions::new(10, 1);
    let id = open(&mut sessions, 0, vec![wanted(1, 0, 0)]);
    let mut partitions = vec![];
    let first = sessions.begin(0, request(id, 1), &mut partitions, [].into_iter()).unwrap();
    let second = sessions.begin(0, request(id, 2), &mut partitions, [].into_iter()).unwrap();
    let late = sessions.finish(0, &first, &partitions, &[quiet(1)], &mut [true]);
    assert_eq!(late, Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
    assert_eq!(sessions.finish(0, &second, &partitions, &[quiet(1)], &mut [true]), Ok(id));
}

#[test]
fn a_full_request_and_a_final_one_end_the_session_they_name() {
    let mut sessions = FetchSessions::new(10, 1);
    for epoch in [INITIAL_EPOCH, FINAL_EPOCH] {
        let id = open(&mut sessions, 0, vec![wanted(1, 0, 0)]);
        sessions.begin(0, request(id, epoch), &mut vec![wanted(2, 0, 0)], [].into_iter()).unwrap();
        assert_eq!(poll(&mut sessions, 0, id, 1), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        assert_eq!(sessions.size(), (0, 0));
    }
}

#[test]
fn forgetting_everything_ends_the_session() {
    let mut sessions = FetchSessions::new(10, 1);
    let id = open(&mut sessions, 0, vec![wanted(1, 0, 0), wanted(1, 1, 0)]);
    let forgotten = [(id_key(1), 0), (id_key(1), 1), (id_key(9), 9)];
    let context = sessions.begin(0, request(id, 1), &mut vec![], forgotten.into_iter());
    assert_eq!(context, Ok(FetchContext::Sessionless));
    assert_eq!(sessions.size(), (0, 0));
}

#[test]
fn partitions_with_records_go_to_the_end() {
    let mut sessions = FetchSessions::new(10, 1);
    let id = open(&mut sessions, 0, vec![wanted(1, 0, 0), wanted(1, 1, 0), wanted(1, 2, 0)]);
    let order = |partitions: &[FetchPartition]| partitions.iter().map(|wanted| wanted.partition).collect::<Vec<_>>();
    let mut partitions = vec![];
    for (epoch, expected) in [(1, [0, 1, 2]), (2, [1, 2, 0]), (3, [2, 0, 1]), (4, [0, 1, 2])] {
        let context = sessions.begin(0, request(id, epoch), &mut partitions, [].into_iter()).unwrap();
        assert_eq!(order(&partitions), expected);
        // Only the first has room for its records.
        let mut news = [quiet(5); 3];
        news[0].has_records = true;
        sessions.finish(0, &context, &partitions, &news, &mut [true; 3]).unwrap();
    }
}

#[test]
fn after_an_error_the_next_good_answer_is_news() {
    let mut sessions = FetchSessions::new(10, 1);
    let id = open(&mut sessions, 0, vec![wanted(1, 0, 0)]);
    let error = News { error: ErrorCode::NOT_LEADER_OR_FOLLOWER, ..quiet(-1) };
    let mut partitions = vec![];
    for (epoch, news, expected) in
        [(1, quiet(0), false), (2, error, true), (3, error, true), (4, quiet(0), true), (5, quiet(0), false)]
    {
        let context = sessions.begin(0, request(id, epoch), &mut partitions, [].into_iter()).unwrap();
        let mut send = [true];
        sessions.finish(0, &context, &partitions, &[news], &mut send).unwrap();
        assert_eq!(send[0], expected, "epoch {epoch}");
    }
}

#[test]
fn without_slots_there_are_no_sessions() {
    let mut sessions = FetchSessions::new(0, 1);
    assert_eq!(open(&mut sessions, 0, vec![wanted(1, 0, 0)]), NO_SESSION);
    assert_eq!(open(&mut sessions, 0, vec![]), NO_SESSION);
}

#[test]
fn slots_go_to_larger_sessions_and_from_unused_ones() {
    let mut sessions = FetchSessions::new(2, 1);
    let of = |count: i32| (0..count).map(|partition| wanted(1, partition, 0)).collect::<Vec<_>>();
    let small = open(&mut sessions, 0, of(1));
    let large = open(&mut sessions, 0, of(5));
    let old = limits::FETCH_SESSION_EVICTION_MS;
    assert_eq!(open(&mut sessions, old, of(9)), NO_SESSION, "nobody is old enough");
    // Used recently, but old: now size decides.
    poll(&mut sessions, old + 1, small, 1).unwrap();
    poll(&mut sessions, old + 1, large, 1).unwrap();
    assert_eq!(open(&mut sessions, old + 2, of(1)), NO_SESSION, "as large is not larger");
    let larger = open(&mut sessions, old + 2, of(2));
    assert_ne!(larger, NO_SESSION);
    assert_eq!(poll(&mut sessions, old + 2, small, 2), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    // Unused for long: anybody may have its slot.
    poll(&mut sessions, old * 2, larger, 1).unwrap();
    let tiny = open(&mut sessions, old * 2 + 2, of(1));
    assert_ne!(tiny, NO_SESSION);
    assert_eq!(poll(&mut sessions, old * 2 + 2, large, 2), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    assert_eq!(sessions.size(), (2, 3));
}

#[test]
fn partitions_are_bounded() {
    let mut sessions = FetchSessions::new(1_000, 1);
    let of = |count: usize| (0..count).map(|partition| wanted(1, partition as i32, 0)).collect::<Vec<_>>();
    assert_eq!(open(&mut sessions, 0, of(limits::FETCH_SESSION_PARTITIONS_MAX + 1)), NO_SESSION);
    let id = open(&mut sessions, 0, of(limits::FETCH_SESSION_PARTITIONS_MAX));
    assert_ne!(id, NO_SESSION);
    let added = sessions.begin(0, request(id, 1), &mut vec![wanted(2, 0, 0)], [].into_iter());
    assert_eq!(added, Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND), "it is full, and gone");
    assert_eq!(sessions.size(), (0, 0));
    let each = limits::FETCH_SESSIONS_PARTITIONS_MAX / 10;
    for _ in 0..10 {
        assert_ne!(open(&mut sessions, 0, of(each)), NO_SESSION);
    }
    assert_eq!(open(&mut sessions, 0, of(1)), NO_SESSION);
    assert_eq!(sessions.size(), (10, limits::FETCH_SESSIONS_PARTITIONS_MAX));
}

/// One step of a client that keeps to the protocol.
#[derive(Clone, Debug)]
struct Step {
    /// Partitions to add or to change, with their offsets.
    named: Vec<(u8, i32, i64)>,
    forgotten: Vec<(u8, i32)>,
    /// High watermarks that the answer has; 255 stands for an error, odd ones bring records.
    answers: Vec<u8>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let partition = (0_u8..3, 0_i32..3);
    let step = (
        prop::collection::vec((0_u8..3, 0_i32..3, 0_i64..100), 0..4),
        prop::collection::vec(partition, 0..3),
        prop::collection::vec(prop_oneof![0_u8..6, Just(255)], 9),
    );
    prop::collection::vec(step.prop_map(|(named, forgotten, answers)| Step { named, forgotten, answers }), 1..20)
}

/// What the naive model knows of a partition.
#[derive(Clone, Debug)]
struct ModelPartition {
    wanted: FetchPartition,
    heard: Option<i64>,
}

proptest! {
    /// A list of partitions, searched from the front, is all there is to a session.
    #[test]
    fn sessions_are_a_list_of_partitions(steps in steps()) {
        let mut sessions = FetchSessions::new(4, 9);
        let mut model = vec![ModelPartition { wanted: wanted(0, 0, 0), heard: Some(0) }];
        let id = open(&mut sessions, 0, vec![wanted(0, 0, 0)]);
        for (epoch, step) in (1..).zip(steps) {
            let mut partitions: Vec<_> = step.named.iter().map(|(t, p, offset)| wanted(*t, *p, *offset)).collect();
            let forgotten: Vec<_> = step.forgotten.iter().map(|(t, p)| (id_key(*t), *p)).collect();
            for new in &partitions {
                match model.iter_mut().find(|known| key(&known.wanted) == key(new)) {
                    Some(known) => known.wanted = new.clone(),
                    None => model.push(ModelPartition { wanted: new.clone(), heard: None }),
                }
            }
            model.retain(|known| !forgotten.contains(&key(&known.wanted)));

            let context = sessions.begin(0, request(id, epoch), &mut partitions, forgotten.into_iter());
            if model.is_empty() {
                prop_assert_eq!(context, Ok(FetchContext::Sessionless));
                prop_assert_eq!(sessions.size(), (0, 0));
                return Ok(());
            }
            let context = context.unwrap();
            let expected: Vec<_> = model.iter().map(|known| known.wanted.clone()).collect();
            prop_assert_eq!(&partitions, &expected);

            let news: Vec<_> = step.answers.iter().take(model.len()).map(|answer| match answer {
                255 => News { error: ErrorCode::NOT_LEADER_OR_FOLLOWER, ..quiet(-1) },
                answer => News { has_records: answer % 2 == 1, ..quiet(i64::from(*answer)) },
            }).collect();
            let mut send = vec![true; news.len()];
            prop_assert_eq!(sessions.finish(0, &context, &partitions, &news, &mut send), Ok(id));
            let mut with_records = BTreeSet::new();
            for ((known, news), sent) in model.iter_mut().zip(&news).zip(&send) {
                let is_news = !news.error.is_none() || news.has_records || known.heard != Some(news.high_watermark);
                prop_assert_eq!(*sent, is_news, "{:?} {:?}", known, news);
                known.heard = news.error.is_none().then_some(news.high_watermark);
                if news.has_records {
                    with_records.insert(key(&known.wanted));
                }
            }
            let (last, first): (Vec<_>, Vec<_>) =
                model.into_iter().partition(|known| with_records.contains(&key(&known.wanted)));
            model = first.into_iter().chain(last).collect();
            prop_assert_eq!(sessions.size(), (1, model.len()));
        }
    }
}
