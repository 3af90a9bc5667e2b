-- How did each configuration do in each experiment: score, failures, time and reuse?
-- Rows that failed count in `n` and `failed`; they have no score and are in no mean, which is of
-- `scored` rows. The score is the variable `metric`: --set metric=COLUMN chooses another. The best
-- comes first where `better` says which way that is, as metrics.py declares it.
SELECT
    experiment_version,
    COLUMNS('params_.*'),
    count(*) AS n,
    count(*) FILTER (coalesce(error, '') <> '') AS failed,
    count(*) FILTER (coalesce(cache, '') <> '') AS cached,
    getvariable('metric') AS metric,
    count(COLUMNS(c -> c = getvariable('metric'))) AS scored,
    avg(COLUMNS(c -> c = getvariable('metric'))) AS mean_score,
    median(latency) FILTER (coalesce(cache, '') = '' AND coalesce(error, '') = '') AS median_latency
FROM predictions
GROUP BY ALL
ORDER BY experiment_version, CASE getvariable('better') WHEN 'lower' THEN -1 ELSE 1 END * mean_score DESC;
