"""Rewards to archive, encoded and as rows."""

from typing import Any

import numpy as np

from shared.archive.archive import Archive
from shared.archive.columns import decode
from shared.wire.codec import encode
from shared.wire.schemas import schema
from tests.wire.samples import SAMPLES

DAY_MS = 86_400_000
START = 20_000 * DAY_MS


def reward(
    n: int, application: str = "shop", subject: str = "s", day: int = 0, **changes: Any
) -> dict[str, Any]:
    """Reward number n; `changes` may name fields of the decision."""
    sample = SAMPLES["rewards"]
    fields = {"decision_id": f"d-{n}", "application": application, "subject_id": subject, **changes}
    decision = sample["decision"] | {
        name: each for name, each in fields.items() if name in sample["decision"]
    }
    own = {name: each for name, each in fields.items() if name not in sample["decision"]}
    return {
        **sample,
        "decision": decision,
        "reward": float(n),
        "decision_time": START + day * DAY_MS + n,
        **own,
    }


def encoded(*records: dict[str, Any]) -> list[bytes]:
    """Their bytes."""
    return [encode(schema("rewards"), record) for record in records]


def commit(archive: Archive, partition: int, first: int, *records: dict[str, Any]) -> None:
    """Archive rewards at offsets from `first` on."""
    offsets = np.arange(first, first + len(records), dtype=np.int64)
    found = decode(encoded(*records), offsets, partition)
    assert not found.refused
    archive.commit(partition, first, first + len(records), found.frame)
