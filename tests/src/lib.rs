//! What the tests of the whole house are made of.

pub mod sim;
