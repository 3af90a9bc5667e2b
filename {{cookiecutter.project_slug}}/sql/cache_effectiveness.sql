-- How much work did the cache save: rows reused, and the seconds that computing them had taken?
-- A reused row took no time of its own; what it saved is in the row of the run that computed it.
-- `saved_rows` counts those whose row is here.
WITH executed AS (
    SELECT track_id, task_key, max(function_time) AS took
    FROM predictions
    WHERE coalesce(cache, '') = ''
    GROUP BY ALL
)
SELECT
    experiment_version,
    COLUMNS('params_.*'),
    count(*) AS n,
    count(*) FILTER (coalesce(p.cache, '') <> '') AS reused,
    round(100.0 * reused / n, 1) AS reused_percent,
    sum(executed.took) AS seconds_saved,
    count(executed.took) AS saved_rows,
    string_agg(DISTINCT nullif(p.cache, '')) AS from_runs
FROM predictions AS p
LEFT JOIN executed ON executed.track_id = nullif(p.cache, '') AND executed.task_key = p.task_key
GROUP BY ALL
ORDER BY ALL;
