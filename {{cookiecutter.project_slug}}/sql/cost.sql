-- What did each configuration cost in USD, per row and per point of the score?
-- A row from the cache cost nothing again; its price is counted where it was executed. `cost` is
-- what `predict` returns; where it returns none, every price is unknown.
WITH priced AS (
    SELECT * FROM predictions
    UNION ALL BY NAME
    SELECT CAST(NULL AS DOUBLE) AS cost WHERE false
)
SELECT
    experiment_version,
    COLUMNS('params_.*'),
    count(*) AS n,
    sum(cost) FILTER (coalesce(cache, '') = '') AS paid,
    avg(cost) AS cost_per_row,
    count(COLUMNS(c -> c = getvariable('metric'))) AS scored,
    avg(COLUMNS(c -> c = getvariable('metric'))) AS mean_score,
    sum(cost) / nullif(sum(COLUMNS(c -> c = getvariable('metric'))), 0) AS cost_per_point,
    count(*) FILTER (cost IS NULL) AS price_unknown
FROM priced
GROUP BY ALL
ORDER BY experiment_version, cost_per_row;
