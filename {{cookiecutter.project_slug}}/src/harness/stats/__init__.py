"""Pure functions on numbers: intervals, tests, the rule that decides, pairs."""
