"""What people see: tables, summary, report, comparison, queries.

tables, section (parts of a page), results_table, ranking, segments, result_sections; summary (which
sections there are), charts, page, report (the same as HTML, with charts); compare with its sides
and changes, compare_text; overview, query, browse.
Past experiments: listing, show, side_by_side, fetched, history, latest; tag_message, tag_script;
promotion of a model.
"""
