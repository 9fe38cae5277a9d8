-- Gives each service its schema and its two roles in the current database:
-- <service>_owner migrates the schema, <service>_app serves from it; nobody else may do anything.
-- Run as a superuser; can be repeated, and run at once in several databases of one server.

DO $$
DECLARE
    service text;
    role    text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('mileage bootstrap'));

    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    REVOKE ALL ON SCHEMA public FROM PUBLIC;

    FOREACH service IN ARRAY ARRAY['member', 'message', 'point', 'mypage'] LOOP
        FOREACH role IN ARRAY ARRAY[service || '_owner', service || '_app'] LOOP
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                BEGIN
                    EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L', role, 'mileage');
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
