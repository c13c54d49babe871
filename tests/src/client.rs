//! A raw client: frames written and read over a plain socket, so that a test decides what is sent, when, and how badly.
//!
//! Invariants: every wait has a deadline, [`WAIT_MAX`], over the whole answer; nothing is retried; an error of the
//! connection is a value, for brokers that are killed or that close what they do not like.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use corelog_wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use corelog_wire::api::fetch::{FetchPartition, FetchRequest, FetchTopic};
use corelog_wire::api::init_producer_id::InitProducerIdRequest;
use corelog_wire::api::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use corelog_wire::decoder::Decoder;
use corelog_wire::error_code::ErrorCode;
use corelog_wire::frame::encode_request;
use corelog_wire::header::{RequestHeader, ResponseHeader};
use corelog_wire::message::{Message, Request};

/// The bound of every wait.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 11;
const CREATE_TOPICS_VERSION: i16 = 5;

/// A connection to a broker.
pub struct Client {
    stream: TcpStream,
    next_id: i32,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The request that is answered.
    pub correlation_id: i32,
    /// Why nothing was appended, or none.
    pub error: ErrorCode,
    /// The offset of the first record.
    pub base_offset: i64,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Why nothing was read, or none.
    pub error: ErrorCode,
    /// The end of what can be read.
    pub high_watermark: i64,
    /// Batches.
    pub records: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens, or nobody answers in time.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, WAIT_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WAIT_MAX))?;
        Ok(Self { stream, next_id: 1 })
    }

    /// The socket itself.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes that need not be a request.
    ///
    /// # Errors
    /// The connection is gone, or takes nothing in time.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a request and returns its correlation id.
    ///
    /// # Errors
    /// As [`Self::send_bytes`].
    ///
    /// # Panics
    /// If the request cannot be written in that version.
    pub fn send<'a, R: Request<'a>>(&mut self, version: i16, request: &R) -> Result<i32> {
        let id = self.next_id;
        self.next_id += 1;
        self.send_bytes(&request_bytes(id, version, request))?;
        Ok(id)
    }

    /// Reads an answer: its frame without the length.
    ///
    /// # Errors
    /// The connection is gone, or nothing came in time.
    pub fn receive(&mut self) -> Result<Vec<u8>> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut length = [0; 4];
        self.read_exact(&mut length, deadline)?;
        let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| ErrorKind::InvalidData)?;
        let mut frame = vec![0; length];
        self.read_exact(&mut frame, deadline)?;
        Ok(frame)
    }

    /// Whether the broker has closed the connection, within the bound of every wait; answers before that are dropped.
    #[must_use]
    pub fn is_closed_by_broker(&mut self) -> bool {
        loop {
            match self.receive() {
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock),
            }
        }
    }

    fn read_exact(&mut self, mut bytes: &mut [u8], deadline: Instant) -> Result<()> {
        while !bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => bytes = &mut bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Creates a topic with settings of its own.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn create_topic(&mut self, name: &str, partitions: i32) -> Result<ErrorCode> {
        let topics = [CreatableTopic { name, num_partitions: partitions, replication_factor: 1, ..Default::default() }];
        let request = CreateTopicsRequest { topics: (&topics).into(), ..Default::default() };
        self.send(CREATE_TOPICS_VERSION, &request)?;
        let frame = self.receive()?;
        let (_, answer) = decode::<CreateTopicsRequest<'_>>(&frame, CREATE_TOPICS_VERSION)?;
        Ok(answer.topics.first().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |topic| topic.error_code))
    }

    /// Asks for a producer id; with it comes epoch 0.
    ///
    /// # Errors
    /// As [`Self::receive`]; or the broker refused.
    pub fn producer_id(&mut self) -> Result<i64> {
        self.send(1, &InitProducerIdRequest { transaction_timeout_ms: 60_000, ..Default::default() })?;
        let frame = self.receive()?;
        let (_, answer) = decode::<InitProducerIdRequest<'_>>(&frame, 1)?;
        match answer.error_code {
            ErrorCode::NONE => Ok(answer.producer_id),
            error => Err(Error::other(format!("no producer id: {error}"))),
        }
    }

    /// Sends a batch for a partition, acks=all, and returns the correlation id.
    ///
    /// # Errors
    /// As [`Self::send_bytes`].
    pub fn send_produce(&mut self, topic: &str, partition: i32, records: Option<&[u8]>) -> Result<i32> {
        let data = [PartitionProduceData { index: partition, records }];
        let topics = [TopicProduceData { name: topic, partition_data: (&data).into(), ..Default::default() }];
        let request =
            ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: (&topics).into(), ..Default::default() };
        self.send(PRODUCE_VERSION, &request)
    }

    /// Reads the answer to [`Self::send_produce`].
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn receive_produced(&mut self) -> Result<Produced> {
        let frame = self.receive()?;
        let (correlation_id, answer) = decode::<ProduceRequest<'_>>(&frame, PRODUCE_VERSION)?;
        let partition = answer.responses.first().and_then(|topic| topic.partition_responses.first());
        let partition = partition.ok_or_else(|| Error::other("an answer about no partition"))?;
        Ok(Produced { correlation_id, error: partition.error_code, base_offset: partition.base_offset })
    }

    /// Sends a batch and waits for what becomes of it.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn produce(&mut self, topic: &str, partition: i32, records: Option<&[u8]>) -> Result<Produced> {
        self.send_produce(topic, partition, records)?;
        self.receive_produced()
    }

    /// Sends a fetch of one partition and returns the correlation id.
    ///
    /// # Errors
    /// As [`Self::send_bytes`].
    pub fn send_fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        bytes_max: i32,
        wait_ms: i32,
    ) -> Result<i32> {
        let partition =
            FetchPartition { partition, fetch_offset: offset, partition_max_bytes: bytes_max, ..Default::default() };
        let partitions = [partition];
        let topics = [FetchTopic { topic, partitions: (&partitions).into(), ..Default::default() }];
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: wait_ms,
            min_bytes: 1,
            max_bytes: bytes_max,
            topics: (&topics).into(),
            ..Default::default()
        };
        self.send(FETCH_VERSION, &request)
    }

    /// Reads the answer to [`Self::send_fetch`].
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn receive_fetched(&mut self) -> Result<Fetched> {
        let frame = self.receive()?;
        let (_, answer) = decode::<FetchRequest<'_>>(&frame, FETCH_VERSION)?;
        if !answer.error_code.is_none() {
            return Ok(Fetched { error: answer.error_code, high_watermark: -1, records: Vec::new() });
        }
        let partition = answer.responses.first().and_then(|topic| topic.partitions.first());
        let partition = partition.ok_or_else(|| Error::other("an answer about no partition"))?;
        let mut records = Vec::new();
        if let Some(read) = partition.records {
            read.pieces().for_each(|piece| records.extend_from_slice(piece));
        }
        Ok(Fetched { error: partition.error_code, high_watermark: partition.high_watermark, records })
    }

    /// Fetches from one partition, without waiting for records.
    ///
    /// # Errors
    /// As [`Self::receive`].
    pub fn fetch(&mut self, topic: &str, partition: i32, offset: i64, bytes_max: i32) -> Result<Fetched> {
        self.send_fetch(topic, partition, offset, bytes_max, 0)?;
        self.receive_fetched()
    }
}

/// The bytes of a request, length included.
///
/// # Panics
/// If the request cannot be written in that version.
pub fn request_bytes<'a, R: Request<'a>>(id: i32, version: i16, request: &R) -> Vec<u8> {
    let header = RequestHeader {
        request_api_key: R::KEY.key(),
        request_api_version: version,
        correlation_id: id,
        client_id: Some("test"),
    };
    encode_request(&header, request).expect("the request fits its version").concat()
}

/// Reads an answer's frame: its correlation id and the answer.
///
/// # Errors
/// It is not an answer to such a request.
pub fn decode<'r, R: Request<'r>>(frame: &'r [u8], version: i16) -> Result<(i32, R::Response<'r>)> {
    let mut decoder = Decoder::new(frame);
    let wrong = |error| Error::new(ErrorKind::InvalidData, format!("{} answer: {error}", R::KEY));
    let header = ResponseHeader::decode(&mut decoder, R::KEY, version).map_err(wrong)?;
    let answer = R::Response::decode(&mut decoder, version).map_err(wrong)?;
    decoder.finish().map_err(wrong)?;
    Ok((header.correlation_id, answer))
}
