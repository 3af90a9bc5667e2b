"""The person's side: their files, what they declare, and what goes into a key.

settings, contract (the four files), loading (their import), params (the grid and its columns),
scores and declarations (how each one counts), hypotheses (PLAN.toml), modules and fingerprint (own
code), inputs and watch (what is read, what is written), keys, grid, tasks, values; kind (what a
kind of benchmark plugs in).
"""
