//! What the books of each account say, to be compared.

use sqlx::PgExecutor;
use uuid::Uuid;

use crate::domain::TransactionId;

/// The books of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    /// Whose account.
    pub member_id: i64,
    /// Of which membership.
    pub membership_id: Uuid,
    /// Whether it is open.
    pub is_open: bool,
    /// What is stored as balance.
    pub balance: i64,
    /// What its ledger entries come to.
    pub entries: i64,
    /// What is left of its lots.
    pub lots: i64,
    /// How many ledger entries it has.
    pub entry_count: i64,
}

/// The books of accounts, by member and membership: those behind this one, as they were at one moment.
pub async fn page(executor: impl PgExecutor<'_>, after: (i64, Uuid), limit: i64) -> sqlx::Result<Vec<Books>> {
    sqlx::query_as!(
        Books,
        r#"SELECT member_id, membership_id, closed_at IS NULL AS "is_open!", balance,
                  entries.sum AS "entries!", lots.sum AS "lots!", entries.count AS "entry_count!"
           FROM (SELECT * FROM account WHERE (member_id, membership_id) > ($1, $2)
                 ORDER BY member_id, membership_id LIMIT $3) AS account,
                LATERAL (SELECT coalesce(sum(amount), 0)::bigint AS sum, count(*) AS count FROM ledger_entry
                         WHERE ledger_entry.membership_id = account.membership_id) AS entries,
                LATERAL (SELECT coalesce(sum(remaining), 0)::bigint AS sum FROM lot
                         WHERE lot.membership_id = account.membership_id AND remaining > 0) AS lots
           ORDER BY member_id, membership_id"#,
        after.0,
        after.1,
        limit,
    )
    .fetch_all(executor)
    .await
}

/// The balance of a member's open account.
pub async fn open_balance(executor: impl PgExecutor<'_>, member_id: i64) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("SELECT balance FROM account WHERE member_id = $1 AND closed_at IS NULL", member_id)
        .fetch_optional(executor)
        .await
}

/// The newest ledger entry there is.
pub async fn newest_entry(executor: impl PgExecutor<'_>) -> sqlx::Result<TransactionId> {
    sqlx::query_scalar!(r#"SELECT coalesce(max(entry_id), 0) AS "newest!" FROM ledger_entry"#)
        .fetch_one(executor)
        .await
}

/// Whether a member's open account had this balance after an entry behind that one.
pub async fn has_had_balance(
    executor: impl PgExecutor<'_>,
    member_id: i64,
    balance: i64,
    behind: TransactionId,
) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ledger_entry JOIN account USING (membership_id)
                          WHERE member_id = $1 AND closed_at IS NULL AND balance_after = $2 AND entry_id > $3) AS "has!""#,
        member_id,
        balance,
        behind,
    )
    .fetch_one(executor)
    .await
}

/// How many accounts there are, roughly.
pub async fn estimate(executor: impl PgExecutor<'_>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT greatest(reltuples, 0)::bigint AS "estimate!" FROM pg_class WHERE oid = 'account'::regclass"#
    )
    .fetch_one(executor)
    .await
}
