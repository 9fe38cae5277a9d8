//! Point: balances and their ledger.

pub mod app;
pub mod config;
pub mod domain;
pub mod fault;
pub mod http;
pub mod metrics;
pub mod policy;
pub mod reconcile;
pub mod store;
pub mod usecase;

/// The service as the chassis knows it.
pub const SERVICE: chassis::Service = chassis::Service {
    name: "point",
    about: "Balances and their ledger: members earn and use points, and forfeit them when they withdraw",
    public_port: 8083,
    internal_port: 9083,
};
