"""The continuous learner: when enough feedback is new, reward model and policy are trained again."""
