-- Commands that took effect under an Idempotency-Key, and what was answered.
CREATE TABLE idempotency_key (
    -- A hash of who asked, what for, and the key.
    id bytea PRIMARY KEY,
    -- A hash of the body.
    body_hash bytea NOT NULL,
    -- What the service needs to give the answer again. No personal data.
    answer text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_key_created_at_idx ON idempotency_key (created_at);

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON idempotency_key TO %I', current_schema() || '_app');
END
$$;
