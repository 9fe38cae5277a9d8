ALTER TABLE message DROP CONSTRAINT message_kind_check;
ALTER TABLE message
    ADD CONSTRAINT message_kind_check CHECK (kind IN ('WELCOME', 'EXPIRY_NOTICE')),
    -- Which one of its kind: of an expiry notice the date and the stage, of a welcome nothing.
    ADD COLUMN occasion text NOT NULL DEFAULT '',
    -- What an expiry notice tells of.
    ADD COLUMN points bigint,
    ADD COLUMN expires_at timestamptz,
    ADD CONSTRAINT message_occasion_key UNIQUE (membership_id, kind, occasion),
    ADD CHECK ((kind = 'EXPIRY_NOTICE') = (points IS NOT NULL AND expires_at IS NOT NULL));
ALTER TABLE message DROP CONSTRAINT message_membership_id_kind_key;
