-- After Postgres was restored to an earlier time than Kafka, with all services stopped: docs/operations.md says when and why.
-- Lifts the versions of the members in public.lost above all that the log may tell of them, and the sequences above all
-- ids that were given out. public.lost has the key of each record that was published since that time, and the
-- membershipId of its newest MemberJoined among these, else NULL:
--   CREATE TABLE public.lost (member_id bigint PRIMARY KEY, membership_id uuid);
-- psql --set ON_ERROR_STOP=1 --single-transaction --file lift-versions.sql, as a superuser, once for each restore.

UPDATE member.member SET version = version + 1000000 WHERE member_id IN (SELECT member_id FROM public.lost);

-- Who had withdrawn before and is gone again withdraws in the log once more: the job of member publishes it.
UPDATE member.tombstone SET last_version = last_version + 1000000, republished_at = NULL
WHERE member_id IN (SELECT member_id FROM public.lost);

-- So does who had not joined yet.
INSERT INTO member.tombstone (member_id, membership_id, last_version, withdrawn_at)
SELECT member_id, membership_id, 1000000, now() - interval '25 hours' FROM public.lost
WHERE membership_id IS NOT NULL AND member_id NOT IN (SELECT member_id FROM member.member)
ON CONFLICT DO NOTHING;

UPDATE point.account SET version = version + 1000000
WHERE closed_at IS NULL AND member_id IN (SELECT member_id FROM public.lost);
INSERT INTO point.holder (member_id, last_version) SELECT member_id, 1000000 FROM public.lost
ON CONFLICT (member_id) DO UPDATE SET last_version = holder.last_version + 1000000;

SELECT setval(sequence, nextval(sequence) + 1000000)
FROM unnest(ARRAY['member.member_id_seq', pg_get_serial_sequence('point.ledger_entry', 'entry_id'),
                  pg_get_serial_sequence('point.lot', 'lot_id'),
                  pg_get_serial_sequence('message.message', 'message_id')]::regclass[]) AS sequence;

-- The gateway is asked whether it has them before any of these is sent again.
UPDATE message.message SET may_be_accepted = true WHERE status = 'QUEUED';
