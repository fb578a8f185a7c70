"""Records by the hundred thousand: one is encoded, the others are copies with some bytes replaced."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.wire.codec import encode
from shared.wire.schemas import schema

APPLICATION = "benchmark"
FEATURES = ACTIONS = 20
ACTION_NAMES = tuple(f"a{n:02}" for n in range(ACTIONS))
FEATURE_NAMES = tuple(f"x{n:02}" for n in range(FEATURES))

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_ID_WIDTH = 12
_ID, _ACTION, _CONTEXT = "~" * _ID_WIDTH, "^^^", [1.5] * FEATURES


def write_application(folder: Path, *, wait: str = "10m", hold: str = "1m") -> Path:
    """The application of the benchmarks, 20 numbers and 20 actions, as a YAML file in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    features = "".join(f"\n  - {{name: {name}, type: numeric}}" for name in FEATURE_NAMES)
    (folder / f"{APPLICATION}.yaml").write_text(
        f"application: {APPLICATION}\nfeatures:{features}\nactions: [{', '.join(ACTION_NAMES)}]\n"
        f"reward: {{wait: {wait}, hold: {hold}, emission: on_interaction}}\n"
        "policy: {name: default, kind: linucb, map: linear}\n"
    )
    return folder


def ids(first: int, count: int) -> list[bytes]:
    """Decision ids of one length, numbered from `first`."""
    return [b"d%0*d" % (_ID_WIDTH - 1, number) for number in range(first, first + count)]


def decisions(keys: list[bytes], actions: Ints, contexts: Floats) -> list[bytes]:
    """Encoded decisions: `actions` (n,) are indexes into ACTION_NAMES, `contexts` (n, FEATURES)."""
    names = np.frombuffer("".join(ACTION_NAMES).encode(), np.uint8).reshape(ACTIONS, -1)
    return _copies(
        "decisions",
        _DECISION,
        {
            _ID.encode(): _matrix(keys),
            _ACTION.encode(): names[actions],
            np.array(_CONTEXT, "<f4").tobytes(): contexts.astype("<f4").view(np.uint8).reshape(len(keys), -1),
        },
    )


def interactions(keys: list[bytes], extra_bytes: int = 0) -> list[bytes]:
    """One encoded interaction of value 1 for each decision, with a text of `extra_bytes` as attribute."""
    text = [{"name": "text", "number": None, "text": "x" * extra_bytes}] if extra_bytes else []
    record = _INTERACTION | {"attributes": text, "occurred_at": int(time.time() * 1000)}
    return _copies("interactions", record, {_ID.encode(): _matrix(keys)})


def _copies(topic: str, record: dict[str, Any], replaced: Mapping[bytes, Bytes]) -> list[bytes]:
    """Copies of `record` in which each marker's bytes are those of its matrix (n, length of the marker)."""
    sample = encode(schema(topic), record)
    count = len(next(iter(replaced.values())))
    matrix = np.tile(np.frombuffer(sample, np.uint8), (count, 1))
    for marker, content in replaced.items():
        at = sample.index(marker)
        matrix[:, at : at + len(marker)] = content
    whole, size = matrix.tobytes(), len(sample)
    return [whole[start : start + size] for start in range(0, count * size, size)]


def _matrix(keys: list[bytes]) -> Bytes:
    return np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), _ID_WIDTH)


_DECISION = {
    "decision_id": _ID,
    "application": APPLICATION,
    "subject_id": "subject",
    "policy": "default",
    "policy_version": 1,
    "policy_offsets": [0, 0, 0, 0],
    "action": _ACTION,
    "propensity": 1 / ACTIONS,
    "actions": [],
    "probabilities": [1 / ACTIONS] * ACTIONS,
    "context": _CONTEXT,
    "action_features": [],
    "attributes": [],
    "deferred": False,
    "arm": None,
    "share": None,
    "mixture_propensity": None,
    "decided_at": 1_700_000_000_000,
}
_INTERACTION = {
    "interaction_id": "first",
    "decision_id": _ID,
    "application": APPLICATION,
    "type": "click",
    "value": 1.0,
}
