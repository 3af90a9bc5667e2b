-- Was anything recorded more than once in an experiment? There should be no row.
SELECT
    experiment_version,
    input_id,
    COLUMNS('params_.*'),
    repeat,
    count(*) AS times,
    count(DISTINCT track_id) AS runs,
    count(DISTINCT prediction) AS different_answers
FROM predictions
GROUP BY ALL
HAVING count(*) > 1
ORDER BY times DESC;
