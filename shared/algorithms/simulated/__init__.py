"""Training data from the applications' simulators, for benchmarks and tests: the truth is known."""
