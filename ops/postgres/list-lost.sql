-- The commands that public.lost tells of and Postgres does not know, in the order in which they were carried out:
-- docs/operations.md says what to do with them. It has personal data.
-- psql --set ON_ERROR_STOP=1 --file list-lost.sql, as a superuser, after lift-versions.sql and before any is done again.

SELECT min(published) AS published, member_id, type, event
FROM public.lost
WHERE type = 'MemberJoined' AND membership_id NOT IN (SELECT membership_id FROM member.member
                                                      UNION SELECT membership_id FROM point.account)
   OR type IN ('PointsEarned', 'PointsUsed', 'PointsRestored', 'PointsAdjusted')
      AND event ->> 'entryType' IS DISTINCT FROM 'SIGNUP'
      AND NOT EXISTS (SELECT FROM point.ledger_entry WHERE entry_id = (event ->> 'transactionId')::bigint)
   OR type = 'MemberWithdrawn'
      AND NOT EXISTS (SELECT FROM point.account
                      WHERE account.membership_id = lost.membership_id AND closed_at IS NOT NULL)
GROUP BY member_id, type, event ORDER BY published, member_id;
