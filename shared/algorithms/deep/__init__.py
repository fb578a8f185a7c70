"""What dqn, actor_critic and cql share. `training` imports torch and d3rlpy: for train.py only."""
