INSERT INTO customers (customer_id, first_purchase_on, last_purchase_on, frequency, monetary, currency, level, level_version, reason, thresholds_version)
SELECT bench_id(n), current_date - 60, current_date - 30, 2, 2000 + n % 5000, 'USD', 'ordinary', 1, 'bench', 1
FROM generate_series(1, :customers) AS n;
