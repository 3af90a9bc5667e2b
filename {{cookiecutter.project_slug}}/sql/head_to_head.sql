-- Within one experiment, on the items that both got: how often does one configuration score better?
-- A datapoint that failed has no score, so its item is not shared.
-- Which way is better is the variable `better`, by default as metrics.py declares it;
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
SET VARIABLE sign = (
    SELECT CASE getvariable('better')
        WHEN 'lower' THEN -1
        WHEN 'higher' THEN 1
        ELSE error('nothing says which way the score is better: --set better=higher or lower')
    END
);
WITH scores AS (
    SELECT
        input_id,
        concat_ws(' ', *COLUMNS('params_.*')) AS configuration,
        -- Words leave out a param that is None, and could be those of two configurations.
        row(*COLUMNS('params_.*')) AS key,
        getvariable('sign') * avg(COLUMNS(c -> c = getvariable('metric'))) AS score
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
JOIN scores AS other
    ON one.input_id = other.input_id
    AND (one.configuration, hash(one.key)) < (other.configuration, hash(other.key))
WHERE one.score IS NOT NULL AND other.score IS NOT NULL
GROUP BY one.configuration, other.configuration, one.key, other.key
ORDER BY ALL;
