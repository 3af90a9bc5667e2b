"""From rows to figures: scores of rows, metrics of configurations, verdicts on hypotheses.

score, score_values, configuration_rows, aggregate, rescore, judge, forecast.
"""
