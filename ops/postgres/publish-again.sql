-- Publishes again what a service may wait for although its event is gone: after a loss of Kafka or a restore of Postgres.
-- docs/operations.md says when. Can be repeated, also beside running services: versions and business keys decide, and no
-- text is sent twice.
-- psql --set ON_ERROR_STOP=1 --file publish-again.sql, as a superuser; with --set all=true every member is published.
\if :{?all} \else \set all false \endif

-- Members whom another service has not heard of as they stand.
INSERT INTO member.outbox (ce_id, type, topic, key, sequence, membership_id, payload, actor)
SELECT gen_random_uuid(), CASE status WHEN 'READY' THEN 'MemberJoined' ELSE 'MemberStatusChanged' END, 'member',
       member_id::text, version, membership_id,
       jsonb_build_object('memberId', member_id, 'membershipId', membership_id, 'phoneNo', phone_no,
                          'nickname', nickname, 'memberStatus', status, 'joinedAt', joined_at), 'operator'
FROM member.member
WHERE :all
   OR NOT EXISTS (SELECT FROM point.account
                  WHERE account.membership_id = member.membership_id
                    AND (closed_at IS NOT NULL OR member_status = member.status))
   OR NOT EXISTS (SELECT FROM mypage.page
                  WHERE page.member_id = member.member_id AND member_membership_id = membership_id
                    AND member_version >= version)
   OR status = 'READY' AND NOT EXISTS (SELECT FROM message.message
                                       WHERE message.membership_id = member.membership_id AND kind = 'WELCOME');

-- How a welcome ended that member has not heard of.
INSERT INTO message.outbox (ce_id, type, topic, key, sequence, membership_id, payload, actor)
SELECT gen_random_uuid(), CASE message.status WHEN 'SENT' THEN 'MessageSent' ELSE 'MessageFailed' END, 'message',
       member_id::text, message.version, membership_id,
       jsonb_build_object('messageId', message_id, 'memberId', member_id, 'membershipId', membership_id, 'kind', kind,
                          'sentAt', finished_at, 'failedAt', finished_at, 'reason', coalesce(reason, '')), 'operator'
FROM message.message JOIN member.member USING (member_id, membership_id)
WHERE kind = 'WELCOME'
  AND (member.status, message.status) IN (('READY', 'SENT'), ('READY', 'FAILED'), ('ABNORMAL', 'SENT'));

\echo Withdrawals that wait for the event of their forfeiture. Repeat DELETE /members/{memberId} for each of these:
SELECT member_id FROM member.member JOIN point.account USING (member_id, membership_id) WHERE closed_at IS NOT NULL;
