"""Widgets for questions to a dashboard.

A decision names one of 19 scenarios for a question. Its attributes are `question_id`, `question` and,
where given, `size`, and as JSON `domains` and `entities`. An interaction of type rating has the
attribute `rating`, up or down, and may have `entry_id`, `fixture`, `tags` (JSON) and `notes`; the latest
rating counts. From files, `entries` reads what was shown and how it was rated, `pairs` makes preferences
of them, and `prompts` the lines that a language model sees.
"""
