//! What the end-to-end tests stand on: real services, a real Postgres and a real Apache Kafka, and ways to look
//! at all of them from outside.

mod client;
mod database;
mod infrastructure;
mod topics;
mod wait;
mod world;

pub use client::{Answer, Client};
pub use infrastructure::{block_on, kafka, postgres};
pub use topics::{Record, Topics};
pub use wait::eventually;
pub use world::{World, WorldOptions};
