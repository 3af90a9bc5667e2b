-- Do score and latency drift while a run goes on? Means over the last 100 executed rows, shown for
-- every 100th of them.
WITH executed AS (
    SELECT
        experiment_version,
        timestamp,
        row_number() OVER run AS position,
        avg(score) OVER (run ROWS 99 PRECEDING) AS score_of_last_100,
        avg(latency) OVER (run ROWS 99 PRECEDING) AS latency_of_last_100,
        avg(failed) OVER (run ROWS 99 PRECEDING) AS failed_of_last_100
    FROM (
        SELECT
            experiment_version,
            timestamp,
            latency,
            CAST(coalesce(error, '') <> '' AS INTEGER) AS failed,
            COLUMNS(c -> c = getvariable('metric')) AS score
        FROM predictions
        WHERE coalesce(cache, '') = ''
    )
    WINDOW run AS (PARTITION BY experiment_version ORDER BY timestamp)
)
SELECT *
FROM executed
WHERE position % 100 = 0
ORDER BY experiment_version, position;
