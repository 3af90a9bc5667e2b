"""Runs of other tools, read as they wrote them, and experiments as other tools read them.

logs -> inspect_log, lm_eval_log, promptfoo_log, openai_evals_log; every_eval_ever, mlflow.
"""
