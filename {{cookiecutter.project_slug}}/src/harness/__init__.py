"""The harness: runs `predict` for every datapoint, keeps one row of each, and repeats no good one.

The way of a datapoint, one module a step:

    gates      gates, and what they ask: tested, inspect_data, schema, dataset_check, plan_file
    plan       project (the four files), settings, plan
    key        keys, fingerprint; explain says which part of one changed
    reuse?     cache
    execute    executors, attempt (one prediction), time_limit, limits, budget, fitted; load/
    record     rows, recorder (the one writer), store, row_fitter, columns, layout, lock,
               runs, provenance
    score      scores (what a score is), declarations and score_tables (how each one counts),
               score, score_values, rescore, summarise, configuration_rows, results_table
    report     analysis/: reads what is recorded and writes nothing to it
    version    experiment (which leads through all of it), git, dvc

Commands are in __main__ and reading; run is the loop; errors, findings, console, progress and
clock speak to the person.
"""

from harness.errors import PermanentError, TransientError
from harness.project.scores import Score

__all__ = ["PermanentError", "Score", "TransientError"]
