"""What people are told of a training that is over."""

from dataclasses import asdict

from shared.notifying.messages import Message
from shared.wire.training import Candidate

FIGURES = 12
"""Metrics in the text; the document has all of them."""


def message(ended: Candidate) -> Message:
    """A terminal record as it is told; the lineage, which can be long, is left to the topic."""
    title = f"{ended.application}: {ended.algorithm or 'training'} {ended.status}"
    lines = [f"*{ended.application}*: `{ended.algorithm or 'training'}` {ended.status}"]
    if ended.reason:
        lines.append(ended.reason)
    if ended.candidate_id:
        lines.append(f"candidate `{ended.candidate_id[:12]}` of {ended.rows} rewards, {ended.artefact}")
    lines += [f"{name}: {value:.4g}" for name, value in sorted(ended.metrics.items())[:FIGURES]]
    document = asdict(ended)
    del document["lineage"]
    return Message(title, "\n".join(lines), document)
