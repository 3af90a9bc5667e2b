-- Every call of every conversation: one row a turn, from the column `calls` (llm/conversation.py).
WITH kept AS (
    SELECT * FROM predictions
    UNION ALL BY NAME
    SELECT CAST(NULL AS VARCHAR) AS calls WHERE false
),
turns AS (
    SELECT experiment_version, input_id, repeat, COLUMNS('params_.*'), error_type,
        from_json(calls, '["JSON"]') AS each
    FROM kept
    WHERE calls IS NOT NULL
)
SELECT
    * EXCLUDE (each, turn),
    turn AS turn,
    each[turn] ->> 'finish_reason' AS finish_reason,
    CAST(each[turn] ->> 'prompt_tokens' AS BIGINT) AS prompt_tokens,
    CAST(each[turn] ->> 'completion_tokens' AS BIGINT) AS completion_tokens,
    CAST(each[turn] ->> 'cost' AS DOUBLE) AS cost,
    CAST(each[turn] ->> 'latency' AS DOUBLE) AS latency,
    each[turn] ->> 'request' AS request,
    each[turn] ->> 'raw_response' AS raw_response
FROM (SELECT *, unnest(range(1, len(each) + 1)) AS turn FROM turns)
ORDER BY experiment_version, input_id, repeat, turn;
