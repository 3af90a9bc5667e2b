-- Which configuration comes first, how often over the items, and how far behind are the others?
-- A tie counts for everyone in it, and who has no score (a failure) comes last. Which way the score
-- is better is the variable `better`, by default as metrics.py declares it.
SET VARIABLE sign = (
    SELECT CASE getvariable('better')
        WHEN 'lower' THEN -1
        WHEN 'higher' THEN 1
        ELSE error('nothing says which way the score is better: --set better=higher or lower')
    END
);
WITH scores AS (
    SELECT
        experiment_version,
        input_id,
        concat_ws(' ', *COLUMNS('params_.*')) AS configuration,
        -- Words leave out a param that is None, and could be those of two configurations.
        row(*COLUMNS('params_.*')) AS key,
        avg(COLUMNS(c -> c = getvariable('metric'))) AS score
    FROM predictions
    GROUP BY ALL
),
ranked AS (
    SELECT *, rank() OVER (PARTITION BY experiment_version, input_id ORDER BY getvariable('sign') * score DESC) AS place
    FROM scores
)
SELECT
    experiment_version,
    configuration,
    count(*) AS items,
    count(score) AS scored,
    avg(score) AS mean_score,
    avg(place) AS mean_rank,
    count(*) FILTER (place = 1 AND score IS NOT NULL) AS first_places
FROM ranked
GROUP BY experiment_version, configuration, key
ORDER BY experiment_version, getvariable('sign') * mean_score DESC;
