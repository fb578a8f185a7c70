"""Upper confidence bounds over the states of listeners."""
