"""RLHF of a chat assistant.

A decision names the variant (a model with settings) that answers a query; its attribute `query` is the
query. Interactions are feedback of the types thumbs_up, thumbs_down, rating (`value` is 1 to 5) and
correction; the latest one counts, alone. Their attributes are `query`, `response`, `correction` and
`metadata` (JSON): all that a reward model and preferences are trained from. Which subjects are asked for
feedback is a function of the subject (`sampling`). Part of the subjects are in an A/B test of the variants
(section `experiment` of the settings): they keep one, by a consistent hash.
"""
