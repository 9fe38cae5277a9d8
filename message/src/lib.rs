//! Message: notifications and their delivery.

pub mod app;
pub mod config;
pub mod domain;
pub mod gateway;
pub mod http;
pub mod metrics;
pub mod policy;
pub mod queue_watch;
pub mod store;
pub mod usecase;
pub mod worker;

/// The service as the chassis knows it.
pub const SERVICE: chassis::Service = chassis::Service {
    name: "message",
    about: "Notifications: queued when somebody joins, sent through an SMS gateway",
    public_port: 8082,
    internal_port: 9082,
};
