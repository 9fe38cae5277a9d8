//! The latest transactions on pages in Postgres.

use shared_events::{MemberId, MembershipId};
use sqlx::{PgConnection, PgExecutor};

use crate::domain::Transaction;

/// How many a page shows.
pub const SHOWN: i64 = 20;

/// Adds transactions of memberships to their pages, and takes off these what is beyond the latest ones or of a former
/// membership.
pub async fn add_in_tx(
    tx: &mut PgConnection,
    transactions: &[(MemberId, MembershipId, &Transaction)],
) -> sqlx::Result<()> {
    let members: Vec<i64> = transactions.iter().map(|(member_id, ..)| member_id.get()).collect();
    let of =
        |field: fn(&Transaction) -> i64| transactions.iter().map(|(.., own)| field(own)).collect::<Vec<_>>();
    sqlx::query!(
        "INSERT INTO page_transaction (member_id, membership_id, transaction_id, type, amount, remain_point, reference,
                                       occurred_at)
         SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[],
                              $7::text[], $8::timestamptz[])
         ON CONFLICT DO NOTHING",
        &members,
        &transactions.iter().map(|(_, membership_id, _)| membership_id.0).collect::<Vec<_>>(),
        &of(|own| own.transaction_id),
        &transactions.iter().map(|(.., own)| own.entry_type.as_str()).collect::<Vec<_>>() as &[&str],
        &of(|own| own.amount),
        &of(|own| own.remain_point),
        &transactions.iter().map(|(.., own)| own.reference.as_deref()).collect::<Vec<_>>() as &[Option<&str>],
        &transactions.iter().map(|(.., own)| own.occurred_at).collect::<Vec<_>>(),
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "DELETE FROM page_transaction old
         USING page LEFT JOIN LATERAL (
                   SELECT transaction_id FROM page_transaction
                   WHERE member_id = page.member_id AND membership_id = page.point_membership_id
                   ORDER BY transaction_id DESC OFFSET $2 LIMIT 1) AS beyond ON true
         WHERE page.member_id = ANY ($1) AND old.member_id = page.member_id
           AND (old.membership_id <> page.point_membership_id OR old.transaction_id <= beyond.transaction_id)",
        &members,
        SHOWN,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes all transactions off pages.
pub async fn clear_in_tx(tx: &mut PgConnection, members: &[MemberId]) -> sqlx::Result<()> {
    let members: Vec<i64> = members.iter().map(|member_id| member_id.get()).collect();
    sqlx::query!("DELETE FROM page_transaction WHERE member_id = ANY ($1)", &members).execute(tx).await?;
    Ok(())
}

/// The latest transactions of a membership, newest first.
pub async fn latest(
    executor: impl PgExecutor<'_>,
    member_id: MemberId,
    membership_id: MembershipId,
) -> sqlx::Result<Vec<Transaction>> {
    sqlx::query_as!(
        Transaction,
        "SELECT transaction_id, type AS entry_type, amount, remain_point, reference, occurred_at
         FROM page_transaction WHERE member_id = $1 AND membership_id = $2
         ORDER BY transaction_id DESC LIMIT $3",
        member_id.get(),
        membership_id.0,
        SHOWN,
    )
    .fetch_all(executor)
    .await
}
