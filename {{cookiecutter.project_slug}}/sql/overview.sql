-- How did each configuration do in each experiment: score, failures, time and reuse?
-- Rows that failed count in `n` and `failed`; they have no score and are in no mean.
-- The score is the variable `metric`: --set metric=COLUMN chooses another.
SELECT
    experiment_version,
    COLUMNS('params_.*'),
    count(*) AS n,
    count(*) FILTER (coalesce(error, '') <> '') AS failed,
    count(*) FILTER (coalesce(cache, '') <> '') AS cached,
    getvariable('metric') AS metric,
    avg(COLUMNS(c -> c = getvariable('metric'))) AS mean_score,
    median(latency) FILTER (coalesce(cache, '') = '' AND coalesce(error, '') = '') AS median_latency
FROM predictions
GROUP BY ALL
ORDER BY experiment_version, mean_score DESC;
