"""The one writer and what it writes to: databases, columns, cache, locks.

recorder, store, row_fitter and columns, score_tables, runs, layout, lock, database_file, cache;
recorded and known find what was recorded before.
"""
