"""Recommendation strategies by personality.

A decision names one of 27 strategies for a listener in a state: five traits, the kind of content, the
mood and the hour. Its attributes hold these raw (`openness` … `neuroticism`, `content_type`, `mood`,
`hour`), so that a trainer may use them as they are or in other bins; `state.StateSettings.states` makes
a table's states of them. Interactions have the types of the input line (like, dislike, complete, skip,
share, play, view) and may have the attributes completion_percentage, mood_before, mood_after and
duration_seconds. The rewards of a decision's interactions add up. A user's sequence is the decisions of
one subject in the order of their times.
"""
