//! Load in: librdkafka's producer on one core, every acknowledgement awaited; at a fixed rate also how long each took.

use crate::cpu::{self, Sample};
use crate::{Target, stay_on};
use clap::Args;
use hdrhistogram::Histogram;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The command line of `corelog-perf produce`.
#[derive(Debug, Args)]
pub(crate) struct Produce {
    #[command(flatten)]
    target: Target,
    /// How many records
    #[arg(long, default_value_t = 10_000_000)]
    records: u64,
    /// Bytes of each
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Records per second; 0 for as many as go
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Bytes that librdkafka gathers into a batch
    #[arg(long, default_value_t = 65_536)]
    batch: usize,
    /// How long it waits for them, in ms
    #[arg(long, default_value_t = 5)]
    linger_ms: u64,
    /// Acknowledgements: 0, 1 or all
    #[arg(long, default_value = "all")]
    acks: String,
    /// Compression: none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "none")]
    compression: String,
}

struct Acks {
    begun: Instant,
    latency_us: Mutex<Histogram<u64>>,
    failed: AtomicU64,
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    /// Microseconds since the load began when the record was sent; 0 where nobody measures.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Self::DeliveryOpaque) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        if sent > 0 {
            let us = micros(self.begun) - sent;
            self.latency_us.lock().expect("no holder panics").saturating_record(us as u64);
        }
    }
}

impl Produce {
    /// Runs the load and prints what it cost.
    pub(crate) fn run(self) -> Result<(), String> {
        stay_on(self.target.core)?;
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3).map_err(|error| error.to_string())?;
        let acks = Acks { begun: Instant::now(), latency_us: Mutex::new(histogram), failed: AtomicU64::new(0) };
        let producer: ThreadedProducer<Acks> = ClientConfig::new()
            // At full speed a report for each record would be what limits the load. `flush` waits for every
            // acknowledgement in any case.
            .set("delivery.report.only.error", (self.rate == 0).to_string())
            .set("bootstrap.servers", &self.target.bootstrap)
            .set("acks", &self.acks)
            .set("batch.size", self.batch.to_string())
            .set("batch.num.messages", "1000000")
            .set("linger.ms", self.linger_ms.to_string())
            .set("compression.type", &self.compression)
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144")
            .create_with_context(acks)
            .map_err(|error| error.to_string())?;
        let payload: Vec<u8> = (0..self.size).map(|i| (i * 31 % 251) as u8).collect();
        self.send(&producer, &payload, self.target.partitions as u64)?;
        producer.flush(Duration::from_secs(60)).map_err(|error| error.to_string())?;
        producer.context().latency_us.lock().expect("no holder panics").reset();

        let before = Sample::take(self.target.pid)?;
        self.send(&producer, &payload, self.records)?;
        producer.flush(Duration::from_secs(120)).map_err(|error| error.to_string())?;
        let spent = before.until(&Sample::take(self.target.pid)?);

        let context = producer.context();
        let failed = context.failed.load(Ordering::Relaxed);
        spent.report(self.records, self.records * self.size as u64);
        if self.rate > 0 {
            let latency = context.latency_us.lock().expect("no holder panics");
            for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
                println!("ack {name:<6} ms       {:.2}", latency.value_at_quantile(quantile) as f64 / 1000.0);
            }
            println!("ack max    ms       {:.2}", latency.max() as f64 / 1000.0);
        }
        let (peak, now) = cpu::resident_mb(self.target.pid)?;
        println!("resident MB         {now} (peak {peak})");
        if failed > 0 {
            return Err(format!("{failed} records were refused or lost"));
        }
        Ok(())
    }

    fn send(&self, producer: &ThreadedProducer<Acks>, payload: &[u8], records: u64) -> Result<(), String> {
        let begun = Instant::now();
        for i in 0..records {
            if self.rate > 0 && i % 100 == 0 {
                let due = Duration::from_secs_f64(i as f64 / self.rate as f64);
                if let Some(early) = due.checked_sub(begun.elapsed()) {
                    std::thread::sleep(early);
                }
            }
            // Every hundredth is enough for a histogram, and costs the load less.
            let sent = if i % 100 == 0 { micros(producer.context().begun).max(1) } else { 0 };
            let partition = (i % self.target.partitions as u64) as i32;
            let mut record = BaseRecord::<(), [u8], _>::with_opaque_to(&self.target.topic, sent)
                .payload(payload)
                .partition(partition);
            while let Err((error, back)) = producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error.to_string());
                }
                record = back;
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        Ok(())
    }
}

fn micros(since: Instant) -> usize {
    usize::try_from(since.elapsed().as_micros()).unwrap_or(usize::MAX)
}
