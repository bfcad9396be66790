-- Make somebody known, as POST /v1/customers does in the end, in the fewest possible steps: one statement.
WITH who AS MATERIALIZED (
    SELECT uuidv7() AS customer_id, now() AS at, 'pgbench-' || gen_random_uuid() AS reference
), told AS MATERIALIZED (
    SELECT *, json_build_object('customer_id', customer_id, 'version', 1, 'name', 'Ada Lovelace', 'language', 'en-GB',
        'time_zone', NULL, 'gender', NULL, 'occupation', NULL, 'address', NULL, 'birth_date', NULL, 'birth_calendar', 'solar',
        'lunar_birth_date', NULL, 'region', NULL, 'tags', '[]'::json, 'manager', NULL, 'attributes', '{}'::json,
        'contact_points', json_build_array(json_build_object('kind', 'email', 'value', reference || '@example.com')),
        'external_ids', '[]'::json, 'source', NULL, 'channel', 'api', 'created_at', at)::text AS state
    FROM who
), reached AS (
    INSERT INTO contact_points (kind, value, customer_id, origin_customer_id)
    SELECT 'email', reference || '@example.com', customer_id, customer_id FROM who
), stored AS (
    INSERT INTO customers (customer_id, name, language, birth_calendar, tags, attributes, channel, version, created_at, updated_at)
    SELECT customer_id, 'Ada Lovelace', 'en-GB', 'solar', '{}', '{}', 'api', 1, at, at FROM who
), kept AS (
    INSERT INTO customer_versions (customer_id, version, recorded_at, actor, channel, change, state)
    SELECT customer_id, 1, at, 'pgbench', 'api', 'created', state::jsonb FROM told
), published AS (
    INSERT INTO outbox (id, type, key, subject, version, data, time, actor)
    SELECT uuidv7(), 'profiles.customer.created.v1', customer_id, customer_id, 1, state, at, 'pgbench' FROM told
), staged AS (
    INSERT INTO due (kind, ref, at, try_at, attempts) SELECT 'stage', customer_id, at, at, 0 FROM who
)
INSERT INTO idempotency_keys (principal, method, route, key, fingerprint, status, headers, body, customer_ids, created_at)
SELECT 'pgbench', 'POST', '/v1/customers', reference, sha256(reference::bytea), 201, '{"content-type": "application/json"}',
    state::bytea, ARRAY[customer_id], at
FROM told;
