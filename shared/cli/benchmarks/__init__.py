"""Measurements of the loop beside its peers, each a module with `run() -> dict`; see `benchmark_names`."""
