//! The services' tables as the superuser sees them.

use sqlx::{AssertSqlSafe, PgPool};

/// What the state of the business is, table by table, without what delivery keeps for itself.
const BUSINESS_TABLES: [&str; 11] = [
    "member.member",
    "member.tombstone",
    "message.message",
    "point.holder",
    "point.account",
    "point.ledger_entry",
    "point.lot",
    "point.lot_movement",
    "mypage.page",
    "mypage.page_transaction",
    "member.outbox",
];

/// Every row of every business table, as text, in a stable order.
pub(crate) async fn snapshot(pool: &PgPool) -> Vec<String> {
    let mut rows = Vec::new();
    for table in BUSINESS_TABLES {
        let query = format!("SELECT '{table} ' || t::text FROM {table} AS t ORDER BY 1");
        let found: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(pool).await.expect("a snapshot");
        rows.extend(found);
    }
    rows
}

/// How much is still on its way inside Postgres: unpublished events and unsent messages.
pub(crate) async fn pending(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM member.outbox) + (SELECT count(*) FROM message.outbox)
              + (SELECT count(*) FROM point.outbox) + (SELECT count(*) FROM message.message WHERE status = 'QUEUED')",
    )
    .fetch_one(pool)
    .await
}
