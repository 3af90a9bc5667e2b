-- Within one experiment, on the items that both got: how often does one configuration score higher?
-- A datapoint that failed has no score, so its item is not shared.
-- --set experiment=e0.0.1 chooses the experiment; by default the last one.
SET VARIABLE experiment = coalesce(
    getvariable('experiment'),
    (
        SELECT arg_max(
            experiment_version,
            TRY_CAST(string_split(substr(experiment_version, 2), '.') AS INTEGER[])
        )
        FROM predictions
    )
);
WITH scores AS (
    SELECT
        input_id,
        concat_ws(' ', *COLUMNS('params_.*')) AS configuration,
        avg(COLUMNS(c -> c = getvariable('metric'))) AS score
    FROM predictions
    WHERE experiment_version = getvariable('experiment')
    GROUP BY ALL
)
SELECT
    one.configuration AS one,
    other.configuration AS other,
    count(*) AS shared_items,
    count(*) FILTER (one.score > other.score) AS one_wins,
    count(*) FILTER (one.score < other.score) AS other_wins,
    count(*) FILTER (one.score = other.score) AS ties
FROM scores AS one
JOIN scores AS other ON one.input_id = other.input_id AND one.configuration < other.configuration
WHERE one.score IS NOT NULL AND other.score IS NOT NULL
GROUP BY ALL
ORDER BY ALL;
