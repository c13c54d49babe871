//! Assignments: those that other clients make, too, and what holds for all of them.

use std::collections::BTreeSet;

use super::*;

fn member(id: &str, topics: &[&str]) -> Member {
    let topics = topics.iter().map(|topic| Arc::from(*topic)).collect();
    Member { id: id.to_owned(), subscription: Subscription { topics, ..Default::default() }, ..Default::default() }
}

fn counts(topics: &[(&str, i32)]) -> PartitionCounts {
    topics.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
}

/// Topics and partitions of each member, as text.
fn shown(assigned: &[Partitions]) -> Vec<String> {
    let one = |partitions: &Partitions| {
        let places: Vec<_> = partitions.iter().map(|(topic, partition)| format!("{topic}{partition}")).collect();
        places.join(" ")
    };
    assigned.iter().map(one).collect()
}

/// Every partition that somebody wants has one reader, who wants it.
fn check(members: &[Member], counts: &PartitionCounts, assigned: &[Partitions]) {
    let mut seen = BTreeSet::new();
    for (member, partitions) in members.iter().zip(assigned) {
        for (topic, partition) in partitions {
            assert!(member.subscription.topics.contains(topic) && *partition < counts[topic]);
            assert!(seen.insert((topic.clone(), *partition)), "{topic} {partition} has two readers");
        }
    }
    let is_wanted = |topic: &Arc<str>| members.iter().any(|member| member.subscription.topics.contains(topic));
    let all: usize = counts.iter().filter(|(topic, _)| is_wanted(topic)).map(|(_, count)| *count as usize).sum();
    assert_eq!(seen.len(), all);
}

/// What the members of a group have after one rebalance, and whether another follows because something was given up.
fn rebalance(members: &mut [Member], counts: &PartitionCounts, generation: i32) -> bool {
    let assigned = Assignor::CooperativeSticky.assign(members, counts);
    let mut has_given_up = false;
    for (member, assigned) in members.iter_mut().zip(assigned) {
        has_given_up |= !member.subscription.owned.is_subset(&assigned);
        (member.subscription.owned, member.subscription.generation) = (assigned, Some(generation));
    }
    has_given_up
}

/// Rebalances until nothing moves; how many partitions changed their reader.
fn settle(members: &mut [Member], counts: &PartitionCounts, generation: &mut i32) -> usize {
    let before: Vec<Partitions> = members.iter().map(|member| member.subscription.owned.clone()).collect();
    for round in 0.. {
        assert!(round < 3, "it does not settle");
        *generation += 1;
        if !rebalance(members, counts, *generation) {
            break;
        }
    }
    let assigned: Vec<Partitions> = members.iter().map(|member| member.subscription.owned.clone()).collect();
    check(members, counts, &assigned);
    before.iter().zip(&assigned).map(|(before, now)| before.difference(now).count()).sum()
}

#[test]
fn range_gives_consecutive_partitions_of_each_topic() {
    let members = [member("b", &["t", "u"]), member("a", &["t", "u"]), member("c", &["t"])];
    let topics = counts(&[("t", 7), ("u", 3)]);
    let assigned = Assignor::Range.assign(&members, &topics);
    check(&members, &topics, &assigned);
    assert_eq!(shown(&assigned), ["t3 t4 u2", "t0 t1 t2 u0 u1", "t5 t6"]);
}

#[test]
fn round_robin_gives_everything_in_turn() {
    let members = [member("a", &["t", "u"]), member("b", &["u"]), member("c", &["t", "u"])];
    let topics = counts(&[("t", 3), ("u", 4)]);
    let assigned = Assignor::RoundRobin.assign(&members, &topics);
    check(&members, &topics, &assigned);
    assert_eq!(shown(&assigned), ["t0 t2 u2", "u0 u3", "t1 u1"]);
}

#[test]
fn static_members_come_first_by_their_names() {
    let mut members = [member("a", &["t"]), member("z", &["t"]), member("y", &["t"])];
    members[1].instance_id = Some("one".to_owned());
    members[2].instance_id = Some("two".to_owned());
    assert_eq!(shown(&Assignor::Range.assign(&members, &counts(&[("t", 3)]))), ["t2", "t0", "t1"]);
}

#[test]
fn nobody_and_nothing_are_no_trouble() {
    for assignor in Assignor::ALL {
        assert!(assignor.assign(&[], &counts(&[("t", 3)])).is_empty());
        assert_eq!(assignor.assign(&[member("a", &["t"])], &counts(&[])), [Partitions::new()]);
        assert_eq!(assignor.assign(&[member("a", &[])], &counts(&[("t", 3)])), [Partitions::new()]);
        assert_eq!(assignor.name().parse(), Ok(assignor));
    }
}

