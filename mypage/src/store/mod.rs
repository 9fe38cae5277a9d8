//! SQL of the read model.

pub mod pages;
pub mod transactions;

use std::error::Error;

fn decoded<T, E: Error + Send + Sync + 'static>(value: Result<T, E>) -> sqlx::Result<T> {
    value.map_err(|error| sqlx::Error::Decode(Box::new(error)))
}
