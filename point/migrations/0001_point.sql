-- What outlives the accounts of a memberId. Whatever opens or closes one of them locks this row first.
CREATE TABLE holder (
    member_id bigint PRIMARY KEY,
    -- The version of the last account that was closed: the next one goes on from it.
    last_version bigint NOT NULL DEFAULT 0,
    -- The version of the member that opened the newest account: what is not above it is of no newer membership.
    member_version bigint NOT NULL DEFAULT 0
)
WITH (fillfactor = 70);

-- One account per membership; of a memberId at most one is open.
CREATE TABLE account (
    membership_id uuid PRIMARY KEY,
    member_id bigint NOT NULL REFERENCES holder,
    -- A copy of what the member service says, and how new it is. NULL and 0 where only a forfeiture was heard of.
    member_status text CHECK (member_status IN ('READY', 'NORMAL', 'ABNORMAL')),
    member_version bigint NOT NULL,
    balance bigint NOT NULL CHECK (balance BETWEEN 0 AND 9007199254740991),
    -- Counts up per memberId, across its accounts, with every change that is published.
    version bigint NOT NULL,
    signup_granted boolean NOT NULL DEFAULT false,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    forfeited bigint CHECK (forfeited >= 0),
    CHECK ((closed_at IS NULL) = (forfeited IS NULL)),
    CHECK (closed_at IS NULL OR balance = 0)
)
WITH (fillfactor = 70);
CREATE UNIQUE INDEX account_open_key ON account (member_id) WHERE closed_at IS NULL;

-- Append only: the serving role can neither change nor delete an entry.
CREATE TABLE ledger_entry (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    membership_id uuid NOT NULL REFERENCES account,
    type text NOT NULL CHECK (type IN ('SIGNUP', 'EARN', 'USE', 'FORFEIT')),
    -- Signed: what the balance changed by.
    amount bigint NOT NULL CHECK (amount <> 0),
    balance_after bigint NOT NULL CHECK (balance_after >= 0),
    reference text,
    reason text,
    -- The id of the event that caused it, where it was one.
    cause uuid,
    actor text NOT NULL,
    occurred_at timestamptz NOT NULL
);
CREATE INDEX ledger_entry_membership_id_idx ON ledger_entry (membership_id, entry_id);
CREATE UNIQUE INDEX ledger_entry_signup_key ON ledger_entry (membership_id) WHERE type = 'SIGNUP';

GRANT SELECT, INSERT, UPDATE ON holder TO point_app;
GRANT SELECT, INSERT, UPDATE ON account TO point_app;
GRANT SELECT, INSERT ON ledger_entry TO point_app;
