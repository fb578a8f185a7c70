"""What a step of the join comes to, and adds to the metrics."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from services.reward_calculator.handlers import Dead, Handlers, Moved
from shared.broker.group_writer import Send
from shared.core.join import Emission, Output
from shared.telemetry.metrics import Metrics


@dataclass(frozen=True)
class Step:
    """What a step of some partitions came to."""

    records: Mapping[str, int]
    """Read, by topic."""
    outputs: Mapping[int, Output]
    """By partition."""
    dead: Sequence[Dead]
    moved: Sequence[Moved]
    sends: Sequence[Send]
    """All that is to be written of it."""
    offsets: Mapping[TopicPartition, OffsetAndMetadata]
    seconds: float


def count(metrics: Metrics, handlers: Handlers, step: Step) -> None:
    """Count a step."""
    for topic, records in step.records.items():
        if records:
            metrics.records_in.labels(topic).inc(records)
            metrics.batch_records.labels(topic).observe(records)
            metrics.batch_seconds.labels(topic).observe(step.seconds)
    for record in step.dead:
        metrics.records_dead.labels(record.topic, record.reason).inc()
    for astray in step.moved:
        metrics.records_rerouted.labels(astray.topic).inc()
    for output in step.outputs.values():
        _count_output(metrics, handlers, output)


def _count_output(metrics: Metrics, handlers: Handlers, output: Output) -> None:
    for topic, copies in output.duplicates.items():
        metrics.records_duplicate.labels(topic).inc(copies)
    for topic, left_out in output.filtered.items():
        metrics.records_filtered.labels(topic, "not-activated").inc(left_out)
    for application, late in output.corrections.items():
        metrics.records_late.labels(handlers.applications[application].name).inc(late)
    for emission in output.emissions:
        _count_rewards(metrics, handlers.applications[emission.application].name, emission)


def _count_rewards(metrics: Metrics, application: str, emission: Emission) -> None:
    metrics.records_out.labels("rewards").inc(len(emission.decisions))
    defaults = int(emission.is_default.sum())
    revised = int((emission.revision > 0).sum())
    for kind, number in (
        ("default", defaults),
        ("revision", revised),
        ("first", len(emission.decisions) - defaults - revised),
    ):
        metrics.rewards.labels(application, kind).inc(number)
    real = ~emission.is_default
    if real.any():
        newest = int(emission.last_time.max())
        metrics.reward_latency.labels(application).observe(max(0.0, time.time() - newest / 1000))
        delays = (emission.last_time - emission.decision_time)[real]
        metrics.join_delay.labels(application).observe(float(delays.mean()) / 1000)
