"""What is recorded, read: it formats nothing and writes nothing.

views (DuckDB over every layout), facts (any table of xetrack), results (an experiment),
validate and its checks.
"""
