//! Whether what the four services say fits together, once all is quiet.

use std::collections::HashMap;

use sqlx::PgConnection;

use crate::load::{Fate, Sent};

/// Each line is something that must not be.
const VIOLATIONS: &str = "
    SELECT format('account of %s: balance %s, ledger %s', a.member_id, a.balance, coalesce(sum(e.amount), 0))
    FROM point.account a LEFT JOIN point.ledger_entry e USING (membership_id)
    GROUP BY a.membership_id HAVING a.balance <> coalesce(sum(e.amount), 0)
  UNION ALL
    SELECT format('account of %s: balance %s, lots %s', a.member_id, a.balance, coalesce(sum(l.remaining), 0))
    FROM point.account a LEFT JOIN point.lot l USING (membership_id)
    GROUP BY a.membership_id HAVING a.balance <> coalesce(sum(l.remaining), 0)
  UNION ALL
    SELECT format('lot %s: %s left, movements %s', lot_id, l.remaining, coalesce(sum(m.amount), 0))
    FROM point.lot l LEFT JOIN point.lot_movement m USING (lot_id)
    GROUP BY lot_id HAVING l.remaining <> coalesce(sum(m.amount), 0)
  UNION ALL
    SELECT format('entry %s: %s', entry_id, e.amount)
    FROM point.ledger_entry e LEFT JOIN point.lot_movement m USING (entry_id)
    GROUP BY entry_id HAVING e.amount <> coalesce(sum(m.amount), 0)
  UNION ALL
    SELECT format('entry %s: %s after it, not %s', entry_id, balance_after, running) FROM (
        SELECT *, sum(amount) OVER (PARTITION BY membership_id ORDER BY entry_id) AS running FROM point.ledger_entry) l
    WHERE balance_after <> running OR balance_after < 0
  UNION ALL
    SELECT format('member %s is %s with %s sign-up bonuses', m.member_id, m.status, count(e.entry_id))
    FROM member.member m LEFT JOIN point.ledger_entry e ON e.membership_id = m.membership_id AND e.type = 'SIGNUP'
    GROUP BY m.member_id HAVING count(e.entry_id) <> (m.status = 'NORMAL')::int OR m.status = 'READY'
  UNION ALL
    SELECT format('member %s: %s and %s, but my page has %s and %s', m.member_id, m.status, a.balance, p.member_status, p.remain_point)
    FROM member.member m
    LEFT JOIN point.account a ON a.membership_id = m.membership_id AND a.closed_at IS NULL
    LEFT JOIN mypage.page p ON p.member_membership_id = m.membership_id
    WHERE (m.status, a.balance) IS DISTINCT FROM (p.member_status, p.remain_point) OR a.balance IS NULL
  UNION ALL
    SELECT format('page %s is of nobody', p.member_id) FROM mypage.page p
    WHERE p.phone_no IS NOT NULL AND NOT EXISTS (SELECT FROM member.member m WHERE m.membership_id = p.member_membership_id)
  UNION ALL
    SELECT format('account of %s is open, and of nobody', a.member_id) FROM point.account a
    WHERE a.closed_at IS NULL AND NOT EXISTS (SELECT FROM member.member m WHERE m.membership_id = a.membership_id)
  UNION ALL
    SELECT format('message %s is %s', message_id, status) FROM message.message WHERE status = 'QUEUED'
  UNION ALL
    SELECT format('%s parked in %s', count(*), service) FROM (
        SELECT 'member' AS service FROM member.parked_event UNION ALL SELECT 'message' FROM message.parked_event
        UNION ALL SELECT 'point' FROM point.parked_event UNION ALL SELECT 'mypage' FROM mypage.parked_event) p
    GROUP BY service";

/// What is wrong: empty when the books are right, and when each command that was sent took effect once if it was
/// answered so, never if it was refused, and at most once if nobody knows.
///
/// # Panics
/// When the database cannot be asked.
pub(crate) async fn violations(connection: &mut PgConnection, sent: &[Sent]) -> Vec<String> {
    let mut violations: Vec<String> =
        sqlx::query_scalar(VIOLATIONS).fetch_all(&mut *connection).await.expect("the books");
    let booked: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT a.member_id, e.amount, count(*) FROM point.ledger_entry e JOIN point.account a USING (membership_id)
         WHERE e.type IN ('EARN', 'USE') GROUP BY 1, 2",
    )
    .fetch_all(connection)
    .await
    .expect("the ledger");
    let mut booked: HashMap<(i64, i64), i64> =
        booked.into_iter().map(|(member_id, amount, count)| ((member_id, amount), count)).collect();
    for Sent { member_id, amount, fate } in sent {
        let count = booked.remove(&(*member_id, *amount)).unwrap_or(0);
        let is_right = match fate {
            Fate::Done => count == 1,
            Fate::Refused => count == 0,
            Fate::Unknown => count <= 1,
        };
        if !is_right {
            violations.push(format!("{amount} points of {member_id} are {fate:?} and booked {count} times"));
        }
    }
    violations.extend(booked.keys().map(|entry| format!("{entry:?} was booked, but nobody asked for it")));
    violations
}
