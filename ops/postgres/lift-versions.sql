-- After Postgres was restored to an earlier time than Kafka, with all services stopped: docs/operations.md says when and why.
-- Reads what kafka-console-consumer.sh printed of the records since that time, as docs/operations.md calls it. Lifts the
-- versions of the members that they tell of above all that the log may have, and the sequences above all ids that were
-- given out; and notes which texts were sent, so that none is sent twice.
-- psql --set ON_ERROR_STOP=1 --single-transaction --file lift-versions.sql < lost.tsv, as a superuser. It works once: a
-- second time the table public.lost is there.

CREATE TEMP TABLE line (published text, headers text, key text, value text);
\copy line FROM pstdin WITH (FORMAT csv, DELIMITER E'\t', QUOTE E'\x01')

CREATE TABLE public.lost AS
SELECT to_timestamp(substring(published FROM '[0-9]+')::bigint / 1000.0) AS published, key::bigint AS member_id,
       substring(headers FROM '(?:^|,)ce_type:([^,]*)') AS type,
       substring(headers FROM '(?:^|,)ce_sequence:([0-9]+)')::bigint AS sequence, value::jsonb AS event,
       (value::jsonb ->> 'membershipId')::uuid AS membership_id
FROM line WHERE key ~ '^[1-9][0-9]{0,15}$' AND headers ~ '(^|,)ce_type:';

-- Each with the newest membership that began since then, if one did.
CREATE TEMP TABLE lost_member AS
SELECT member_id, (array_agg(membership_id ORDER BY sequence DESC) FILTER (WHERE type = 'MemberJoined'))[1] AS membership_id
FROM public.lost GROUP BY member_id;

UPDATE member.member SET version = version + 1000000 WHERE member_id IN (SELECT member_id FROM lost_member);

-- Who is no member any more, or not yet, withdraws in the log: now, and as always once more a day later.
INSERT INTO member.tombstone (member_id, membership_id, last_version, withdrawn_at)
SELECT member_id, membership_id, 0, now() FROM lost_member
WHERE membership_id IS NOT NULL AND member_id NOT IN (SELECT member_id FROM member.member)
ON CONFLICT (member_id) DO UPDATE SET membership_id = excluded.membership_id, withdrawn_at = excluded.withdrawn_at;
UPDATE member.tombstone SET last_version = last_version + 1000000, republished_at = NULL
WHERE member_id IN (SELECT member_id FROM lost_member);
INSERT INTO member.outbox (ce_id, type, topic, key, sequence, membership_id, payload, actor)
SELECT gen_random_uuid(), 'MemberWithdrawn', 'member', member_id::text, last_version, tombstone.membership_id,
       jsonb_build_object('memberId', member_id, 'membershipId', tombstone.membership_id, 'withdrawnAt', withdrawn_at),
       'operator'
FROM member.tombstone JOIN lost_member USING (member_id)
WHERE member_id NOT IN (SELECT member_id FROM member.member);

UPDATE point.account SET version = version + 1000000
WHERE closed_at IS NULL AND member_id IN (SELECT member_id FROM lost_member);
INSERT INTO point.holder (member_id, last_version) SELECT member_id, 1000000 FROM lost_member
ON CONFLICT (member_id) DO UPDATE SET last_version = holder.last_version + 1000000;

SELECT setval(sequence, nextval(sequence) + 1000000)
FROM unnest(ARRAY['member.member_id_seq', pg_get_serial_sequence('point.ledger_entry', 'entry_id'),
                  pg_get_serial_sequence('point.lot', 'lot_id'),
                  pg_get_serial_sequence('message.message', 'message_id')]::regclass[]) AS sequence;

-- Welcomes that were sent. publish-again.sql tells member.
INSERT INTO message.message (message_id, member_id, membership_id, kind, phone_no, status, due_at, queued_at, finished_at, version)
OVERRIDING SYSTEM VALUE
SELECT DISTINCT ON (membership_id) (event ->> 'messageId')::bigint, member_id, membership_id, 'WELCOME', phone_no, 'SENT',
       joined_at, joined_at, (event ->> 'sentAt')::timestamptz, 1
FROM public.lost JOIN member.member USING (member_id, membership_id)
WHERE type = 'MessageSent' AND event ->> 'kind' = 'WELCOME' ORDER BY membership_id, sequence DESC
ON CONFLICT (membership_id, kind, occasion) DO UPDATE
SET status = 'SENT', reason = NULL, claim = NULL, finished_at = excluded.finished_at, version = message.version + 1
WHERE message.status IN ('QUEUED', 'FAILED');

-- Expiries that members were told of, each by the end of its day in Seoul.
INSERT INTO point.expiry_notice (membership_id, expires_at, stage, noticed_at)
SELECT membership_id,
       date_trunc('day', (event ->> 'expiresAt')::timestamptz - interval '1 microsecond', 'Asia/Seoul') + interval '24 hours',
       event ->> 'stage', (event ->> 'occurredAt')::timestamptz
FROM public.lost JOIN point.account USING (member_id, membership_id) WHERE type = 'PointsExpiring'
ON CONFLICT DO NOTHING;

-- Of the others the gateway is asked whether it has them, before they are sent.
UPDATE message.message SET may_be_accepted = true WHERE status = 'QUEUED';
