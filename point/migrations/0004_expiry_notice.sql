-- Which members were told of which expiry, and how long before.
CREATE TABLE expiry_notice (
    membership_id uuid NOT NULL REFERENCES account,
    expires_at timestamptz NOT NULL,
    stage text NOT NULL CHECK (stage IN ('TWO_MONTHS', 'ONE_MONTH', 'THREE_DAYS')),
    noticed_at timestamptz NOT NULL,
    PRIMARY KEY (membership_id, expires_at, stage)
);

GRANT SELECT, INSERT ON expiry_notice TO point_app;
