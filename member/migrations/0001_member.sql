CREATE TABLE member (
    member_id bigint CONSTRAINT member_pkey PRIMARY KEY CHECK (member_id BETWEEN 1 AND 9007199254740991),
    membership_id uuid NOT NULL UNIQUE,
    phone_no text NOT NULL,
    nickname text NOT NULL,
    status text NOT NULL CHECK (status IN ('READY', 'NORMAL', 'ABNORMAL')),
    version bigint NOT NULL,
    joined_at timestamptz NOT NULL
);

-- READY and NORMAL members have unique numbers.
CREATE UNIQUE INDEX member_phone_no_key ON member (phone_no) WHERE status IN ('READY', 'NORMAL');

-- What is left of a withdrawn member: nothing personal, and the version to go on from when the id joins anew.
CREATE TABLE tombstone (
    member_id bigint PRIMARY KEY,
    membership_id uuid NOT NULL,
    last_version bigint NOT NULL,
    withdrawn_at timestamptz NOT NULL,
    -- Whether the id has joined anew.
    rejoined boolean NOT NULL DEFAULT false,
    -- A day later the key gets a newest record once more: MemberWithdrawn, or the member who has rejoined.
    republished_at timestamptz
);
CREATE INDEX tombstone_to_republish_idx ON tombstone (withdrawn_at) WHERE republished_at IS NULL;

-- Ids for those who do not choose one. Clients that do mostly choose small ones.
CREATE SEQUENCE member_id_seq START 1000000000 MAXVALUE 9007199254740991;

GRANT SELECT, INSERT, UPDATE, DELETE ON member TO member_app;
GRANT SELECT, INSERT, UPDATE ON tombstone TO member_app;
GRANT USAGE ON SEQUENCE member_id_seq TO member_app;
