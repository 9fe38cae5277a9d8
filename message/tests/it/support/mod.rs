//! What the tests stand on.

pub mod events;
pub mod gateway;
pub mod provider;
pub mod service;
pub mod worker;

pub use gateway::StubGateway;
pub use service::Service;
pub use worker::{BUDGET, RunningWorker, worker};
