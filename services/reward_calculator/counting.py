"""What a step of the join adds to the metrics."""

import time
from collections.abc import Iterable, Mapping, Sequence

from services.reward_calculator.handlers import Dead, Handlers, Moved, Records
from shared.core.join import Emission, Output
from shared.telemetry.metrics import Metrics


def count(
    metrics: Metrics,
    handlers: Handlers,
    inputs: Mapping[str, Sequence[Records]],
    outputs: Iterable[Output],
    dead: Sequence[Dead],
    moved: Sequence[Moved],
    seconds: float,
) -> None:
    """Count one step of some partitions that took `seconds`."""
    for topic, batches in inputs.items():
        if batches:
            records = sum(map(len, batches))
            metrics.records_in.labels(topic).inc(records)
            metrics.batch_records.labels(topic).observe(records)
            metrics.batch_seconds.labels(topic).observe(seconds)
    for record in dead:
        metrics.records_dead.labels(record.topic, record.reason).inc()
    for astray in moved:
        metrics.records_rerouted.labels(astray.topic).inc()
    for output in outputs:
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
