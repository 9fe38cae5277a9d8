//! What a service is to the chassis: its description, what it is given, and what it builds.

use std::sync::Arc;

use axum::Router;
use sqlx::PgPool;

use crate::db::Migrations;
use crate::openapi::Document;
use crate::{Lifecycle, Settings, Supervisor};

/// The description of a service, the same in every deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// The name: of the program, of its Postgres schema, in logs and metrics.
    pub name: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// Default port of the public listener.
    pub public_port: u16,
    /// Default port of the internal listener.
    pub internal_port: u16,
}

/// What the chassis gives a service to build itself from. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// The description of the service.
    pub service: Service,
    /// The chassis settings; the service's own are an argument of its build function.
    pub settings: Arc<Settings>,
    /// Connections to Postgres as the app role, with the service's schema as `search_path`. It connects lazily.
    pub pool: PgPool,
    /// Runs the background tasks once the migrations are done.
    pub supervisor: Supervisor,
    /// Starting, started or draining.
    pub lifecycle: Lifecycle,
}

/// What a service builds: its routes and its migrations. The chassis adds health, metrics and the HTTP layers.
#[derive(Debug, Default)]
pub struct App {
    /// Routes of the public listener.
    pub public: Router,
    /// What describes them.
    pub document: Option<Document>,
    /// Routes of the internal listener, which is never routed from outside.
    pub internal: Router,
    /// Migration sets, run in this order.
    pub migrators: Vec<Migrations>,
}
