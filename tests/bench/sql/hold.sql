-- Reserve a point, as POST /v1/accounts/{id}/holds does in the end, in the fewest possible steps: one statement.
\set n random(1, :customers)
WITH moved AS (
    UPDATE accounts SET version = version + 1, held = held + 1, changed_at = now()
    WHERE origin_customer_id = bench_id(:n) AND balance - held >= 1
    RETURNING id, customer_id, origin_customer_id, version, balance, held
), placed AS (
    INSERT INTO transactions (id, kind, source, reference, account_id, version, points, balance, held, hold_id, explanation,
        effective_at, recorded_at)
    SELECT uuidv7(), 'hold', 'pgbench', 'POST /v1/accounts/{customer_id}/holds ' || gen_random_uuid(), id, version, 1, balance, held,
        uuidv7(), '[]', now(), now()
    FROM moved
    RETURNING id, account_id, reference, version, balance, held, hold_id
), reserved AS (
    INSERT INTO holds (id, customer_id, origin_customer_id, transaction_id, points, state, reference, placed_at, expires_at)
    SELECT hold_id, customer_id, origin_customer_id, placed.id, 1, 'open', NULL, now(), now() + interval '15 minutes'
    FROM placed, moved
), parts AS (
    INSERT INTO hold_parts (hold_id, account_id, points) SELECT hold_id, account_id, 1 FROM placed
), planned AS (
    INSERT INTO due (kind, ref, at, try_at, attempts)
    SELECT 'hold', hold_id, now() + interval '15 minutes', now() + interval '15 minutes', 0 FROM placed
), told AS (
    INSERT INTO outbox (id, type, key, subject, version, data, time, actor)
    SELECT uuidv7(), 'loyalty.points.held.v1', customer_id, placed.account_id, placed.version,
        json_build_object('customer_id', customer_id, 'version', placed.version, 'account_id', placed.account_id, 'points', 1,
            'balance', placed.balance, 'held', placed.held, 'transaction_id', placed.id, 'reference', placed.reference,
            'effective_at', now(), 'hold_id', placed.hold_id, 'expires_at', now() + interval '15 minutes')::text,
        now(), 'pgbench'
    FROM placed, moved
)
INSERT INTO idempotency_keys (principal, method, route, key, fingerprint, status, headers, body, customer_ids,
    created_at)
SELECT 'pgbench', 'POST', '/v1/accounts/{customer_id}/holds', reference, sha256(reference::bytea), 201,
    '{"content-type": "application/json"}',
    json_build_object('id', placed.hold_id, 'customer_id', customer_id, 'points', 1, 'state', 'open')::text::bytea,
    ARRAY[customer_id, placed.account_id, placed.hold_id], now()
FROM placed, moved;
