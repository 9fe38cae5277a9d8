-- What expires next, as new as the balance.
ALTER TABLE page
    ADD COLUMN next_expiration_points bigint,
    ADD COLUMN next_expires_at timestamptz;

-- The latest transactions of the membership that the point half is of.
CREATE TABLE page_transaction (
    member_id bigint NOT NULL,
    membership_id uuid NOT NULL,
    transaction_id bigint NOT NULL,
    type text NOT NULL,
    amount bigint NOT NULL,
    remain_point bigint NOT NULL,
    reference text,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (member_id, transaction_id)
);

GRANT SELECT, INSERT, DELETE ON page_transaction TO mypage_app;
