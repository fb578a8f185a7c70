"""Applications to decide for, and policies that have learnt something."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.applications.contract import Application
from shared.applications.generic.application import GenericApplication
from shared.applications.policies import new_learner, policy_name
from shared.applications.settings import ApplicationSettings
from shared.core.policies.learner import Learner
from shared.wire.policy_updates import Keyed, Source, snapshot_records

ACTIONS = ["banner", "popup", "mail"]
SHOP = """
application: shop
features:
  - {name: age, type: numeric, mean: 40, scale: 10}
  - {name: device, type: categorical, values: [phone, desk]}
attributes: [title]
actions: [banner, popup, mail]
policy: {name: main, kind: squarecb, map: linear, scaling_rows: 8}
"""
RANKING = """
application: ranking
features:
  - {name: age, type: numeric}
actions:
  features:
    - {name: price, type: numeric}
    - {name: rank, type: numeric}
policy: {name: rank, kind: linucb, scaling_rows: 8}
"""


def write_applications(folder: Path, **more: str) -> Path:
    """A folder with the applications above, and more by name."""
    folder.mkdir(exist_ok=True)
    for name, text in {"shop": SHOP, "ranking": RANKING, **more}.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def large(actions: int, features: int) -> Application:
    """A LinUCB policy over many actions and many linear features."""
    return GenericApplication(ApplicationSettings.model_validate(large_settings(actions, features)))


def large_settings(actions: int, features: int) -> dict[str, Any]:
    """Its settings."""
    return {
        "application": "large",
        "features": [{"name": f"x{i}", "type": "numeric"} for i in range(features)],
        "actions": [f"a{i}" for i in range(actions)],
        "policy": {"name": "large", "kind": "linucb", "map": "linear", "scaling_rows": 8},
    }


def request(**changes: Any) -> dict[str, Any]:
    """A valid request for the shop."""
    wanted = {
        "application": "shop",
        "subject_id": "s-1",
        "context": {"age": 30, "device": "phone", "title": "Grüße"},
        **changes,
    }
    return {name: value for name, value in wanted.items() if value is not ...}


def ranked(*prices: float, **changes: Any) -> dict[str, Any]:
    """A valid request whose actions bring features."""
    actions = [
        {"action": f"item-{i}", "features": {"price": price, "rank": i}} for i, price in enumerate(prices)
    ]
    return {
        "application": "ranking",
        "subject_id": "s-1",
        "context": {"age": 30},
        "actions": actions,
        **changes,
    }


def teach(learner: Learner, n: int, seed: int = 0, likes: int = 0) -> None:
    """n rewards: about 1 for the action `likes`, about 0 for others."""
    random = np.random.default_rng([seed, learner.learnt])
    actions = random.integers(learner.actions, size=n)
    contexts = random.normal(size=(n, learner.width + learner.action_width))
    rewards = (actions == likes) + 0.1 * random.normal(size=n)
    learner.learn(contexts, actions, rewards, np.ones(n), np.arange(n))
    if (scaling := learner.propose_scaling()) is not None:
        learner.set_scaling(scaling)


def taught(application: Application, n: int, likes: int = 0) -> Learner:
    """A learner of the application's policy after n rewards."""
    learner = new_learner(application)
    teach(learner, n, likes=likes)
    return learner


def snapshots(application: Application, learners: Sequence[Learner], sequence: int = 1) -> list[Keyed]:
    """What the learners of partitions 0, 1, … publish; they have learnt every record of the rewards."""
    name = policy_name(application)
    return [
        keyed
        for partition, learner in enumerate(learners)
        for keyed in snapshot_records(
            Source(application.name, name, partition),
            learner,
            sequence=sequence,
            next_offset=learner.learnt,
        )
    ]
