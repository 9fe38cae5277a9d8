-- Puts balances on pages right that missed the newest event of points: docs/operations.md says when.
-- psql --set ON_ERROR_STOP=1 --file mend-pages.sql, as a superuser, while the outbox of point is empty and mypage is not
-- behind. What expires next and the latest transactions stay as they were until the next event.

UPDATE mypage.page
SET point_membership_id = account.membership_id, point_version = account.version, remain_point = account.balance
FROM point.account
WHERE account.member_id = page.member_id AND closed_at IS NULL
  AND (point_membership_id IS DISTINCT FROM account.membership_id OR point_version < account.version);
