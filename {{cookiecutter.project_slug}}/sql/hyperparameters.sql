-- What does each value of each parameter score, averaged over all other parameters?
-- Rows that failed count in `n` and `failed`; they have no score and are in no mean.
WITH wide AS (
    SELECT
        experiment_version,
        CAST(COLUMNS('params_.*') AS VARCHAR),
        coalesce(error, '') <> '' AS broken,
        COLUMNS(c -> c = getvariable('metric')) AS score
    FROM predictions
),
long AS (
    SELECT *
    FROM wide UNPIVOT INCLUDE NULLS (setting FOR parameter IN (COLUMNS('params_.*')))
)
SELECT
    experiment_version,
    parameter,
    setting,
    count(*) AS n,
    count(*) FILTER (broken) AS failed,
    avg(score) AS mean_score
FROM long
GROUP BY ALL
ORDER BY experiment_version, parameter, mean_score DESC;
