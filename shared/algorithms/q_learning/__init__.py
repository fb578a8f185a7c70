"""Tabular Q-learning over listeners' histories."""
