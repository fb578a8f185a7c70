"""Records to test with: one fixed record for each topic, and any record that its schema allows."""

from typing import Any

from hypothesis import strategies as st

from shared.wire.codec import Record
from shared.wire.schemas import Definition, Schema

DECISION: Record = {
    "decision_id": "d-1",
    "application": "généric",
    "subject_id": "s-1",
    "policy": "linucb",
    "policy_version": 300,
    "policy_offsets": [0, 64, 8192],
    "action": "b",
    "propensity": 0.25,
    "actions": ["a", "b"],
    "probabilities": [0.75, 0.25],
    "context": [1.5, -2.0],
    "action_features": [],
    "attributes": [
        {"name": "price", "number": 9.5, "text": None},
        {"name": "query", "number": None, "text": "shoes"},
    ],
    "deferred": True,
    "arm": "canary",
    "share": 0.05,
    "mixture_propensity": 0.3,
    "decided_at": 1_700_000_000_000,
}

SAMPLES: dict[str, Record] = {
    "decisions": DECISION,
    "interactions": {
        "interaction_id": "i-1",
        "decision_id": "d-1",
        "application": "generic",
        "type": "click",
        "value": 1.0,
        "attributes": [{"name": "position", "number": 3.0, "text": None}],
        "occurred_at": None,
    },
    "rewards": {
        "decision": DECISION,
        "reward": 1.0,
        "components": [{"name": "click", "value": 1.0}],
        "previous_reward": 0.5,
        "revision": 1,
        "is_default": False,
        "interactions": 2,
        "reward_version": "v1",
        "decision_time": 1_700_000_000_001,
        "decision_offset": 41,
        "reward_time": 1_700_000_060_001,
    },
    "policy-updates": {
        "application": "generic",
        "policy": "linucb",
        "partition": 3,
        "kind": "snapshot",
        "sequence": 7,
        "chunk": 0,
        "chunks": 2,
        "first_offset": 0,
        "next_offset": 1000,
        "reference_time": 1_700_000_000_000,
        "count": 998,
        "configuration": '{"kind":"linucb"}',
        "payload": b"\x00\x01\xff",
    },
    "retrain-triggers": {
        "request_id": "r-1",
        "application": "generic",
        "algorithm": "linear",
        "preset": None,
        "parameters": '{"folds":5}',
        "reason": "manual",
        "detail": "after a new feature",
        "data": [{"partition": 3, "first_offset": 0, "next_offset": 1000}],
        "days": 30.0,
        "seed": None,
        "requested_by": "ops",
        "requested_at": 1_700_000_000_000,
    },
    "candidates": {
        "request_id": "r-1",
        "joined": ["r-2"],
        "application": "generic",
        "algorithm": "linear",
        "status": "trained",
        "reason": "",
        "candidate_id": "ab" * 32,
        "artefact": "file:///artefacts/ab",
        "manifest_sha256": "ab" * 32,
        "previous": "",
        "lineage": [{"partition": 3, "first_offset": 0, "next_offset": 1000}],
        "decided_from": 1_690_000_000_000,
        "rows": 998,
        "parameters": '{"folds":5}',
        "seed": 7,
        "metrics": [{"name": "value", "value": 0.5}],
        "attempt": 1,
        "progress": 1.0,
        "message": "done",
        "requested_at": 1_700_000_000_000,
        "started_at": 1_700_000_001_000,
        "at": 1_700_000_002_000,
    },
    "evaluations": {
        "evaluation_id": "e-1",
        "application": "generic",
        "candidate_id": "ab" * 32,
        "algorithm": "linear",
        "artefact": "file:///artefacts/ab",
        "manifest_sha256": "ab" * 32,
        "baseline": "",
        "kind": "log",
        "verdict": "inconclusive",
        "reasons": [
            {"name": "interval-holds-baseline", "value": 500.0, "limit": None, "detail": "about 500 more"}
        ],
        "decisions": 1000,
        "effective_sample_size": 412.5,
        "max_weight": 9.5,
        "metrics": [
            {
                "name": "reward",
                "estimator": "snips",
                "value": 0.5,
                "low": 0.25,
                "high": 0.75,
                "baseline": 0.375,
                "difference": 0.125,
                "difference_low": -0.125,
                "difference_high": 0.375,
                "verdict": "inconclusive",
            }
        ],
        "data": [{"partition": 3, "first_offset": 1000, "next_offset": 2000}],
        "widening": 1.0,
        "report": "",
        "at": 1_700_000_003_000,
    },
    "deployments": {
        "application": "generic",
        "sequence": 7,
        "at": 1_700_000_004_000,
        "policies": [
            {"arm": "stable", "policy": "default", "algorithm": "", "artefact": "", "manifest_sha256": ""},
            {
                "arm": "canary",
                "policy": "ab" * 32,
                "algorithm": "linear",
                "artefact": "file:///artefacts/ab",
                "manifest_sha256": "ab" * 32,
            },
        ],
        "share": 0.1,
        "stage": "10 %",
        "salt": "generic-7",
        "blocked": ["cd" * 32],
        "state": '{"base":"default"}',
    },
    "deployment-events": {
        "event_id": "generic-7",
        "application": "generic",
        "sequence": 7,
        "what": "advanced",
        "policy": "ab" * 32,
        "stable": "default",
        "share": 0.1,
        "stage": "10 %",
        "cause": "every guard passes",
        "numbers": [{"name": "samples", "value": 512.0}],
        "by": "deployer",
        "at": 1_700_000_004_000,
        "action": "b",
    },
}

TOPICS = sorted(SAMPLES)

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    "bytes": st.binary(max_size=12),
}


def records(schema: Schema) -> st.SearchStrategy[Record]:
    """Any record of `schema`."""
    return values(schema.definition)


def values(definition: Any) -> st.SearchStrategy[Any]:
    """Any value of the Avro type `definition`."""
    match definition:
        case str():
            return PRIMITIVES[definition]
        case list():
            return st.one_of([values(branch) for branch in definition])
        case {"type": "array", "items": items}:
            return st.lists(values(items), max_size=4)
        case {"type": "record", "fields": fields}:
            return st.fixed_dictionaries({field["name"]: values(field["type"]) for field in fields})
        case {"type": inner}:
            return values(inner)
    raise AssertionError(definition)


def without_fields(definition: Definition, *names: str) -> Definition:
    """An older record schema that did not have the fields `names` yet."""
    return {**definition, "fields": [field for field in definition["fields"] if field["name"] not in names]}
