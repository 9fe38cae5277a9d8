//! The microservice chassis: everything a service of this system has in common with the others.
//!
//! A service hands [`run`] a [`Service`] description, a function that builds its [`App`] from its settings and the
//! [`Runtime`], and one that carries out the commands of its command line. The chassis parses the settings, starts logs and metrics, connects to Postgres, migrates, serves
//! the public and the internal listener, supervises the background tasks and shuts all of it down gracefully.

pub mod cli;
pub mod conditional;
mod context;
pub mod db;
mod descriptors;
pub mod error;
pub mod extract;
pub mod group_commit;
pub mod group_read;
pub mod group_transaction;
pub mod hal;
mod health_check;
pub mod http;
pub mod idempotency;
mod language;
mod lifecycle;
pub mod metrics;
pub mod openapi;
pub mod pace;
pub mod principal;
pub mod problem;
mod run;
mod service;
pub mod settings;
mod shutdown;
pub mod supervisor;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;
pub mod wire;

pub use context::RequestContext;
pub use language::Language;
pub use lifecycle::Lifecycle;
pub use principal::Principal;
pub use problem::{FieldError, Problem};
pub use run::{run, serve};
pub use service::{App, Runtime, Service};
pub use settings::{Settings, Validate};
pub use supervisor::{Supervisor, TaskError};
pub use trace::TraceParent;
