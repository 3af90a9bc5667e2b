"""The one writer and what it writes to: databases, columns, cache, locks.

recorder, store, row_fitter, layout, lock, database_file, cache; the tables: columns (predictions),
metrics_table, score_tables, resamples_table, runs;
recorded and known find what was recorded before.
"""
