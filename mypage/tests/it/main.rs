//! My page on a real Postgres: every interleaving of its topics, and the HTTP contract.

mod interleavings;
mod pages;
mod schema;
mod support;
