"""The learner: rewards in, statistics of every application's policy out."""
