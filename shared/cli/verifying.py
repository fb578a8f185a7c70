"""Files of decisions: a JSON document, or one on each line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from shared.core.rollout.verify import Placement, impossible


def read_decisions(text: str) -> list[dict[str, Any]]:
    """The decisions in a file. Raises ValueError naming the line that holds none."""
    try:
        return list(_flat(orjson.loads(text), "the file"))
    except orjson.JSONDecodeError:
        pass
    found: list[dict[str, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found += _flat(orjson.loads(line), f"line {number}")
            except orjson.JSONDecodeError as error:
                raise ValueError(f"line {number} is no JSON: {error}") from None
    if not found:
        raise ValueError("holds no decision")
    return found


def rollout_problems(decision: Mapping[str, Any]) -> list[str]:
    """What of a decision's place in a rollout nothing can have led to, as far as it is told."""
    told = {**decision, **(decision.get("rollout") or {})}
    if told.get("arm") is None:
        return []
    try:
        placed = Placement(
            str(decision.get("subject_id", "")),
            str(decision["policy"]),
            str(told["arm"]),
            float(told["share"]),
            float(told["propensity"]),
            None if told.get("mixture_propensity") is None else float(told["mixture_propensity"]),
            0,
        )
    except (KeyError, TypeError, ValueError):
        return ["its place in the rollout is told in part"]
    problem = impossible(placed)
    return [problem] if problem else []


def logged_problems(
    decisions: Sequence[Mapping[str, Any]], applications: Path | None
) -> dict[str, list[str]]:
    """What the cluster's log does not bear out, by decision id. Raises KafkaError, SettingsError."""
    from shared.applications.registry import load
    from shared.broker.settings import BrokerSettings
    from shared.cli.audit.decisions import log_problems
    from shared.cli.plan import ASSIGNMENT_KEY
    from shared.cli.topic_log import open_log

    key = os.environ.get(ASSIGNMENT_KEY, "").encode() or None
    with open_log(BrokerSettings()) as log:
        return log_problems(log, load([applications] if applications else []), key, decisions)


def _flat(document: Any, place: str) -> Iterator[dict[str, Any]]:
    """A decision, a reply to a batch, or a list of decisions."""
    if isinstance(document, dict) and isinstance(document.get("decisions"), list):
        document = document["decisions"]
    for each in document if isinstance(document, list) else [document]:
        if not isinstance(each, dict):
            raise ValueError(f"{place} must hold objects, one for each decision")
        yield each
