"""Which combination of a prompt's slots is best, by a reward model of calls."""
