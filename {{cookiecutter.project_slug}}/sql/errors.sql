-- Which kinds of failure are there, where, and after how many attempts?
SELECT
    experiment_version,
    error_type,
    COLUMNS('params_.*'),
    count(*) AS failures,
    count(DISTINCT input_id) AS items,
    max(attempts) AS most_attempts,
    any_value(error) AS example
FROM predictions
WHERE coalesce(error, '') <> ''
GROUP BY ALL
ORDER BY failures DESC;
