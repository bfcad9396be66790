-- Spend a point, as POST /v1/accounts/{id}/spend does in the end, in the fewest possible steps: one statement.
\set n random(1, :customers)
WITH moved AS (
    UPDATE accounts SET version = version + 1, balance = balance - 1, changed_at = now()
    WHERE origin_customer_id = bench_id(:n) AND balance - held >= 1
    RETURNING id, customer_id, version, balance, held
), spent AS (
    INSERT INTO transactions (id, kind, source, reference, account_id, version, points, balance, held, explanation,
        effective_at, recorded_at)
    SELECT uuidv7(), 'spend', 'pgbench', 'POST /v1/accounts/{customer_id}/spend ' || gen_random_uuid(), id, version, 1, balance, held,
        '[]', now(), now()
    FROM moved
    RETURNING id, account_id, reference, version, balance
), both_sides AS (
    INSERT INTO entries (id, transaction_id, account_id, programme_account, amount, recorded_at)
    SELECT uuidv7(), spent.id, account_id, NULL, -1, now() FROM spent
    UNION ALL
    SELECT uuidv7(), spent.id, NULL, 'redeemed', 1, now() FROM spent
), taken AS (
    UPDATE lots SET remaining = remaining - 1 FROM spent
    WHERE lots.account_id = spent.account_id AND remaining > 0
    RETURNING lots.id AS lot_id, spent.id AS transaction_id
), allocated AS (
    INSERT INTO allocations (transaction_id, lot_id, points) SELECT transaction_id, lot_id, 1 FROM taken
), told AS (
    INSERT INTO outbox (id, type, key, subject, version, data, time, actor)
    SELECT uuidv7(), 'loyalty.points.spent.v1', customer_id, spent.account_id, spent.version,
        json_build_object('customer_id', customer_id, 'version', spent.version, 'account_id', spent.account_id, 'points', 1,
            'balance', spent.balance, 'held', 0, 'transaction_id', spent.id, 'reference', spent.reference,
            'effective_at', now(), 'hold_id', NULL)::text,
        now(), 'pgbench'
    FROM spent, moved
)
INSERT INTO idempotency_keys (principal, method, route, key, fingerprint, status, headers, body, customer_ids,
    created_at)
SELECT 'pgbench', 'POST', '/v1/accounts/{customer_id}/spend', reference, sha256(reference::bytea), 201,
    '{"content-type": "application/json"}',
    json_build_object('transaction_id', spent.id, 'points', 1, 'balance', spent.balance, 'version', spent.version)::text::bytea,
    ARRAY[customer_id, spent.account_id, spent.id], now()
FROM spent, moved;
