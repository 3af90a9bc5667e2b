"""Pure functions on numbers: intervals, tests, pairs."""
