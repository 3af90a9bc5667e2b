"""What people see: tables, summary, report, comparison, queries.

section (parts of a page), results_table, ranking, segments, summary, charts, report, compare and
compare_text, overview, query, browse.
"""
