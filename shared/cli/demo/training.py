"""The end of a product's demo: the trainer is asked for a candidate, and what it gives is verified."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.algorithms.artefacts import load
from shared.broker.settings import BrokerSettings
from shared.cli.demo.products import Wanted
from shared.cli.topic_log import open_log
from shared.cli.training_bar import follow_with_bar
from shared.cli.training_log import CANDIDATES, publish
from shared.wire.training import Candidate, Span, Trigger

SEED = 5


def train(
    settings: BrokerSettings, application: str, wanted: Wanted, data: tuple[Span, ...] = ()
) -> Mapping[str, Any]:
    """Ask for a training through retrain-triggers, wait for the answer, and open the artefact it names.

    It trains on these ranges of rewards, or on all.

    Returns what the demo shows of it. Raises KafkaError, ArtefactError.
    """
    asked = Trigger(
        request_id=f"demo-{application}",
        application=application,
        reason="manual",
        requested_by="demo",
        requested_at=time.time_ns() // 1_000_000,
        algorithm=wanted.algorithm,
        parameters=wanted.parameters,
        data=data,
        seed=SEED,
    )
    with open_log(settings) as log:
        begin = log.end(CANDIDATES, 0)
        publish(settings, asked)
        ended = follow_with_bar(log, asked, begin)
    if ended.status == "trained":
        load(Path(ended.artefact), ended.candidate_id)
    return shown(ended)


def shown(candidate: Candidate) -> dict[str, Any]:
    """The candidate's id, and what one wants to know of it at a glance."""
    return {
        "id": candidate.candidate_id,
        "status": candidate.status,
        "reason": candidate.reason,
        "algorithm": candidate.algorithm,
        "rows": candidate.rows,
        "metrics": dict(candidate.metrics),
    }
