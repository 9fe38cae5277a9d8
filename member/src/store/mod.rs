//! SQL of the member service.

pub mod members;
pub mod tombstones;
