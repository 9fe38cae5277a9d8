//! Member: identity, status and withdrawal.

pub mod app;
pub mod config;
pub mod domain;
pub mod http;
pub mod metrics;
pub mod point_client;
pub mod policy;
pub mod store;
pub mod usecase;

/// The service as the chassis knows it.
pub const SERVICE: chassis::Service = chassis::Service {
    name: "member",
    about: "Members join, are followed from READY to NORMAL or ABNORMAL, and withdraw",
    public_port: 8081,
    internal_port: 9081,
};
