//! Load out: librdkafka's consumer on one core, all partitions assigned.

use crate::cpu::{self, Sample};
use crate::{Target, stay_on};
use clap::Args;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::Duration;

/// The command line of `corelog-perf consume`.
#[derive(Debug, Args)]
pub(crate) struct Consume {
    #[command(flatten)]
    target: Target,
    /// How many records
    #[arg(long, default_value_t = 10_000_000)]
    records: u64,
    /// Begin so many records of each partition before the end: what is still in the broker's memory; 0 for all
    #[arg(long, default_value_t = 0)]
    tail: i64,
}

impl Consume {
    /// Runs the load and prints what it cost.
    pub(crate) fn run(self) -> Result<(), String> {
        stay_on(self.target.core)?;
        let words = |error: rdkafka::error::KafkaError| error.to_string();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.target.bootstrap)
            .set("group.id", "corelog-perf")
            .set("enable.auto.commit", "false")
            .set("fetch.message.max.bytes", "4194304")
            .set("fetch.max.bytes", "52428800")
            .set("queued.min.messages", "1000000")
            .set("queued.max.messages.kbytes", "131072")
            .set("check.crcs", "false")
            .create()
            .map_err(words)?;
        let from = if self.tail > 0 { Offset::OffsetTail(self.tail) } else { Offset::Beginning };
        let mut assignment = TopicPartitionList::new();
        for partition in 0..self.target.partitions {
            assignment.add_partition_offset(&self.target.topic, partition, from).map_err(words)?;
        }
        consumer.assign(&assignment).map_err(words)?;
        let before = Sample::take(self.target.pid)?;
        let (mut records, mut bytes) = (0_u64, 0_u64);
        while records < self.records {
            match consumer.poll(Duration::from_secs(10)) {
                Some(Ok(message)) => {
                    records += 1;
                    bytes += message.payload_len() as u64;
                }
                Some(Err(error)) => return Err(words(error)),
                None => return Err(format!("only {records} of {} records came within 10 seconds", self.records)),
            }
        }
        before.until(&Sample::take(self.target.pid)?).report(records, bytes);
        let (peak, now) = cpu::resident_mb(self.target.pid)?;
        println!("resident MB         {now} (peak {peak})");
        Ok(())
    }
}
