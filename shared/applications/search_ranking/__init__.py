"""Weights of a search ranking.

A decision names a preset of seven weights for a search in a state of 23 numbers, which are the context
in their order; a trained policy gives weights of its own, and both are made a distribution by
`weights.normalised`. Interactions have the types click, wishlist, cart and purchase with the attributes
`rank` (1-based) and `price`, or the type none. As in the search log, a search has one outcome, the
strongest that happened (purchase before cart before wishlist before click), and all its ranks count.
Beside the parts of the reward, its components hold facts for evaluation: first_rank, hits, hits_at_5,
hits_at_10, dcg_at_10 and revenue.
"""
