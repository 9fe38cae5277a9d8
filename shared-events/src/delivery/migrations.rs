//! What delivery needs in a service's schema.

use chassis::db::Migrations;
use sqlx::migrate::Migrator;

static INBOX_MIGRATOR: Migrator = sqlx::migrate!("./migrations/inbox");
static OUTBOX_MIGRATOR: Migrator = sqlx::migrate!("./migrations/outbox");

/// Inbox and parked events: for services that react to events.
pub const INBOX: Migrations = Migrations { table: "_sqlx_migrations_inbox", migrator: &INBOX_MIGRATOR };

/// Outbox: for services that publish events.
pub const OUTBOX: Migrations = Migrations { table: "_sqlx_migrations_outbox", migrator: &OUTBOX_MIGRATOR };
