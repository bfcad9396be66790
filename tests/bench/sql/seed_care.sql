-- Ten thousand have their birthday on 3 March, the others on the other days, one as many as the next.
INSERT INTO addressees (origin_customer_id, customer_id, version, name, language, time_zone, tags, email, birthday,
    joined_on, joined_day)
SELECT bench_id(n), bench_id(n), 1, 'Customer ' || n, 'en', 'UTC', '[]', n || '@shop.example',
    CASE WHEN n % (:customers / 10000) = 0 THEN '03-03'
        ELSE to_char(date '2026-03-05' + (n % 362)::int, 'MM-DD') END,
    date '2020-01-01' + (n % 2000)::int, to_char(date '2020-01-01' + (n % 2000)::int, 'MM-DD')
FROM generate_series(1, :customers) AS n;

INSERT INTO permissions (origin_customer_id, customer_id, version, time_zone, profile_version)
SELECT origin_customer_id, customer_id, 0, time_zone, 1 FROM addressees;

INSERT INTO accounts (id, customer_id, origin_customer_id, version, balance, held, owed, active_at, opened_at,
    changed_at)
SELECT origin_customer_id, customer_id, origin_customer_id, 1, 0, 0, 0, now(), now(), now() FROM addressees;
