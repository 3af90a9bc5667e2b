-- Which items does hardly any configuration get right?
-- Lowest mean score first; for a metric where less is better, turn ASC into DESC.
SELECT
    input_id,
    any_value(ground_truth) AS ground_truth,
    count(*) AS n,
    count(*) FILTER (coalesce(error, '') <> '') AS failed,
    avg(COLUMNS(c -> c = getvariable('metric'))) AS mean_score,
    mode(prediction) AS most_frequent_answer
FROM predictions
GROUP BY input_id
ORDER BY mean_score ASC NULLS FIRST, input_id
LIMIT 20;
