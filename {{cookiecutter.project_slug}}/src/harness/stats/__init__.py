"""Pure functions on numbers: intervals, significance (tests), power, decision
(the rule), paired.
"""
