-- Whoever books at the moment finishes first, and nobody does until the lots are there.
LOCK TABLE account IN EXCLUSIVE MODE;

ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_type_check;
ALTER TABLE ledger_entry
    ADD CONSTRAINT ledger_entry_type_check CHECK (type IN (
        'SIGNUP', 'EARN', 'EARN_CANCEL', 'USE', 'USE_CANCEL', 'EXPIRE', 'FORFEIT', 'ADJUST')),
    -- The transaction that it cancels.
    ADD COLUMN refers_to bigint REFERENCES ledger_entry;
CREATE INDEX ledger_entry_refers_to_idx ON ledger_entry (refers_to) WHERE refers_to IS NOT NULL;
-- A shop's receipt counts once for each of the two.
CREATE UNIQUE INDEX ledger_entry_reference_key ON ledger_entry (membership_id, type, reference)
    WHERE type IN ('EARN', 'USE') AND reference IS NOT NULL;

-- Points that were earned together and expire together.
CREATE TABLE lot (
    lot_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    membership_id uuid NOT NULL REFERENCES account,
    -- The entry that made it; NULL for the balance from before there were lots.
    entry_id bigint REFERENCES ledger_entry,
    amount bigint NOT NULL CHECK (amount > 0),
    remaining bigint NOT NULL CHECK (remaining BETWEEN 0 AND amount),
    earned_at timestamptz NOT NULL,
    -- From then on its points are no longer valid.
    expires_at timestamptz NOT NULL,
    -- The expired lot whose points it gives back.
    replaces bigint REFERENCES lot
)
WITH (fillfactor = 80);
CREATE INDEX lot_open_idx ON lot (membership_id, expires_at, lot_id) WHERE remaining > 0;
CREATE INDEX lot_due_idx ON lot (expires_at, lot_id) WHERE remaining > 0;

-- What each entry did to each lot. Append only, as the ledger.
CREATE TABLE lot_movement (
    entry_id bigint NOT NULL REFERENCES ledger_entry,
    lot_id bigint NOT NULL REFERENCES lot,
    amount bigint NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (entry_id, lot_id)
);

-- The version before knows no lots. As long as it may still serve, what it books makes or burns them here.
CREATE FUNCTION book_lots() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    missing bigint := -NEW.amount;
    found record;
BEGIN
    IF EXISTS (SELECT FROM lot_movement WHERE entry_id = NEW.entry_id) THEN
        RETURN NULL;
    END IF;
    IF NEW.amount > 0 THEN
        WITH made AS (
            INSERT INTO lot (membership_id, entry_id, amount, remaining, earned_at, expires_at)
            VALUES (NEW.membership_id, NEW.entry_id, NEW.amount, NEW.amount, NEW.occurred_at,
                    date_trunc('month', NEW.occurred_at AT TIME ZONE 'Asia/Seoul' + interval '61 months')
                        AT TIME ZONE 'Asia/Seoul')
            RETURNING lot_id)
        INSERT INTO lot_movement (entry_id, lot_id, amount) SELECT NEW.entry_id, lot_id, NEW.amount FROM made;
    END IF;
    FOR found IN
        SELECT lot_id, remaining FROM lot WHERE membership_id = NEW.membership_id AND remaining > 0
        ORDER BY expires_at, lot_id
    LOOP
        EXIT WHEN missing <= 0;
        UPDATE lot SET remaining = remaining - least(found.remaining, missing) WHERE lot_id = found.lot_id;
        INSERT INTO lot_movement (entry_id, lot_id, amount)
        VALUES (NEW.entry_id, found.lot_id, -least(found.remaining, missing));
        missing := missing - found.remaining;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER book_lots AFTER INSERT ON ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION book_lots();

-- What there is becomes one lot, valid for 60 months to the end of the month in Seoul.
INSERT INTO lot (membership_id, amount, remaining, earned_at, expires_at)
SELECT membership_id, balance, balance, now(),
       date_trunc('month', now() AT TIME ZONE 'Asia/Seoul' + interval '61 months') AT TIME ZONE 'Asia/Seoul'
FROM account WHERE balance > 0;

GRANT SELECT, INSERT ON lot TO point_app;
GRANT UPDATE (remaining) ON lot TO point_app;
GRANT SELECT, INSERT ON lot_movement TO point_app;
