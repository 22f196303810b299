"""Training: one loop, many objectives.

`loop.py` holds the loop, `objectives.py` what it lowers, `batches.py` what it reads, `optim.py` how
the weights move, `checkpoint.py` how a run survives, `recipes.py` whole runs with good settings.
"""
