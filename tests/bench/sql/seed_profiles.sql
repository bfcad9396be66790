INSERT INTO customers (customer_id, name, language, time_zone, region, birth_date, birth_calendar, attributes, tags, source, channel, version,
    created_at, updated_at)
SELECT bench_id(n), 'Customer ' || n, 'en-GB', 'Europe/London', 'GB', date '1970-01-01' + n % 10000,
    'solar', '{}', ARRAY['newsletter'], 'bench', 'api', 1, now(), now()
FROM generate_series(1, :customers) AS n;

INSERT INTO external_ids (source, external_id, customer_id, origin_customer_id)
SELECT 'bench', n, bench_id(n), bench_id(n) FROM generate_series(1, :customers) AS n;

INSERT INTO contact_points (kind, value, customer_id, origin_customer_id)
SELECT kind, CASE kind WHEN 'email' THEN 'c' || n || '@example.com' ELSE '+44' || 7000000000 + n END, bench_id(n), bench_id(n)
FROM generate_series(1, :customers) AS n CROSS JOIN unnest(ARRAY['email', 'phone']) AS kind;

INSERT INTO purchases (id, customer_id, origin_customer_id, source, external_id, occurred_at, recorded_at, currency, amount, version, digest)
SELECT uuidv7(), bench_id(n), bench_id(n), 'bench', n || '-' || k, now() - k * interval '30 days', now(), 'USD', 1000 + n % 5000, 1, ''
FROM generate_series(1, :customers) AS n CROSS JOIN generate_series(1, 2) AS k;

INSERT INTO timeline_entries (id, customer_id, origin_customer_id, type, occurred_at, recorded_at, title, data)
SELECT uuidv7(), bench_id(n), bench_id(n), 'purchase.recorded', now() - k * interval '30 days', now(), 'Purchase', '{"external_id": "1"}'
FROM generate_series(1, :customers) AS n CROSS JOIN generate_series(1, 2) AS k;
