"""A shop whose truth is known, policies for it as artefacts, and what was logged of it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.algorithms.artefacts import Artefact, digests, write
from shared.algorithms.linear.policy import LinearPolicy
from shared.algorithms.manifest import Manifest
from shared.applications.contract import Application
from shared.applications.registry import load
from shared.broker.settings import BrokerSettings
from shared.core.features.scaling import Scaling
from shared.core.policies.configuration import PolicyConfiguration
from shared.wire.training import Candidate, Span
from tests.online_bandit.rewards import append, raw, reward

SHOP = """
application: shop
features: [{name: age, type: numeric}, {name: basket, type: numeric}]
actions: [banner, list]
"""
ACTIONS = ("banner", "list")
PARTITIONS = 4


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def applications(folder: Path, more: str = "", **others: str) -> dict[str, Application]:
    """The shop, with more settings, and others by name, as files in a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "shop.yaml").write_text(SHOP + more)
    for name, text in others.items():
        (folder / f"{name}.yaml").write_text(text)
    return load([folder])


def policy(slope: float, floor: float = 0.1, actions: Sequence[str] = ACTIONS) -> LinearPolicy:
    """Shows the banner to who is older, if the slope is above zero, and the list if it is below."""
    coefficients = np.zeros((len(actions), 3))
    coefficients[:2, 0] = slope, -slope
    scaling = Scaling(np.zeros(2), np.ones(2))
    return LinearPolicy(list(actions), floor, PolicyConfiguration(map="linear"), scaling, coefficients)


def artefact(root: Path, made: LinearPolicy, application: str = "shop", seed: int = 0) -> Artefact:
    """A policy as a verified folder."""

    def build(folder: Path) -> Manifest:
        made.save(folder / "policy.json")
        return Manifest(
            application=application,
            algorithm="linear",
            parameters={},
            seed=seed,
            inputs={},
            lineage=[],
            metrics={},
            libraries={},
            files=digests(folder),
        )

    return write(root, build)


def candidate(made: Artefact, **changes: Any) -> Candidate:
    """What a trainer says of an artefact; it was trained on nothing that anybody else has."""
    given: dict[str, Any] = {
        "request_id": f"r-{made.id[:8]}",
        "application": made.manifest.application,
        "status": "trained",
        "requested_at": now_ms(),
        "at": now_ms(),
        "algorithm": made.manifest.algorithm,
        "candidate_id": made.id,
        "artefact": str(made.folder),
        "manifest_sha256": made.id,
        "lineage": (Span(0, 10**9, 10**9 + 1),),
        **changes,
    }
    return Candidate(**given)


def candidate_of(candidate_id: str, **changes: Any) -> Candidate:
    """What is said of a candidate whose artefact nobody asks for."""
    given: dict[str, Any] = {"request_id": "r", "application": "shop", "status": "trained", **changes}
    return Candidate(candidate_id=candidate_id, **{"requested_at": 1, "at": 1, **given})


def decided(random: np.random.Generator, shop: Application, n: int, **changes: Any) -> dict[str, Any]:
    """One reward of the shop: the banner is liked by who is older. Uniformly random, unless changed."""
    given = {
        "subject_id": f"s-{n}",
        "decision_time": now_ms(),
        "reward_time": now_ms(),
        "probabilities": [0.5, 0.5],
        **changes,
    }
    record = reward(shop, random, **given)
    decision = record["decision"]
    liked = (decision["context"][0] > 0) == (decision["action"] == "banner")
    return {**record, "reward": changes.get("reward", float(liked))}


def records(shop: Application, number: int, seed: int = 1, **changes: Any) -> list[dict[str, Any]]:
    """So many of them."""
    random = np.random.default_rng(seed)
    return [decided(random, shop, seed * 1_000_000 + n, **changes) for n in range(number)]


async def give(broker: BrokerSettings, found: Sequence[dict[str, Any] | bytes]) -> None:
    """Append rewards: all revisions of a decision to one partition, in order."""
    partitions: dict[int, list[bytes | None]] = {n: [] for n in range(PARTITIONS)}
    for n, each in enumerate(found):
        if isinstance(each, bytes):
            partitions[n % PARTITIONS].append(each)
        else:
            place = int(each["decision"]["decision_id"], 16) % PARTITIONS
            partitions[place].append(raw(each))
    await append(broker, partitions)
