-- How much work did the cache save: rows reused, and the seconds that computing them had taken?
SELECT
    experiment_version,
    COLUMNS('params_.*'),
    count(*) AS n,
    count(*) FILTER (coalesce(cache, '') <> '') AS reused,
    round(100.0 * reused / n, 1) AS reused_percent,
    sum(latency) FILTER (coalesce(cache, '') <> '') AS seconds_saved,
    string_agg(DISTINCT nullif(cache, '')) AS from_runs
FROM predictions
GROUP BY ALL
ORDER BY ALL;
