CREATE TABLE message (
    message_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    member_id bigint NOT NULL,
    membership_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('WELCOME')),
    -- Personal data: erased when the member withdraws.
    phone_no text,
    status text NOT NULL CHECK (status IN ('QUEUED', 'SENT', 'FAILED', 'CANCELLED')),
    reason text,
    attempts integer NOT NULL DEFAULT 0,
    -- A claim is a lease: it ends by itself when its owner dies.
    claim uuid,
    due_at timestamptz NOT NULL,
    queued_at timestamptz NOT NULL,
    finished_at timestamptz,
    version bigint NOT NULL DEFAULT 0,
    traceparent text,
    UNIQUE (membership_id, kind)
)
WITH (fillfactor = 70);
CREATE INDEX message_due_idx ON message (due_at) WHERE status = 'QUEUED';
CREATE INDEX message_member_id_idx ON message (member_id, message_id);

GRANT SELECT, INSERT, UPDATE ON message TO message_app;
