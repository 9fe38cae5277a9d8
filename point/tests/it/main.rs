//! The point service on a real Postgres: HTTP contract, policies, forfeitures, ledger and concurrency.

mod bad_input;
mod concurrency;
mod forfeitures;
mod ledger;
mod member_changed;
mod points;
mod schema;
mod support;
