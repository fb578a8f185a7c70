"""The smallest sensible data and settings of each algorithm; the generic tester runs all that stand here.

A module named as the algorithm has `dataset() -> Dataset` and `PARAMETERS: dict` that make training quick.
"""
