//! What the tests stand on.

pub mod events;
pub mod lock;
pub mod point;
pub mod server;
pub mod service;

pub use point::StubPoint;
pub use service::{Service, applicant};
