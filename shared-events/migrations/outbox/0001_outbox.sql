-- Events that wait to be published. Written in the transaction of the state change, deleted once the broker has them.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ce_id uuid NOT NULL,
    type text NOT NULL,
    topic text NOT NULL,
    key text NOT NULL,
    sequence bigint NOT NULL,
    membership_id uuid NOT NULL,
    payload text NOT NULL,
    traceparent text,
    actor text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
)
-- The table is a queue: mostly empty, with a lot passing through. Vacuum by rows passed, not by share of the table.
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_threshold = -1);

DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON outbox TO %I', current_schema() || '_app');
END
$$;
