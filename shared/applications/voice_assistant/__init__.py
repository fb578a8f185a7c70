"""Prompt variants of a telephone assistant.

A decision names the variant that takes a call. Its context is the `profile`, the `agent` and, where the
product sends them, `call_id` and `ts`; logged as attributes are `profile`, `agent`, `call` (anonymised)
and `hour`. One interaction of type `feedback`, or several, tell what happened, each with some of the
signals as attributes: resolution, user_rating, barge_in_count, repeats, handover, duration_sec,
escalation, satisfaction. Of a signal that comes twice, the latest counts. A trainer finds the variant in
the decision's action, profile and hour in its attributes, the signals in the interactions' attributes.
Topics keep all of it for 90 days.
"""
