//! Settings through librdkafka's admin client, against the real broker: they are described, changed, refused, and survive a
//! stop.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use corelog_tests::broker::Broker;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

/// The bound of every wait in here.
const WAIT_MAX: Duration = Duration::from_secs(30);

const TOPIC: &str = "settings";

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).create().expect("a good config")
}

/// Waits for `future` on this thread; librdkafka's own threads complete it.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        assert!(Instant::now() < deadline, "no answer in time");
        std::thread::park_timeout(WAIT_MAX);
    }
}

fn describe(broker: &Broker, resource: ResourceSpecifier<'_>) -> Result<ConfigResource, RDKafkaErrorCode> {
    let mut described = block_on(admin(broker).describe_configs([&resource], &AdminOptions::new())).expect("an answer");
    assert_eq!(described.len(), 1);
    described.remove(0)
}

/// Asks for a change. The binding drops the errors that librdkafka has for single resources, whether they are changed or
/// described: what came of it is to be seen in the settings. (The codes are in the tests of the handlers.)
fn alter(broker: &Broker, specifier: ResourceSpecifier<'_>, settings: &[(&str, &str)]) {
    let entries: HashMap<&str, &str> = settings.iter().copied().collect();
    let change = AlterConfig { specifier, entries };
    let results = block_on(admin(broker).alter_configs([&change], &AdminOptions::new())).expect("an answer");
    assert_eq!(results.len(), 1);
}

/// What became of records.
#[derive(Default)]
struct Outcomes(Mutex<Vec<Option<RDKafkaErrorCode>>>);

impl ClientContext for Outcomes {}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let error = result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code());
        self.0.lock().expect("nobody panicked").push(error);
    }
}

/// Sends records with values of these lengths, one after the other, and says what became of each.
fn outcomes(broker: &Broker, lengths: &[usize]) -> Vec<Option<RDKafkaErrorCode>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap()).set("message.timeout.ms", "20000");
    let producer: BaseProducer<Outcomes> = config.create_with_context(Outcomes::default()).expect("a good config");
    for length in lengths {
        producer.send(BaseRecord::<(), _>::to(TOPIC).payload(&vec![7_u8; *length])).expect("it is queued");
        producer.flush(WAIT_MAX).expect("it is answered");
    }
    producer.context().0.lock().expect("nobody panicked").clone()
}

/// The value of a topic's setting, and where it comes from.
fn setting(broker: &Broker, name: &str) -> (Option<String>, ConfigSource) {
    let described = describe(broker, ResourceSpecifier::Topic(TOPIC)).expect("described");
    let entry = described.entries.into_iter().find(|entry| entry.name == name).expect("it is listed");
    assert!(!entry.is_read_only && !entry.is_sensitive);
    (entry.value, entry.source)
}

#[test]
fn settings_are_described_changed_and_kept() {
    let mut broker = Broker::start();
    if !broker.is_ours() {
        return;
    }
    let new = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1)).set("retention.ms", "1000000");
    let created = block_on(admin(&broker).create_topics([&new], &AdminOptions::new())).expect("an answer");
    assert_eq!(created, [Ok(TOPIC.to_string())]);
    let text = |value: &str| Some(value.to_string());
    assert_eq!(setting(&broker, "retention.ms"), (text("1000000"), ConfigSource::DynamicTopic));
    assert_eq!(setting(&broker, "max.message.bytes"), (text("1048588"), ConfigSource::Default));

    let of_broker = describe(&broker, ResourceSpecifier::Broker(1)).expect("described");
    let entry = of_broker.get("num.partitions").expect("it is listed");
    assert_eq!((entry.value.as_deref(), entry.is_read_only), (Some("1"), true));
    let unknown = describe(&broker, ResourceSpecifier::Topic("none")).expect("an answer");
    assert!(unknown.entries.is_empty());

    let topic = ResourceSpecifier::Topic(TOPIC);
    alter(&broker, topic, &[("max.message.bytes", "2000")]);
    alter(&broker, topic, &[("max.message.bytes", "many")]);
    for _ in 0..2 {
        assert_eq!(setting(&broker, "max.message.bytes"), (text("2000"), ConfigSource::DynamicTopic));
        assert_eq!(setting(&broker, "retention.ms"), (text("604800000"), ConfigSource::Default));
        let status = broker.stop();
        assert!(status.success(), "{status} after SIGTERM; stderr:\n{}", broker.stderr());
        broker.start_again();
    }
}

#[test]
fn settings_of_the_broker_change_while_it_runs_and_survive() {
    let mut broker = Broker::start();
    if !broker.is_ours() {
        return;
    }
    let new = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1));
    let created = block_on(admin(&broker).create_topics([&new], &AdminOptions::new())).expect("an answer");
    assert_eq!(created, [Ok(TOPIC.to_string())]);
    let this = ResourceSpecifier::Broker(1);
    alter(&broker, this, &[("message.max.bytes", "2000"), ("log.retention.ms", "-1")]);
    for refused in ["num.partitions", "log.segment.bytes"] {
        alter(&broker, this, &[(refused, "3")]);
    }
    let text = |value: &str| Some(value.to_string());
    for _ in 0..2 {
        assert_eq!(setting(&broker, "max.message.bytes"), (text("2000"), ConfigSource::DynamicBroker));
        assert_eq!(setting(&broker, "retention.ms"), (text("-1"), ConfigSource::DynamicBroker));
        assert_eq!(outcomes(&broker, &[1000, 3000]), [None, Some(RDKafkaErrorCode::MessageSizeTooLarge)]);
        let status = broker.stop();
        assert!(status.success(), "{status} after SIGTERM; stderr:\n{}", broker.stderr());
        broker.start_again();
    }
}
