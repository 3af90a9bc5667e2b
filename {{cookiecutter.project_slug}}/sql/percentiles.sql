-- How long does a prediction take, in seconds, by configuration?
-- Only rows that were executed and succeeded: a row from the cache says nothing about time.
SELECT
    experiment_version,
    COLUMNS('params_.*'),
    count(latency) AS n,
    quantile_cont(latency, 0.50) AS p50,
    quantile_cont(latency, 0.90) AS p90,
    quantile_cont(latency, 0.95) AS p95,
    quantile_cont(latency, 0.99) AS p99,
    max(latency) AS slowest
FROM predictions
WHERE coalesce(cache, '') = '' AND coalesce(error, '') = ''
GROUP BY ALL
ORDER BY experiment_version, p50;
