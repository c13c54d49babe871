//! What the hosts have told, put together for one page.
//!
//! Invariants: of a host that does not answer, what it told before is kept, so that counters never fall; quantiles are of
//! the last minute of scrapes or so, not of all time; what is kept for that is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use corelog_shard::metrics::{PartitionCounts, Requests};

use super::panel::{HostFigures, Phase};
use super::process::Process;

/// Topics that are shown one by one.
const TOPICS_MAX: usize = 2_000;
/// How long ago the state is from which quantiles are counted, in microseconds.
const RECENT_US: u64 = 60_000_000;
/// How far apart such states are kept, at least.
const KEEP_US: u64 = 10_000_000;

/// All that is known of the hosts.
#[derive(Debug)]
pub(super) struct Report {
    hosts: Vec<Known>,
    /// Older states of all requests, with their times, oldest first.
    earlier: VecDeque<(u64, Requests)>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    figures: Option<Arc<HostFigures>>,
    /// It answered when it was last asked.
    responds: bool,
    /// It was asked and has not answered.
    is_asked: bool,
}

impl Report {
    /// Nothing is known of so many hosts.
    pub(super) fn new(hosts: usize) -> Self {
        Self { hosts: vec![Known::default(); hosts], earlier: VecDeque::new() }
    }

    /// All of them are asked.
    pub(super) fn asked(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.is_asked = true);
    }

    /// A host has answered.
    pub(super) fn answered(&mut self, host: usize, figures: HostFigures) {
        self.hosts[host] = Known { figures: Some(Arc::new(figures)), responds: true, is_asked: false };
    }

    /// Whether all have answered that were asked.
    pub(super) fn is_complete(&self) -> bool {
        self.hosts.iter().all(|host| !host.is_asked)
    }

    /// Nobody waits longer for those that have not answered.
    pub(super) fn give_up(&mut self) {
        for host in self.hosts.iter_mut().filter(|host| host.is_asked) {
            host.responds = false;
            host.is_asked = false;
        }
    }

    /// Those that did not answer when they were last asked.
    pub(super) fn silent(&self) -> impl Iterator<Item = usize> {
        self.hosts.iter().enumerate().filter(|(_, host)| !host.responds).map(|(host, _)| host)
    }

    /// Puts together what a page shows.
    pub(super) fn page(&mut self, phase: Phase, now_us: u64) -> Page {
        let mut requests = Requests::default();
        self.hosts.iter().flat_map(|host| &host.figures).for_each(|host| requests.add(&host.shard.requests));
        let recent = self.recent(&requests, now_us);
        let hosts = self.hosts.iter().map(|host| (host.figures.clone(), host.responds)).collect();
        let (topics, topics_left_out) = self.topics();
        Page { phase, process: Process::look(), hosts, requests, recent, topics, topics_left_out }
    }

    /// The requests of the last while.
    fn recent(&mut self, requests: &Requests, now_us: u64) -> Vec<RecentTimes> {
        // The oldest that is kept is the youngest that is old enough.
        while self.earlier.get(1).is_some_and(|(at_us, _)| now_us - at_us >= RECENT_US) {
            self.earlier.pop_front();
        }
        let earlier = self.earlier.front().map(|(_, requests)| requests);
        let since = |(api, figures): (corelog_wire::api_key::ApiKey, &corelog_shard::metrics::ApiFigures)| {
            let times = match earlier {
                Some(earlier) => figures.latency.since(&earlier.of(api).latency),
                None => figures.latency.clone(),
            };
            let quantile_us = |part| times.quantile_us(part);
            Some(RecentTimes {
                api: api.name(),
                quantiles_us: [quantile_us(0.5)?, quantile_us(0.95)?, quantile_us(0.99)?, quantile_us(0.999)?],
            })
        };
        let recent = requests.iter().filter_map(since).collect();
        if self.earlier.back().is_none_or(|(at_us, _)| now_us - at_us >= KEEP_US) {
            self.earlier.push_back((now_us, requests.clone()));
        }
        recent
    }

    /// What topics have counted on all shards, by name, and how many there was no room for.
    fn topics(&self) -> (BTreeMap<String, Topic>, u64) {
        let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
        let mut left_out = 0;
        for host in self.hosts.iter().flat_map(|host| &host.figures) {
            for figures in &host.shard.topics {
                if topics.len() >= TOPICS_MAX && !topics.contains_key(&figures.name) {
                    left_out += 1;
                    continue;
                }
                let topic = topics.entry(figures.name.clone()).or_default();
                topic.partitions += figures.partitions;
                topic.counts.add(&figures.counts);
            }
        }
        (topics, left_out)
    }
}

/// A topic on all shards.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Topic {
    /// Partitions that this node leads.
    pub(super) partitions: u64,
    /// What they have counted.
    pub(super) counts: PartitionCounts,
}

/// How long requests to an API took in the last while.
#[derive(Clone, Debug)]
pub(super) struct RecentTimes {
    /// Its name.
    pub(super) api: &'static str,
    /// At [`QUANTILES`].
    pub(super) quantiles_us: [u64; 4],
}

/// The quantiles of [`RecentTimes`].
pub(super) const QUANTILES: [&str; 4] = ["0.50", "0.95", "0.99", "0.999"];

/// What one page shows.
#[derive(Debug)]
pub(super) struct Page {
    /// Where the node is.
    pub(super) phase: Phase,
    /// The process.
    pub(super) process: Process,
    /// What each host last told, and whether it answered just now.
    pub(super) hosts: Vec<(Option<Arc<HostFigures>>, bool)>,
    /// The requests of all hosts.
    pub(super) requests: Requests,
    /// How long they took lately.
    pub(super) recent: Vec<RecentTimes>,
    /// Topics by name.
    pub(super) topics: BTreeMap<String, Topic>,
    /// Those that are not among them.
    pub(super) topics_left_out: u64,
}

impl Page {
    /// What is known of each host, with its number.
    pub(super) fn known(&self) -> impl Iterator<Item = (usize, &HostFigures)> {
        self.hosts.iter().enumerate().filter_map(|(host, (figures, _))| Some((host, &**figures.as_ref()?)))
    }
}
