"""What is recorded, read: it formats nothing and writes nothing.

views (DuckDB over every layout), facts (any table of xetrack) and configuration_figures of it,
results (an experiment), looks (what was seen of its items before), its scores and outputs, validate
and its checks; catalogue and excerpt: past experiments.
"""
