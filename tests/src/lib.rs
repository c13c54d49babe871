//! What the tests of the whole broker stand on.

pub mod broker;
pub mod client;
pub mod groups;
pub mod sim;
