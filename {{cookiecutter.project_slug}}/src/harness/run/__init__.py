"""From tasks to rows: what is executed, where, within which limits, and with what outcome.

prepared and provenance (what a run starts from), loop and interrupt, executors, pool and
worker_process, job, attempt (one prediction), time_limit, limits, budget, fitted, rows, progress;
explain and spot_check look at it afterwards.
"""
