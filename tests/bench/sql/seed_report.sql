-- Ten purchases each within two years, whose points are lots with an expiry; a third of them was spent.
INSERT INTO accounts (id, customer_id, origin_customer_id, version, balance, held, owed, active_at, opened_at,
    changed_at)
SELECT bench_id(n), bench_id(n), bench_id(n), 2, 1000, 0, 0, now(), now(), now() FROM generate_series(1, :customers) AS n;

CREATE TEMPORARY TABLE bought AS
SELECT n, bench_id(n) AS id, bench_id(1 + n % :customers) AS customer_id,
    now() - interval '730 days' + n * interval '730 days' / (10 * :customers) AS at
FROM generate_series(1, 10 * :customers) AS n;

INSERT INTO purchases (purchase_id, customer_id, origin_customer_id, occurred_at, recorded_at, amount, refunded, currency,
    lines, number, segments)
SELECT id, customer_id, customer_id, at, at, 10000, 0, 'USD', '[]', 1, '{}' FROM bought;

INSERT INTO transactions (id, kind, source, reference, account_id, version, points, balance, held, explanation, effective_at, recorded_at)
SELECT id, 'earn', 'bench', n, customer_id, 2, 100, 100, 0, '[]', at, at FROM bought;

INSERT INTO entries (id, transaction_id, account_id, programme_account, amount, recorded_at)
SELECT uuidv7(), id, side.account_id, side.programme_account, side.amount, at FROM bought
CROSS JOIN LATERAL (VALUES (customer_id, NULL, 100), (NULL, 'issued', -100)) AS side (account_id, programme_account, amount)
ORDER BY n;

INSERT INTO lots (id, account_id, transaction_id, amount, remaining, earned_at, expires_at)
SELECT id, customer_id, id, 100, CASE WHEN n % 3 = 0 THEN 0 ELSE 100 END, at, at + interval '3 years' FROM bought;
