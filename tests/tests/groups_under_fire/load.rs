//! An idempotent producer that writes all the time and remembers what was acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

/// About the time between two records.
const PAUSE: Duration = Duration::from_millis(2);

/// A producer at work.
pub(crate) struct Load {
    must_end: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(i32, i64)>>,
}

#[derive(Default)]
struct Acknowledged(Mutex<Vec<(i32, i64)>>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let message = result.as_ref().unwrap_or_else(|(error, _)| panic!("a record was not taken: {error}"));
        self.0.lock().expect("not poisoned").push((message.partition(), message.offset()));
    }
}

impl Load {
    /// Begins to write to all partitions of a topic.
    pub(crate) fn start(bootstrap: &str, topic: &str) -> Self {
        let producer: BaseProducer<Acknowledged> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", "60000")
            .set("linger.ms", "5")
            // A new partition for each batch.
            .set("sticky.partitioning.linger.ms", "5")
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "200")
            .create_with_context(Acknowledged::default())
            .expect("a good config");
        let must_end = Arc::new(AtomicBool::new(false));
        let (ends, topic) = (Arc::clone(&must_end), topic.to_owned());
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&topic).payload(b"something to consume");
                producer.send(record).map_err(|(error, _)| error).expect("room in the client's queue");
                producer.poll(PAUSE);
            }
            producer.flush(Duration::from_secs(60)).expect("all taken in time");
            std::mem::take(&mut *producer.context().0.lock().expect("not poisoned"))
        });
        Self { must_end, thread }
    }

    /// Writes no more, and gives what was acknowledged: partitions and offsets.
    pub(crate) fn finish(self) -> Vec<(i32, i64)> {
        self.must_end.store(true, Ordering::Relaxed);
        self.thread.join().expect("every record is taken")
    }
}
