ALTER TABLE message
    -- Whether the gateway may have accepted an earlier attempt.
    ADD COLUMN may_be_accepted boolean NOT NULL DEFAULT false,
    -- When the spending guard let it through; NULL: not yet.
    ADD COLUMN admitted_at timestamptz,
    ADD COLUMN gateway_message_id text,
    -- Who asked for it to be sent again, if anybody did.
    ADD COLUMN resent_by text;

CREATE INDEX message_admitted_due_idx ON message (due_at) WHERE status = 'QUEUED' AND admitted_at IS NOT NULL;

-- How many messages were let through, for the spending guard.
CREATE TABLE send_count (
    scope text NOT NULL CHECK (scope IN ('OVERALL', 'PREFIX', 'NUMBER')),
    -- A keyed hash of the digits, so that a number cannot be read here after its member has withdrawn.
    fingerprint bytea NOT NULL,
    window_start timestamptz NOT NULL,
    count integer NOT NULL,
    PRIMARY KEY (scope, fingerprint, window_start)
);
CREATE INDEX send_count_scope_window_start_idx ON send_count (scope, window_start);

CREATE TABLE fingerprint_key (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    key bytea NOT NULL DEFAULT sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))
);
INSERT INTO fingerprint_key DEFAULT VALUES;

GRANT SELECT, INSERT, UPDATE, DELETE ON send_count TO message_app;
GRANT SELECT ON fingerprint_key TO message_app;
