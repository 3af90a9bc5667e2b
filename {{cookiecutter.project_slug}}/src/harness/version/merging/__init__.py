"""Results of two places brought together, row by row; nothing recorded is lost on the way.

columns, rows, assets, databases: two files; regroup: from one layout to another; results: into this
checkout; model_files: those beside a database; driver: for git; parquet: tables that were exported.
"""
