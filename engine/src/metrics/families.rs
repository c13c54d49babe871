//! The page: every family with its name, its meaning and its samples.
//!
//! What Kafka has keeps the names that its brokers have under the usual rules of the JMX exporter, and what kafka_exporter
//! has keeps that one's, since dashboards and alerts are written for these; what is ours begins with `corelog_`. The
//! encoding is the library's. The page can be read both as OpenMetrics 1.0 and as Prometheus's text format 0.0.4.
//!
//! Where a shard has no place for something in Kafka's terms it stands for one of its network processors.

mod groups;
mod kafka;
mod shards;

use std::fmt::Error;

use corelog_shard::metrics::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::panel::Phase;
use super::report::Page;

/// Writes the page.
pub(super) fn encode(page: Page) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(page));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a string takes everything");
    text
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Families(encoder);
        self.encode_process(&mut out)?;
        kafka::encode(self, &mut out)?;
        groups::encode(self, &mut out)?;
        shards::encode(self, &mut out)
    }
}

impl Page {
    fn encode_process(&self, out: &mut Families<'_>) -> Result<(), Error> {
        let phase = |phase: Phase| u64::from(self.phase == phase);
        let mut family = out.gauge("corelog_phase", "What the broker does: 1 for the one of these that it is at.")?;
        family.sample(&[("phase", "recovering")], phase(Phase::Recovering))?;
        family.sample(&[("phase", "serving")], phase(Phase::Serving))?;
        family.sample(&[("phase", "stopping")], phase(Phase::Stopping))?;
        let process = &self.process;
        if let Some(seconds) = process.cpu_seconds {
            out.counter("process_cpu_seconds", "CPU time of the process, kernel workers of its rings left out.")?
                .real(&[], seconds)?;
        }
        for (name, help, value) in [
            ("process_resident_memory_bytes", "Resident memory.", process.resident_bytes),
            ("process_virtual_memory_bytes", "Address space.", process.virtual_bytes),
            ("process_open_fds", "Open descriptors.", process.open_fds),
            ("process_max_fds", "How many descriptors may be open.", process.max_fds),
        ] {
            if let Some(value) = value {
                out.gauge(name, help)?.sample(&[], value)?;
            }
        }
        Ok(())
    }
}

/// Label names and values of a sample.
type Labels<'a> = &'a [(&'static str, &'a str)];

/// Begins one family after the other.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    /// What only rises; `_total` is added to its name.
    fn counter<'s>(&'s mut self, name: &'s str, help: &str) -> Result<Family<'s>, Error> {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        Ok(Family { encoder, is_counter: true })
    }

    /// What rises and falls.
    fn gauge<'s>(&'s mut self, name: &'s str, help: &str) -> Result<Family<'s>, Error> {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        Ok(Family { encoder, is_counter: false })
    }

    /// Times, in seconds.
    fn histogram<'s>(&'s mut self, name: &'s str, help: &str) -> Result<Times<'s>, Error> {
        Ok(Times(self.0.encode_descriptor(name, help, None, MetricType::Histogram)?))
    }
}

/// A family whose samples are written one by one.
struct Family<'a> {
    encoder: MetricEncoder<'a>,
    is_counter: bool,
}

impl Family<'_> {
    fn sample(&mut self, labels: Labels<'_>, value: u64) -> Result<(), Error> {
        self.with(labels, |encoder, is_counter| match is_counter {
            true => encoder.encode_counter::<NoLabelSet, u64, f64>(&value, None),
            false => encoder.encode_gauge(&value),
        })
    }

    /// An offset, which may be negative where there is none.
    fn offset(&mut self, labels: Labels<'_>, value: i64) -> Result<(), Error> {
        self.with(labels, |encoder, _| encoder.encode_gauge(&value))
    }

    fn real(&mut self, labels: Labels<'_>, value: f64) -> Result<(), Error> {
        self.with(labels, |encoder, is_counter| match is_counter {
            true => encoder.encode_counter::<NoLabelSet, f64, f64>(&value, None),
            false => encoder.encode_gauge(&value),
        })
    }

    fn with(
        &mut self,
        labels: Labels<'_>,
        encode: impl FnOnce(&mut MetricEncoder<'_>, bool) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match labels.is_empty() {
            true => encode(&mut self.encoder, self.is_counter),
            false => encode(&mut self.encoder.encode_family(&labels)?, self.is_counter),
        }
    }
}

/// A family of histograms.
struct Times<'a>(MetricEncoder<'a>);

/// Where the buckets that are shown end, as powers of two in microseconds: from 64 us to 67 s.
const SHOWN_LOG2: [u32; 14] = [6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 23, 26];

impl Times<'_> {
    fn sample(&mut self, labels: Labels<'_>, times: &Histogram) -> Result<(), Error> {
        let mut buckets = Vec::with_capacity(SHOWN_LOG2.len() + 1);
        let mut before = 0;
        for log2 in SHOWN_LOG2 {
            let below = times.below(1 << log2);
            buckets.push(((1_u64 << log2) as f64 / 1e6, below - before));
            before = below;
        }
        let count = times.count();
        buckets.push((f64::INFINITY, count - before));
        let sum = times.sum_us() as f64 / 1e6;
        self.0.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

#[cfg(test)]
mod tests;
