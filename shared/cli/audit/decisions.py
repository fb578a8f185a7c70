"""Single decisions held against the log: their records, and all that these come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from shared.applications.contract import Application
from shared.broker.partitioner import partition_for
from shared.cli.audit.learning import read_replicas, resets_done
from shared.cli.audit.propensities import propensities
from shared.cli.topic_log import Log
from shared.wire.columns import decode_columns
from shared.wire.schemas import schema


def log_problems(
    log: Log,
    applications: Mapping[str, Application],
    key: bytes | None,
    decisions: Sequence[Mapping[str, Any]],
) -> dict[str, list[str]]:
    """Of each decision (a reply, or a record) what the log does not bear out, by its id.

    Arm, share, propensity and mixture are worked out again from deployments, artefacts, rewards and the `key`
    of the assignment; without one, arms are taken as they are logged. Raises KafkaError.
    """
    found: dict[str, list[str]] = {str(each.get("decision_id")): [] for each in decisions}
    said = {str(each.get("decision_id")): each for each in decisions}

    def tell(decision_id: str, problem: str) -> None:
        found[decision_id].append(problem)

    missing = set(found)
    resets = resets_done(read_replicas(log, applications))
    with propensities(log, applications, key, tell, resets) as drawn:
        for frame in _records(log, set(found)):
            for row in frame.iter_rows(named=True):
                found[row["decision_id"]] += _differences(said[row["decision_id"]], row)
            missing -= set(frame["decision_id"])
            drawn.see(frame)
        drawn.close(log)
    for decision_id in missing:
        tell(decision_id, "is not in the log")
    return found


def _records(log: Log, wanted: set[str]) -> Iterator[pl.DataFrame]:
    partitions = log.partitions("decisions")
    for partition in partitions:
        here = [each for each in wanted if partition_for(each.encode(), len(partitions)) == partition]
        for records in log.read("decisions", partition) if here else ():
            frame = decode_columns(schema("decisions"), records.values).frame
            chosen = frame.filter(pl.col("decision_id").is_in(here))
            if chosen.height:
                yield chosen


def _differences(said: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[str]:
    policy: Any = said.get("policy")
    rollout = said.get("rollout") or {}
    if isinstance(policy, Mapping):
        policy, version = policy.get("name"), policy.get("version")
        if version != row["policy_version"]:
            yield f"policy_version is {version!r}, the log has {row['policy_version']!r}"
    told = {"policy": policy, "action": said.get("action"), "propensity": said.get("propensity"), **rollout}
    for name, value in told.items():
        if name in row and value != row[name]:
            yield f"{name} is {value!r}, the log has {row[name]!r}"