#[test]
fn sticky_moves_only_what_it_must() {
    let topics = counts(&[("t", 8), ("u", 4)]);
    let mut generation = 0;
    let mut members = vec![member("a", &["t", "u"]), member("b", &["t", "u"]), member("c", &["t", "u"])];
    settle(&mut members, &topics, &mut generation);
    assert!(members.iter().all(|member| member.subscription.owned.len() == 4));
    // One more takes one from each.
    members.push(member("d", &["t", "u"]));
    assert_eq!(settle(&mut members, &topics, &mut generation), 3);
    assert!(members.iter().all(|member| member.subscription.owned.len() == 3));
    // One less loses what it had, the others nothing.
    members.remove(1);
    assert_eq!(settle(&mut members, &topics, &mut generation), 0);
    assert!(members.iter().all(|member| member.subscription.owned.len() == 4));
}

#[test]
fn what_moves_is_given_up_before_it_is_taken() {
    let topics = counts(&[("t", 4)]);
    let mut members = vec![member("a", &["t"])];
    rebalance(&mut members, &topics, 1);
    members.push(member("b", &["t"]));
    let assigned = Assignor::CooperativeSticky.assign(&members, &topics);
    assert_eq!((assigned[0].len(), assigned[1].len()), (2, 0));
    assert!(rebalance(&mut members, &topics, 2));
    let assigned = Assignor::CooperativeSticky.assign(&members, &topics);
    check(&members, &topics, &assigned);
    assert_eq!((assigned[0].len(), assigned[1].len()), (2, 2));
}

#[test]
fn of_two_who_claim_a_partition_the_later_has_it() {
    let topics = counts(&[("t", 2)]);
    let claim = |id: &str, partitions: &[i32], generation| {
        let mut member = member(id, &["t"]);
        member.subscription.owned = partitions.iter().map(|partition| (Arc::from("t"), *partition)).collect();
        member.subscription.generation = generation;
        member
    };
    let members = [claim("a", &[0], Some(3)), claim("b", &[0, 1], Some(4))];
    let assigned = Assignor::CooperativeSticky.assign(&members, &topics);
    assert_eq!(assigned[0].len(), 0, "the first one's claim is old, and what it is to get moves from the other");
    assert_eq!(assigned[1].len(), 1);
    // Nobody knows whose it is: whoever gets it claims it already.
    let members = [claim("a", &[0], Some(4)), claim("b", &[0], Some(4))];
    let assigned = Assignor::CooperativeSticky.assign(&members, &topics);
    check(&members, &topics, &assigned);
    // What is not there is nobody's; what its holder no longer wants is to be given up all the same.
    let mut members = [claim("a", &[7], Some(1)), claim("b", &[0], Some(1))];
    members[1].subscription.topics.clear();
    let assigned = Assignor::CooperativeSticky.assign(&members, &topics);
    assert_eq!(shown(&assigned), ["t1", ""]);
}

#[test]
fn different_topics_are_shared_as_evenly_as_they_can_be() {
    // Any members, any topics, from one generator.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let names = ["a", "b", "c", "d", "e"];
    for _ in 0..300 {
        let topics = counts(&names.map(|name| (name, random(9) as i32)));
        let mut members: Vec<Member> = (0..=random(6))
            .map(|id| {
                let topics: Vec<_> = names.into_iter().filter(|_| random(2) == 0).collect();
                member(&id.to_string(), &topics)
            })
            .collect();
        let mut generation = 0;
        for _ in 0..4 {
            settle(&mut members, &topics, &mut generation);
            for poor in &members {
                for rich in &members {
                    let could_give =
                        rich.subscription.owned.iter().any(|(topic, _)| poor.subscription.topics.contains(topic));
                    let (more, less) = (rich.subscription.owned.len(), poor.subscription.owned.len());
                    assert!(!could_give || more < less + 2, "{members:?}");
                }
            }
            assert_eq!(settle(&mut members, &topics, &mut generation), 0, "what is even stays as it is");
            let one = random(members.len() as u64) as usize;
            match random(3) {
                0 if members.len() > 1 => drop(members.remove(one)),
                1 => members.push(member(&format!("new {generation}"), &names)),
                _ => members[one].subscription = member("", &names[..2]).subscription,
            }
        }
    }
}

#[test]
fn a_thousand_members_and_many_partitions_are_no_trouble() {
    let topics = counts(&[("t", 5000), ("u", 5000)]);
    let mut members: Vec<Member> = (0..1000).map(|id| member(&format!("{id:04}"), &["t", "u"])).collect();
    let mut generation = 0;
    settle(&mut members, &topics, &mut generation);
    members.truncate(900);
    assert_eq!(settle(&mut members, &topics, &mut generation), 0);
}
