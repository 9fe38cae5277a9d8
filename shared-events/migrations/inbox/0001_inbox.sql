-- What has been handled, so that a second delivery is cheap to skip. Purged after 8 days: correctness rests on
-- business keys and versions, never on this table alone.
CREATE TABLE inbox (
    ce_id uuid PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX inbox_received_at_idx ON inbox (received_at);

-- Events that could not be handled, and the later ones of the same key that wait behind them.
CREATE TABLE parked_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ce_id uuid NOT NULL UNIQUE,
    topic text NOT NULL,
    -- NULL when the record's key cannot be read: such a record parks alone.
    key text,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    headers jsonb NOT NULL,
    payload bytea NOT NULL,
    reason text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX parked_event_topic_key_idx ON parked_event (topic, key, id);

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON inbox TO %I', current_schema() || '_app');
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON parked_event TO %I', current_schema() || '_app');
END
$$;
