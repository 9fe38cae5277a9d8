-- Gives each service its schema and its two roles in the current database:
-- <service>_owner migrates the schema, <service>_app serves from it; nobody else may do anything.
-- Run as a superuser; can be repeated, and run at once in several databases of one server.
-- New roles get the password of the setting mileage.role_password ("mileage" without it); with psql:
-- PGOPTIONS='-c mileage.role_password=…' psql -f bootstrap.sql

DO $$
DECLARE
    password text := coalesce(nullif(current_setting('mileage.role_password', true), ''), 'mileage');
    service  text;
    role     text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mileage bootstrap'));

    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;

    FOREACH service IN ARRAY ARRAY['member', 'message', 'point', 'mypage'] LOOP
        FOREACH role IN ARRAY ARRAY[service || '_owner', service || '_app'] LOOP
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                BEGIN
                    EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', role, password);
                EXCEPTION
                    -- Roles belong to the server: another database's bootstrap was faster.
                    WHEN duplicate_object OR unique_violation THEN NULL;
                END;
            END IF;
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        END LOOP;

        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service, service || '_owner');
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', service);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', service, service || '_app');
    END LOOP;
END
$$;

-- Phone numbers and nicknames must not reach the server's log, where no withdrawal deletes them. Postgres writes the
-- values there itself: "DETAIL: Key (phone_no)=(…) already exists." and the parameters of a failed statement.
DO $$
DECLARE
    wanted constant text[] := ARRAY['log_error_verbosity=terse', 'log_parameter_max_length_on_error=0'];
    setting text;
    role    text;
BEGIN
    FOR role IN
        SELECT rolname
        FROM pg_roles
        LEFT JOIN pg_db_role_setting ON setrole = pg_roles.oid AND setdatabase = 0
        WHERE rolname ~ '^(member|message|point|mypage)_(owner|app)$' AND NOT coalesce(setconfig @> wanted, false)
        ORDER BY rolname
    LOOP
        -- One at a time on the whole server: two that change the same role at once would fail.
        LOCK TABLE pg_catalog.pg_db_role_setting IN SHARE ROW EXCLUSIVE MODE;
        FOREACH setting IN ARRAY wanted LOOP
            EXECUTE format('ALTER ROLE %I SET %s TO %L', role, split_part(setting, '=', 1), split_part(setting, '=', 2));
        END LOOP;
    END LOOP;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'personal data may reach the server''s log: have a superuser set % for the service roles', wanted;
END
$$;
