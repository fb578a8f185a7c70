"""Bandit policies: configuration, mergeable statistics, the learner's state and the model that decides."""
