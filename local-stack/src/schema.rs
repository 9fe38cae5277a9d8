//! Applies the services' migrations, each as its schema's owner.

use std::path::{Path, PathBuf};

use anyhow::Context;
use sqlx::{Connection, PgConnection, migrate::Migrator};

use crate::{
    database::{Database, Role, SERVICES},
    project,
};

/// Migrates all four schemas of `database` from the migration folders of this project.
pub async fn migrate(database: &Database) -> anyhow::Result<()> {
    for service in SERVICES {
        let mut connection = PgConnection::connect(&database.url(service, Role::Owner)).await?;
        for (folder, table) in folders(&project::root(), service) {
            apply(&folder, table, &mut connection)
                .await
                .with_context(|| format!("cannot migrate {service} with {}", folder.display()))?;
        }
        connection.close().await?;
    }
    Ok(())
}

/// The folders of one service that exist, in order, and the bookkeeping table of each.
fn folders(root: &Path, service: &str) -> Vec<(PathBuf, &'static str)> {
    let shared = root.join("shared-events/migrations");
    let mut folders = vec![(shared.join("inbox"), "_sqlx_migrations_inbox")];
    if service != "mypage" {
        folders.push((shared.join("outbox"), "_sqlx_migrations_outbox"));
    }
    if ["member", "point"].contains(&service) {
        folders.push((root.join("chassis/migrations/idempotency"), "_sqlx_migrations_idempotency"));
    }
    folders.push((root.join(service).join("migrations"), "_sqlx_migrations"));
    folders.retain(|(folder, _)| folder.is_dir());
    folders
}

async fn apply(folder: &Path, table: &'static str, connection: &mut PgConnection) -> anyhow::Result<()> {
    let mut migrator = Migrator::new(folder).await?;
    migrator.dangerous_set_table_name(table);
    migrator.run(connection).await?;
    Ok(())
}
