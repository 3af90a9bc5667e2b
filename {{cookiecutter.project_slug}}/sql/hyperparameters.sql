-- What does each value of each parameter score, averaged over all other parameters?
-- Rows that failed count in `n` and `failed`; they have no score and are in no mean, which is of
-- `scored` rows. The best comes first where `better` says which way that is.
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
    count(score) AS scored,
    avg(score) AS mean_score
FROM long
GROUP BY ALL
ORDER BY experiment_version, parameter, CASE getvariable('better') WHEN 'lower' THEN -1 ELSE 1 END * mean_score DESC;
