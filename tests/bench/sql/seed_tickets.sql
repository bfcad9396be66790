INSERT INTO customers (customer_id, name, profile_version, level, level_version)
SELECT bench_id(n), 'Customer ' || n, 1, 'ordinary', 1 FROM generate_series(1, :customers) AS n;

INSERT INTO tickets (id, customer_id, origin_customer_id, kind, severity, channel, title, description, status, level, level_rank,
    severity_rank, policy_version, respond_due_at, resolve_due_at, due_at, opened_at, version)
SELECT uuidv7(), bench_id(n), bench_id(n), 'complaint', 'normal', 'web', 'It came late', 'By a week.', 'open', 'ordinary', 2,
    2, 1, now() + interval '1 day', now() + interval '3 days', now() + interval '1 day', now(), 1
FROM generate_series(1, :customers) AS n;
