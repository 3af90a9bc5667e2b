"""What must hold before an experiment: each gate, and the questions that gates ask.

gates (all of them, in order) puts together repository (git and DVC), tried (the dev-run) and
planned (items and plan); situation is what they look at. tested, inspection (what the dev-run
recorded), schema, dataset_check answer for them.
"""
