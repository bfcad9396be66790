-- A million points each, earned at once, as one lot.
INSERT INTO accounts (id, customer_id, origin_customer_id, version, balance, held, owed, active_at, opened_at,
    changed_at)
SELECT bench_id(n), bench_id(n), bench_id(n), 2, 1000000, 0, 0, now(), now(), now() FROM generate_series(1, :customers) AS n;

INSERT INTO transactions (id, kind, source, reference, account_id, version, points, balance, held, explanation, effective_at, recorded_at)
SELECT bench_id(n), 'earn', 'bench', n, bench_id(n), 2, 1000000, 1000000, 0, '[]', now(), now() FROM generate_series(1, :customers) AS n;

INSERT INTO entries (id, transaction_id, account_id, programme_account, amount, recorded_at)
SELECT uuidv7(), bench_id(n), bench_id(n), NULL, 1000000, now() FROM generate_series(1, :customers) AS n
UNION ALL
SELECT uuidv7(), bench_id(n), NULL, 'issued', -1000000, now() FROM generate_series(1, :customers) AS n;

INSERT INTO lots (id, account_id, transaction_id, amount, remaining, earned_at)
SELECT bench_id(n), bench_id(n), bench_id(n), 1000000, 1000000, now() FROM generate_series(1, :customers) AS n;
