//! The whole system from outside: real processes, a real Postgres, a real Apache Kafka.

mod bad_input;
mod concurrency;
mod contract;
mod crashes;
mod erasure;
mod expiry;
mod faults;
mod memberships;
mod metrics;
mod notifications;
mod openapi;
mod outages;
mod parked;
mod poison;
mod reconcile;
mod redeploy;
mod relay;
mod replay;
mod restore;
mod scaling;
mod start;
mod withdrawal_faults;
