"""Contexts to features: the scaling that is learnt online and the maps built on it."""
