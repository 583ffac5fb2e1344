"""What `scripts/write_operators.py` puts on the page: facts of the code, docstrings, measured ratios."""
