-- Does the score move from one experiment to the next, for the same configuration?
-- `change` is the difference to the configuration's earlier experiment.
WITH scores AS (
    SELECT
        experiment_version,
        min(timestamp) AS started,
        concat_ws(' ', *COLUMNS('params_.*')) AS configuration,
        count(*) AS n,
        avg(COLUMNS(c -> c = getvariable('metric'))) AS mean_score
    FROM predictions
    GROUP BY ALL
)
SELECT
    *,
    mean_score - lag(mean_score) OVER (PARTITION BY configuration ORDER BY started, experiment_version) AS change
FROM scores
ORDER BY configuration, started, experiment_version;
