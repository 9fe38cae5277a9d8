//! Large books, written at once. The membership of a member is `md5(memberId)`, and its first lot has the member's id.

use sqlx::{AssertSqlSafe, PgPool};

/// Writes the books of NORMAL members, each of so many earnings of a thousand points, as the service keeps them.
pub async fn write(pool: &PgPool, accounts: i64, earnings_each: u32) -> sqlx::Result<()> {
    let books = format!(
        "SET session_replication_role = replica;
         INSERT INTO point.holder (member_id) SELECT id FROM generate_series(1, {accounts}) AS id;
         INSERT INTO point.account (membership_id, member_id, member_status, member_version, balance, version, opened_at)
         SELECT md5(member_id::text)::uuid, member_id, 'NORMAL', 1, 1000 * {earnings_each}, 0, now() FROM point.holder;
         INSERT INTO point.ledger_entry (membership_id, type, amount, balance_after, actor, occurred_at)
         SELECT membership_id, 'EARN', 1000, 1000 * number, 'bench', now()
         FROM generate_series(1, {earnings_each}) AS number, point.account
         ORDER BY number, member_id;
         INSERT INTO point.lot (membership_id, entry_id, amount, remaining, earned_at, expires_at)
         SELECT membership_id, entry_id, amount, amount, occurred_at, now() + interval '60 months'
         FROM point.ledger_entry ORDER BY entry_id;
         INSERT INTO point.lot_movement (entry_id, lot_id, amount) SELECT entry_id, lot_id, amount FROM point.lot;
         RESET session_replication_role;
         ANALYZE point.account; ANALYZE point.lot; ANALYZE point.ledger_entry; ANALYZE point.lot_movement"
    );
    sqlx::raw_sql(AssertSqlSafe(books)).execute(pool).await?;
    Ok(())
}

/// Gives the accounts that were written their members and their pages.
pub async fn write_members(pool: &PgPool) -> sqlx::Result<()> {
    let members = "
        INSERT INTO member.member (member_id, membership_id, phone_no, nickname, status, version, joined_at)
        SELECT member_id, membership_id, '010' || lpad(member_id::text, 8, '0'), 'bench', 'NORMAL', 1, now() FROM point.account;
        INSERT INTO mypage.page (member_id, member_membership_id, member_version, phone_no, nickname, member_status,
                                 point_membership_id, point_version, remain_point)
        SELECT member_id, membership_id, 1, phone_no, nickname, status, membership_id, account.version, balance
        FROM point.account JOIN member.member USING (member_id, membership_id);
        SELECT setval('member.member_id_seq', max(member_id)) FROM member.member;
        ANALYZE member.member; ANALYZE mypage.page";
    sqlx::raw_sql(members).execute(pool).await?;
    Ok(())
}
