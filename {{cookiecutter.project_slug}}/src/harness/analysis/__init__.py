"""What is read from recorded results, and nothing in here writes to them.

views > facts > checks (validate, overview): can the rows be believed?
views > results > judge > ranking, compare, segments > summary > report: what do they say?
stats, significance and paired are pure functions; query and browse serve a person's own questions.
"""
