//! Load in over many partitions: the same requests, each with one batch, go round a number of partitions, so that what
//! differs from one number to the next is the number alone.

use crate::cpu::{self, Sample};
use crate::{Target, stay_on};
use clap::Args;
use corelog_client::wire::api::produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData};
use corelog_client::wire::decoder::Decoder;
use corelog_client::wire::frame::encode_request;
use corelog_client::wire::header::{RequestHeader, ResponseHeader};
use corelog_client::wire::message::{Message, Request};
use corelog_client::wire::record_batch::{BatchBuilder, NewRecord};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const VERSION: i16 = 9;
/// An answer comes within this, or the run has failed.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// The command line of `corelog-perf spread`.
#[derive(Debug, Args)]
pub(crate) struct Spread {
    #[command(flatten)]
    target: Target,
    /// How many of the partitions are written to
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    active: i32,
    /// How many batches in all, one in each request
    #[arg(long, default_value_t = 200_000)]
    batches: u64,
    /// Records in each
    #[arg(long, default_value_t = 20)]
    records: usize,
    /// Bytes of each record
    #[arg(long, default_value_t = 200)]
    size: usize,
    /// Requests in flight
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    window: u64,
}

impl Spread {
    /// Runs the load and prints what it cost.
    pub(crate) fn run(self) -> Result<(), String> {
        stay_on(self.target.core)?;
        if self.active > self.target.partitions {
            return Err(format!("--active {} is more than --partitions {}", self.active, self.target.partitions));
        }
        let frames = (0..self.active).map(|partition| self.frame(partition)).collect::<Result<Vec<_>, _>>()?;
        let failed = |error: std::io::Error| format!("{}: {error}", self.target.bootstrap);
        let mut stream = TcpStream::connect(&self.target.bootstrap).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_MAX)).map_err(failed)?;
        // Once to each, so that what comes with a partition's first records does not count.
        self.send(&mut stream, &frames, frames.len() as u64)?;
        let before = Sample::take(self.target.pid)?;
        self.send(&mut stream, &frames, self.batches)?;
        let spent = before.until(&Sample::take(self.target.pid)?);
        let records = self.batches * self.records as u64;
        spent.report(records, records * self.size as u64);
        println!("CPU-us/batch broker {:.2}", spent.broker * 1e6 / self.batches as f64);
        println!("CPU-us/batch machine {:.2}  (less the load)", spent.machine_less_load * 1e6 / self.batches as f64);
        let (peak, now) = cpu::resident_mb(self.target.pid)?;
        println!("resident MB         {now} (peak {peak})");
        Ok(())
    }

    fn frame(&self, partition: i32) -> Result<Vec<u8>, String> {
        let value: Vec<u8> = (0..self.size).map(|i| (i * 31 % 251) as u8).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let timestamp = i64::try_from(now.as_millis()).map_err(|error| error.to_string())?;
        let mut builder = BatchBuilder::new();
        for _ in 0..self.records {
            builder.append(&NewRecord { timestamp, key: None, value: Some(&value), headers: &[] });
        }
        let records = builder.build();
        let data = [PartitionProduceData { index: partition, records: Some(&records) }];
        let topics =
            [TopicProduceData { name: &self.target.topic, partition_data: (&data).into(), ..Default::default() }];
        let request =
            ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data: (&topics).into(), ..Default::default() };
        let header = RequestHeader {
            request_api_key: <ProduceRequest<'_> as Request<'_>>::KEY.key(),
            request_api_version: VERSION,
            correlation_id: partition,
            client_id: Some("corelog-perf"),
        };
        Ok(encode_request(&header, &request).map_err(|error| error.to_string())?.concat())
    }

    /// Sends so many requests in turn and waits for all answers.
    fn send(&self, stream: &mut TcpStream, frames: &[Vec<u8>], count: u64) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.target.bootstrap);
        let (mut sent, mut answered) = (0, 0);
        let mut answer = Vec::new();
        while answered < count {
            while sent < count && sent - answered < self.window {
                stream.write_all(&frames[(sent % frames.len() as u64) as usize]).map_err(failed)?;
                sent += 1;
            }
            let mut length = [0; 4];
            stream.read_exact(&mut length).map_err(failed)?;
            answer.resize(u32::from_be_bytes(length) as usize, 0);
            stream.read_exact(&mut answer).map_err(failed)?;
            check(&answer)?;
            answered += 1;
        }
        Ok(())
    }
}

fn check(answer: &[u8]) -> Result<(), String> {
    let mut decoder = Decoder::new(answer);
    let key = <ProduceRequest<'_> as Request<'_>>::KEY;
    ResponseHeader::decode(&mut decoder, key, VERSION).map_err(|error| error.to_string())?;
    let response = ProduceResponse::decode(&mut decoder, VERSION).map_err(|error| error.to_string())?;
    let partitions = response.responses.iter().flat_map(|topic| topic.partition_responses.into_iter());
    match partitions.map(|partition| partition.error_code).find(|error| !error.is_none()) {
        Some(error) => Err(format!("a batch was refused: {error}; is there a topic with so many partitions?")),
        None => Ok(()),
    }
}
