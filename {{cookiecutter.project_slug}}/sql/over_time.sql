-- Does the score move from one experiment to the next, for the same configuration?
-- `change` is the difference to the configuration's earlier experiment. Rows that failed are in no
-- mean: where `failed` differs, `change` is between other items.
WITH scores AS (
    SELECT
        experiment_version,
        min(timestamp) AS started,
        TRY_CAST(string_split(substr(experiment_version, 2), '.') AS INTEGER[]) AS version,
        concat_ws(' ', *COLUMNS('params_.*')) AS configuration,
        count(*) AS n,
        count(*) FILTER (coalesce(error, '') <> '') AS failed,
        avg(COLUMNS(c -> c = getvariable('metric'))) AS mean_score
    FROM predictions
    GROUP BY ALL
)
SELECT
    * EXCLUDE (version),
    mean_score - lag(mean_score) OVER (PARTITION BY configuration ORDER BY version) AS change
FROM scores
ORDER BY configuration, version;
