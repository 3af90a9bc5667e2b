"""What people see: tables, summary, report, comparison, queries.

tables, section (parts of a page), results_table, ranking, segments, summary, charts, report;
compare with its sides and changes, compare_text; overview, query, browse.
"""
