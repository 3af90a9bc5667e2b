"""Pure functions on numbers: intervals, significance (tests), decision (the rule), paired."""
