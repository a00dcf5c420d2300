"""Benchmarks of oxidbm against the stores a Python user has today: `python -m bench --help`.

One process runs every engine in alternating rounds, so that a slow minute of the machine falls on all of them alike.
Nothing is subtracted from a figure; the cost of the empty loops stands beside the results.
"""
