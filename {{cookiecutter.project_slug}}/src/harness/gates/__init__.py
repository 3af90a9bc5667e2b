"""What must hold before an experiment: each gate, and the questions that gates ask.

gates (all of them, in order), tested, inspection (what the dev-run recorded), schema,
dataset_check.
"""
