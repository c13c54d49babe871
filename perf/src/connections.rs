//! Thousands of connections at once: half of them produce, half consume, each a client of its own.
//!
//! Most are corelog-client's, all on one thread; some are librdkafka's, which takes about three threads for each. Says how
//! long acknowledgements and whole ways take, what a connection costs the broker in memory, and how evenly the connections
//! are served.

mod fleet;

use crate::cpu::{self, Sample};
use crate::{Target, stay_on};
use clap::Args;
use corelog_client::client::ClientConfig;
use corelog_client::consumer::{Position, ReadEvent};
use corelog_client::producer::Refusal;
use corelog_client::wire::record_batch::NewRecord;
use fleet::{Fleet, Place};
use hdrhistogram::Histogram;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Within this everybody is connected, and at the end everything has arrived.
const SETTLED_MAX: Duration = Duration::from_secs(60);

/// The command line of `corelog-perf connections`.
#[derive(Debug, Args)]
pub(crate) struct Connections {
    #[command(flatten)]
    target: Target,
    /// Connections of the load's own clients, half of which produce
    #[arg(long, default_value_t = 2_000)]
    connections: usize,
    /// Clients of librdkafka beside them, each a producer and a consumer
    #[arg(long, default_value_t = 0)]
    librdkafka: usize,
    /// Records a second of all of the load's own producers; 0: each sends its next when it has the acknowledgement
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Bytes of each record
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// How long to measure, in seconds
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

/// What a client of the fleet does.
#[derive(Clone, Copy, Debug, Default)]
struct Role {
    partition: i32,
    is_producer: bool,
    /// When it sends next.
    due: Duration,
    is_waiting: bool,
    /// Acknowledged or seen.
    records: u64,
    /// Those while it was measured.
    measured: u64,
}

/// What was measured.
struct Times {
    acks: Histogram<u64>,
    ways: Histogram<u64>,
}

impl Connections {
    /// Runs the load and prints what it cost.
    pub(crate) fn run(self) -> Result<(), String> {
        stay_on(self.target.core)?;
        let most = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| error.to_string())?.1;
        setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|error| format!("cannot open many files: {error}"))?;
        let partitions = usize::try_from(self.target.partitions).map_err(|error| error.to_string())?;
        if self.connections < 2 * partitions || self.size < 8 {
            return Err(
                "each partition needs a producer and a consumer, and a record eight bytes for its time".to_owned()
            );
        }
        let (_, resident_before) = cpu::resident_kb(self.target.pid)?;
        let mut fleet = Fleet::new()?;
        let mut roles = self.enlist(&mut fleet)?;
        self.settle(&mut fleet)?;
        let (_, resident_idle) = cpu::resident_kb(self.target.pid)?;
        let (ends, others) = (AtomicBool::new(false), Others::default());
        let mut times = Times { acks: histogram()?, ways: histogram()? };
        let spent = std::thread::scope(|scope| {
            let (load, others, ends) = (&self, &others, &ends);
            let client = |number| scope.spawn(move || load.librdkafka(number, others, ends));
            let threads: Vec<_> = (0..self.librdkafka).map(client).collect();
            let spent = self.load(&mut fleet, &mut roles, &mut times);
            ends.store(true, Ordering::Relaxed);
            for thread in threads {
                thread.join().map_err(|_| "a client of librdkafka panicked".to_owned())??;
            }
            spent
        })?;
        let (_, resident_after) = cpu::resident_kb(self.target.pid)?;
        let of = |is_producer: bool| {
            roles.iter().filter(move |role| role.is_producer == is_producer).map(|role| role.measured)
        };
        let sent = of(true).sum::<u64>();
        spent.report(sent, sent * self.size as u64);
        println!("connections         {} own, {} of librdkafka", fleet.connections(), others.connections());
        show("ack", &times.acks);
        show("way", &times.ways);
        for (name, is_producer) in [("acknowledged", true), ("seen", false)] {
            let (least, most) = (of(is_producer).min().unwrap_or(0), of(is_producer).max().unwrap_or(0));
            let mean = of(is_producer).sum::<u64>() as f64 / of(is_producer).count().max(1) as f64;
            println!("{name:<19} {least} to {most} records of each connection, {mean:.0} in the mean");
        }
        let each = |kb: u64| kb.saturating_sub(resident_before) as f64 / self.connections as f64;
        println!(
            "KB per connection   {:.1} when connected, {:.1} under load",
            each(resident_idle),
            each(resident_after)
        );
        println!("lost connections    {}", fleet.lost);
        println!("librdkafka          {} sent, {} seen", others.sent(), others.seen());
        Ok(())
    }

    /// Half produce, half consume; each partition has as many of either.
    fn enlist(&self, fleet: &mut Fleet) -> Result<Vec<Role>, String> {
        let bootstrap = self.target.bootstrap.parse().map_err(|error| format!("{}: {error}", self.target.bootstrap))?;
        let mut roles = Vec::with_capacity(self.connections);
        for number in 0..self.connections {
            let mut config = ClientConfig::new(vec![std::clone::Clone::clone(&bootstrap)]);
            config.client_id = format!("corelog-perf-{number}");
            config.producer.linger = Duration::ZERO;
            config.producer.buffer_bytes = 1 << 20;
            let place = fleet.add(config);
            let partition = (number / 2 % self.target.partitions as usize) as i32;
            let is_producer = number % 2 == 0;
            fleet.client_mut(place).want_topic(&self.target.topic);
            if !is_producer {
                fleet.client_mut(place).assign(&self.target.topic, partition, Position::End);
            }
            roles.push(Role { partition, is_producer, ..Role::default() });
        }
        Ok(roles)
    }

    /// Waits until everybody knows the topic, and consumers where to begin.
    fn settle(&self, fleet: &mut Fleet) -> Result<(), String> {
        let mut happened = Vec::new();
        let begun = fleet.now();
        loop {
            happened.clear();
            fleet.turn(Duration::from_millis(5), &mut happened)?;
            let topic = &self.target.topic;
            let knows = |place: Place| {
                let client = fleet.client(place);
                match place.is_multiple_of(2) {
                    true => client.metadata().is_known() && client.is_connected(),
                    false => client.position(topic, (place / 2 % self.target.partitions as usize) as i32).is_some(),
                }
            };
            if (0..fleet.len()).all(knows) {
                println!("connected in        {:.2} s", (fleet.now() - begun).as_secs_f64());
                return Ok(());
            }
            if fleet.now() - begun > SETTLED_MAX {
                return Err(format!("not all are connected after {SETTLED_MAX:?}; is there such a topic?"));
            }
        }
    }

    fn load(&self, fleet: &mut Fleet, roles: &mut [Role], times: &mut Times) -> Result<cpu::Spent, String> {
        let producers = roles.len() as u64 / 2;
        // Each sends at its own time within the interval.
        let interval = match self.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(producers as f64 / rate as f64),
        };
        let begun = fleet.now();
        for (number, role) in roles.iter_mut().enumerate() {
            role.due = begun + interval.mul_f64(number as f64 / 2.0 / producers as f64);
        }
        let warm = begun + Duration::from_secs(2);
        let ends = warm + Duration::from_secs(self.seconds);
        let mut before = None;
        let mut spent = None;
        let mut happened: Vec<Place> = (0..roles.len()).collect();
        let mut payload = vec![7; self.size];
        let mut looked_at = begun;
        loop {
            let now = fleet.now();
            if before.is_none() && now >= warm {
                before = Some(Sample::take(self.target.pid)?);
            }
            if let (Some(before), None) = (&before, &spent)
                && now >= ends
            {
                spent = Some(before.until(&Sample::take(self.target.pid)?));
            }
            if spent.is_some() && self.has_arrived(roles) {
                return spent.ok_or_else(|| "it was just looked at".to_owned());
            }
            if now > ends + SETTLED_MAX {
                return Err("not everything has arrived that was acknowledged".to_owned());
            }
            let is_measured = now >= warm && now < ends;
            for place in std::mem::take(&mut happened) {
                self.take(fleet, place, &mut roles[place], times, is_measured)?;
            }
            if now < ends && (interval.is_zero() || now - looked_at >= Duration::from_micros(500)) {
                looked_at = now;
                for (place, role) in roles.iter_mut().enumerate().filter(|(_, role)| role.is_producer) {
                    if role.is_waiting || role.due > now {
                        continue;
                    }
                    // From when it was due: whoever is late is late for those behind it, too.
                    let since = if interval.is_zero() { now } else { role.due };
                    let micros = u64::try_from(since.as_micros()).map_err(|error| error.to_string())?;
                    payload[..8].copy_from_slice(&micros.to_be_bytes());
                    let record = NewRecord { timestamp: crate::now_ms()?, value: Some(&payload), ..Default::default() };
                    let client = fleet.client_mut(place);
                    match client.produce(now, &self.target.topic, Some(role.partition), &record, micros) {
                        Ok(()) => role.is_waiting = true,
                        Err(Refusal::Unknown | Refusal::Full) => continue,
                        Err(Refusal::NoPartition) => return Err("the topic has too few partitions".to_owned()),
                    }
                    role.due += interval;
                }
            }
            fleet.turn(Duration::from_millis(1), &mut happened)?;
        }
    }

    /// Takes what a client has for us.
    fn take(
        &self,
        fleet: &mut Fleet,
        place: Place,
        role: &mut Role,
        times: &mut Times,
        is_measured: bool,
    ) -> Result<(), String> {
        let now = fleet.now();
        let micros = u64::try_from(now.as_micros()).map_err(|error| error.to_string())?;
        if role.is_producer {
            while let Some(delivery) = fleet.client_mut(place).take_delivery() {
                delivery.result.map_err(|error| format!("a record was refused or lost: {error}"))?;
                role.is_waiting = false;
                for since in delivery.tokens {
                    role.records += 1;
                    role.measured += u64::from(is_measured);
                    if is_measured {
                        times.acks.saturating_record(micros.saturating_sub(since));
                    }
                }
            }
            return Ok(());
        }
        while let Some(event) = fleet.client_mut(place).take_read() {
            let fetched = match event {
                ReadEvent::Fetched(fetched) => fetched,
                ReadEvent::Failed { error, .. } => return Err(format!("a consumer failed: {error}")),
            };
            let visited = fetched.records(|record| {
                role.records += 1;
                role.measured += u64::from(is_measured);
                if let Some(since) = record.value.and_then(|value| value.first_chunk()).filter(|_| is_measured) {
                    times.ways.saturating_record(micros.saturating_sub(u64::from_be_bytes(*since)));
                }
                ControlFlow::<()>::Continue(())
            });
            // Nothing breaks off.
            let _: ControlFlow<()> = visited.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Whether nothing is under way: all is acknowledged, and everybody has seen what was.
    fn has_arrived(&self, roles: &[Role]) -> bool {
        if roles.iter().any(|role| role.is_waiting) {
            return false;
        }
        let mut acknowledged = vec![0; self.target.partitions as usize];
        for role in roles.iter().filter(|role| role.is_producer) {
            acknowledged[role.partition as usize] += role.records;
        }
        let has_seen = |role: &Role| role.records == acknowledged[role.partition as usize];
        roles.iter().filter(|role| !role.is_producer).all(has_seen)
    }

    /// One client of librdkafka: it sends to a partition of its own and reads it, ten times a second.
    fn librdkafka(&self, number: usize, others: &Others, ends: &AtomicBool) -> Result<(), String> {
        let topic = format!("{}-librdkafka", self.target.topic);
        let said = |error: rdkafka::error::KafkaError| format!("librdkafka: {error} (topic {topic})");
        let mut config = rdkafka::ClientConfig::new();
        config
            .set("bootstrap.servers", &self.target.bootstrap)
            .set("group.id", "corelog-perf")
            .set("enable.auto.commit", "false")
            .set("linger.ms", "0");
        let producer: BaseProducer = config.create().map_err(said)?;
        let consumer: BaseConsumer = config.create().map_err(said)?;
        let partition = i32::try_from(number).map_err(|error| error.to_string())?;
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&topic, partition, Offset::End).map_err(said)?;
        consumer.assign(&assignment).map_err(said)?;
        let payload = vec![7_u8; self.size];
        while !ends.load(Ordering::Relaxed) {
            let record = BaseRecord::<(), [u8]>::to(&topic).partition(partition).payload(&payload);
            producer.send(record).map_err(|(error, _)| said(error))?;
            others.sent.fetch_add(1, Ordering::Relaxed);
            producer.poll(Duration::ZERO);
            if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                message.map_err(said)?;
                others.seen.fetch_add(1, Ordering::Relaxed);
            }
        }
        producer.flush(SETTLED_MAX).map_err(said)?;
        others.clients.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// What the clients of librdkafka did.
#[derive(Default)]
struct Others {
    clients: AtomicU64,
    sent: AtomicU64,
    seen: AtomicU64,
}

impl Others {
    /// A producer and a consumer each; the latter has one connection to begin with and one to the broker it learns of.
    fn connections(&self) -> u64 {
        2 * self.clients.load(Ordering::Relaxed)
    }

    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}

fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, 600_000_000, 3).map_err(|error| error.to_string())
}

fn show(name: &str, times: &Histogram<u64>) {
    let at = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    let (p50, p99, max) = (at(0.5), at(0.99), times.max() as f64 / 1000.0);
    println!("{name} p50/p99/max ms  {p50:.2} / {p99:.2} / {max:.1}");
}
