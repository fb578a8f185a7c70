"""Deep Q-learning (Mnih et al. 2015) on listeners' continuous traits."""
