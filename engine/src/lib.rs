//! engine

pub mod config;
