"""Doubly robust off-policy learning of linear policies over contexts."""
