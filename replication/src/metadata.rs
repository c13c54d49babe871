//! Metadata as a state machine: [`record`]s in, an [`image`] that replaying them gives, the [`delta`] of each batch.
//!
//! Replay is deterministic: the same records in the same order give the same image and the same refusals everywhere.

pub mod delta;
pub mod encoding;
pub mod image;
pub mod record;
pub mod replay;
pub mod resource;
pub mod snapshot;
pub mod topic;
pub mod topic_name;

pub use delta::{MetadataChange, MetadataDelta};
pub use image::{BrokerImage, MetadataImage};
pub use record::{MetadataRecord, PartitionAssignment};
pub use replay::ApplyError;
pub use resource::{ConfigResource, QuotaEntity, QuotaLimit, QuotaName};
pub use topic::TopicImage;

#[cfg(test)]
mod tests;
