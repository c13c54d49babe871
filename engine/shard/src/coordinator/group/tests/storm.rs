//! A thousand members at once: the work is counted, and grows with their number, not with its square.

use super::*;

const MEMBERS: usize = 1_000;
/// How often each member may be looked at in one rebalance.
const VISITS_EACH_MAX: usize = 15;

/// Members looked at since this was asked last.
fn visits(bench: &Bench) -> usize {
    bench.group.members.visits.replace(0)
}

/// All fetch their assignments, the leader last.
fn sync_all(bench: &mut Bench, ids: &[String]) {
    let leader: String = (**bench.group.leader.as_ref().unwrap()).into();
    let followers: Vec<_> = ids.iter().filter(|id| **id != leader).map(|id| bench.sync(id, &[])).collect();
    let assignments: Vec<_> = ids.iter().map(|id| (&**id, id.as_bytes())).collect();
    bench.sync(&leader, &assignments);
    assert!(followers.iter().all(|waiter| bench.sync_answer(*waiter).error == OK));
    assert_eq!(bench.state(), GroupState::Stable);
}

/// A thousand clients that need an id first settle in one generation.
fn stormed() -> (Bench, Vec<String>) {
    let mut bench = Bench::new();
    let joins = |bench: &mut Bench| {
        let id = bench.join_now(&client().requiring_id()).member_id;
        bench.join(&client().with_id(&id))
    };
    let waiters: Vec<_> = (0..MEMBERS).map(|_| joins(&mut bench)).collect();
    bench.pass_ms(6_000);
    let ids: Vec<_> = waiters.iter().map(|waiter| String::from(&*bench.join_answer(*waiter).member_id)).collect();
    sync_all(&mut bench, &ids);
    (bench, ids)
}

#[test]
fn a_thousand_members_settle_in_one_generation() {
    let (bench, _) = stormed();
    assert_eq!((bench.group.generation, bench.group.size(), bench.log.len()), (1, MEMBERS, 1));
    assert!(visits(&bench) <= VISITS_EACH_MAX * MEMBERS);
}

#[test]
fn a_thousand_more_take_one_more_generation() {
    let (mut bench, ids) = stormed();
    visits(&bench);
    let newcomers: Vec<_> = (0..MEMBERS).map(|_| bench.join(&client())).collect();
    let rejoining: Vec<_> = ids.iter().map(|id| bench.join(&client().with_id(id))).collect();
    let waiters = rejoining.into_iter().chain(newcomers);
    let ids: Vec<_> = waiters.map(|waiter| String::from(&*bench.join_answer(waiter).member_id)).collect();
    sync_all(&mut bench, &ids);
    assert_eq!((bench.group.generation, bench.group.size()), (2, 2 * MEMBERS));
    assert!(visits(&bench) <= VISITS_EACH_MAX * 2 * MEMBERS);
}

#[test]
fn a_thousand_members_that_go_are_removed_together() {
    let (mut bench, _) = stormed();
    visits(&bench);
    bench.pass_ms(SESSION_MS);
    assert_eq!((bench.state(), bench.group.generation, bench.log.len()), (GroupState::Empty, 2, 2));
    assert!(visits(&bench) <= VISITS_EACH_MAX * MEMBERS);
    let (mut bench, ids) = stormed();
    visits(&bench);
    for id in &ids {
        assert_eq!(bench.leave(&[(id, None)]), [OK]);
    }
    assert_eq!((bench.state(), bench.group.generation), (GroupState::Empty, 2));
    assert!(visits(&bench) <= VISITS_EACH_MAX * MEMBERS);
}

#[test]
fn heartbeats_look_at_nobody_else() {
    let (mut bench, ids) = stormed();
    visits(&bench);
    for _ in 0..3 {
        bench.pass_ms(3_000);
        assert!(ids.iter().all(|id| bench.heartbeat(id) == OK));
    }
    assert_eq!(visits(&bench), 0);
}

#[test]
fn a_thousand_static_members_come_back_in_two_records() {
    let instances: Vec<&'static str> = (0..MEMBERS).map(|n| &*alloc::format!("i{n:04}").leak()).collect();
    let clients: Vec<_> = instances.iter().map(|instance| client().with_instance(instance)).collect();
    let (mut bench, _) = Bench::stable(&clients);
    bench.stores_at_once = false;
    visits(&bench);
    let waiters: Vec<_> = clients.iter().map(|client| bench.join(client)).collect();
    bench.store(Ok(()));
    bench.store(Ok(()));
    assert!(waiters.iter().all(|waiter| bench.join_answer(*waiter).error == OK));
    assert_eq!((bench.state(), bench.group.generation, bench.log.len()), (GroupState::Stable, 1, 3));
    assert!(visits(&bench) <= VISITS_EACH_MAX * MEMBERS);
}
