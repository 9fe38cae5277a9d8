//! My page: a CQRS read model of phone number, nickname and balance, fed by the events of member and point.

pub mod app;
pub mod config;
pub mod domain;
pub mod http;
pub mod policy;
pub mod store;

/// The service as the chassis knows it.
pub const SERVICE: chassis::Service = chassis::Service {
    name: "mypage",
    about: "My page: a read model of phone number, nickname and balance",
    public_port: 8084,
    internal_port: 9084,
};
