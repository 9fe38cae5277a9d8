//! Runs Postgres, Apache Kafka and the four services on one machine, for `./dev up` and for tests.
//!
//! Everything started here dies with the process that started it, even on `kill -9`; throw-away data is removed
//! when its owner is dropped or, if it was killed, by the next process that uses this crate.

pub mod database;
pub mod in_process_broker;
pub mod kafka;
pub mod log_follower;
pub mod port;
pub mod port_owner;
pub mod postgres;
pub mod process;
pub mod project;
pub mod report;
pub mod schema;
pub mod scratch;
pub mod service;
pub mod services;
pub mod stack;
pub mod wait;
