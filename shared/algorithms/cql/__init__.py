"""Conservative Q-learning of ranking weights from search logs."""
