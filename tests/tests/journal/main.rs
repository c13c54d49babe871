//! The journal and the superblock on the disk that lies.

mod formats;
mod power_cut;
mod rot;
mod superblock;
mod world;
