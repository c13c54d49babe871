//! What the commands that talk to a broker have in common: where it is, how long it may take, and what is said when there
//! is none.

use crate::exit::Failure;
use clap::Args;
use corelog_client::address::Address;
use corelog_client::client::ClientConfig;
use corelog_client::driver::{Driver, Unreachable};
use corelog_wire::error_code::ErrorCode;
use std::time::Duration;

/// The address to begin with where none is said.
const BOOTSTRAP: &str = "127.0.0.1:9092";

/// How long a topic that was just created may take to be known everywhere.
const NEW_TOPIC_WAIT: Duration = Duration::from_millis(500);

/// How long a topic may take that the broker creates because it was asked for.
const CREATED_TOPIC_WAIT: Duration = Duration::from_secs(5);

/// Where the cluster is.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// A broker of the cluster, or several with commas between them; one that answers is enough
    #[arg(long, short = 'b', value_name = "HOST:PORT", env = "CORELOG_BOOTSTRAP", default_value = BOOTSTRAP,
        value_delimiter = ',', global = true)]
    bootstrap: Vec<Address>,
    /// How many seconds a request may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, global = true)]
    timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number of seconds between 0.001 and 86400".to_owned()),
    }
}

impl Connect {
    /// How long a request may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What a client of these options is like.
    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new(self.bootstrap.clone());
        config.request_timeout = self.timeout;
        config.producer.delivery_timeout = self.timeout;
        config
    }

    /// A client that has reached a broker.
    pub(crate) fn connect(&self) -> Result<Driver, Failure> {
        self.connect_with(self.config())
    }

    /// The same, with a configuration that began as [`Self::config`].
    pub(crate) fn connect_with(&self, config: ClientConfig) -> Result<Driver, Failure> {
        let mut driver = Driver::new(config);
        match driver.connect(self.timeout) {
            Ok(()) => Ok(driver),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    fn unreachable(&self, error: &Unreachable) -> Failure {
        let Unreachable(failures) = error;
        let cure = "start one with `corelog start`, or name another with --bootstrap HOST:PORT";
        let message = match failures.as_slice() {
            [] => format!("no broker answered at {} within {:?}; {cure}", self.addresses(), self.timeout),
            [(address, reason)] => format!("no broker at {address}: {reason}; {cure}"),
            several => {
                let reasons: Vec<_> = several.iter().map(|(address, reason)| format!("{address} ({reason})")).collect();
                format!("no broker at any of {}; {cure}", reasons.join(", "))
            }
        };
        Failure::new(message)
    }

    /// The addresses as they were given.
    pub(crate) fn addresses(&self) -> String {
        let addresses: Vec<_> = self.bootstrap.iter().map(ToString::to_string).collect();
        addresses.join(",")
    }
}

/// How many partitions a topic has. Waits for one that is about to be there.
pub(crate) fn partitions(driver: &mut Driver, topic: &str, may_be_created: bool) -> Result<usize, Failure> {
    let (client, _) = driver.client_mut();
    client.want_topic(topic);
    let wait = if may_be_created { CREATED_TOPIC_WAIT } else { NEW_TOPIC_WAIT };
    let found = driver.until(wait, |client| {
        let count = client.metadata().partition_count(topic);
        let error = client.metadata().topic(topic)?.error?;
        match (error, count) {
            (ErrorCode::NONE, Some(count)) => Some(Ok(count)),
            (error, _) if !error.is_none() && !error.is_retriable() => Some(Err(error)),
            _ => None,
        }
    });
    let error = match found {
        Some(Ok(count)) => return Ok(count),
        Some(Err(error)) => Some(error),
        None => driver.client().metadata().topic(topic).and_then(|topic| topic.error),
    };
    Err(Failure::new(match error {
        Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => no_such_topic(topic),
        Some(ErrorCode::INVALID_TOPIC_EXCEPTION) => {
            format!("\"{topic}\" cannot be the name of a topic: letters, digits, dots, - and _ make one, 249 at most")
        }
        Some(error) if !error.is_none() => format!("topic {topic}: the broker answers {error}"),
        _ => format!("the broker did not say in time what topic {topic} is; is it busy? --timeout gives it longer"),
    }))
}

/// What to say of a topic that is not there.
pub(crate) fn no_such_topic(topic: &str) -> String {
    format!(
        "there is no topic {topic}; `corelog topic list` shows those there are, `corelog topic create {topic}` makes it"
    )
}
