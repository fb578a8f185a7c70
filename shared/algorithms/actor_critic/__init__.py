"""A discrete soft actor-critic (Christodoulou 2019) on listeners' continuous traits."""
