//! SQL of the member service.

pub mod members;
pub mod tombstones;

fn decoded<T, E: std::error::Error + Send + Sync + 'static>(result: Result<T, E>) -> sqlx::Result<T> {
    result.map_err(|error| sqlx::Error::Decode(error.into()))
}
