//! The journal and the superblock on the disk that lies.
#![allow(clippy::unwrap_used, reason = "everything here is a test")]

mod formats;
mod power_cut;
mod rot;
mod superblock;
mod world;
