-- Which items does hardly any configuration get right?
-- Worst mean score first. Which way the score is better is the variable `better`, by default as
-- metrics.py declares it.
SET VARIABLE sign = (
    SELECT CASE getvariable('better')
        WHEN 'lower' THEN -1
        WHEN 'higher' THEN 1
        ELSE error('nothing says which way the score is better: --set better=higher or lower')
    END
);
SELECT
    input_id,
    any_value(ground_truth) AS ground_truth,
    count(*) AS n,
    count(*) FILTER (coalesce(error, '') <> '') AS failed,
    count(COLUMNS(c -> c = getvariable('metric'))) AS scored,
    avg(COLUMNS(c -> c = getvariable('metric'))) AS mean_score,
    mode(prediction) AS most_frequent_answer
FROM predictions
GROUP BY input_id
ORDER BY getvariable('sign') * mean_score ASC NULLS FIRST, input_id
LIMIT 20;
