"""Pure functions on numbers: intervals, resampling (of aggregates), significance (tests), power,
decision (the rule), paired, ranks, missing (values).
"""
