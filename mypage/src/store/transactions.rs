//! The latest transactions on pages in Postgres.

use std::collections::HashMap;

use shared_events::{MemberId, MembershipId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::Transaction;

/// How many a page shows.
pub const SHOWN: i64 = 20;

/// Adds transactions of memberships to their pages.
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
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes off pages what is beyond the latest transactions or of a former membership.
pub async fn prune_in_tx(tx: &mut PgConnection, members: &[MemberId]) -> sqlx::Result<()> {
    // Page by page: a join would read all transactions of all pages for those of a few.
    sqlx::query!(
        "DELETE FROM page_transaction WHERE ctid = ANY (ARRAY(
             SELECT old.ctid FROM page, LATERAL (
                 (SELECT ctid FROM page_transaction
                  WHERE member_id = page.member_id AND membership_id = page.point_membership_id
                  ORDER BY transaction_id DESC OFFSET $2)
                 UNION ALL
                 (SELECT ctid FROM page_transaction
                  WHERE member_id = page.member_id AND membership_id <> page.point_membership_id OFFSET 0)) AS old
             WHERE page.member_id = ANY ($1)))",
        &members.iter().map(|member_id| member_id.get()).collect::<Vec<_>>(),
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

/// The latest transactions of some memberships, newest first.
pub async fn latest(
    connection: &mut PgConnection,
    memberships: &[(i64, Uuid)],
) -> sqlx::Result<HashMap<i64, Vec<Transaction>>> {
    let rows = sqlx::query!(
        r#"SELECT membership.member_id AS "member_id!", transaction_id, type AS entry_type, amount, remain_point, reference,
                  occurred_at
           FROM unnest($1::bigint[], $2::uuid[]) AS membership (member_id, id),
                LATERAL (SELECT * FROM page_transaction AS own
                         WHERE own.member_id = membership.member_id AND own.membership_id = membership.id
                         ORDER BY transaction_id DESC LIMIT $3) AS latest
           ORDER BY transaction_id DESC"#,
        &memberships.iter().map(|(member_id, _)| *member_id).collect::<Vec<_>>(),
        &memberships.iter().map(|(_, membership_id)| *membership_id).collect::<Vec<_>>(),
        SHOWN,
    )
    .fetch_all(connection)
    .await?;
    let mut latest: HashMap<i64, Vec<Transaction>> = HashMap::new();
    for row in rows {
        let transaction = Transaction {
            transaction_id: row.transaction_id,
            entry_type: row.entry_type,
            amount: row.amount,
            remain_point: row.remain_point,
            reference: row.reference,
            occurred_at: row.occurred_at,
        };
        latest.entry(row.member_id).or_default().push(transaction);
    }
    Ok(latest)
}
