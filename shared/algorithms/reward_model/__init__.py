"""A model that scores an answer to a query as people would, learnt from preferences and labels."""
