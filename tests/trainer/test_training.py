"""A training process reads an application's own tables from the archive."""

import io
from pathlib import Path

import numpy as np

from services.trainer.orders import Orders
from services.trainer.training import train
from shared.algorithms import artefacts
from shared.applications.registry import load
from shared.archive.archive import Archive
from shared.archive.reading import archived
from tests.archive.records import commit, reward

USERS, DECISIONS_EACH = 40, 30


def test_archived_rewards_of_an_application_become_a_candidate(tmp_path: Path) -> None:
    application = load()["entertainment"]
    random = np.random.default_rng(1)
    archive = Archive(tmp_path / "archive")
    traits = ("openness", "conscientiousness", "extraversion", "agreeableness", "neuroticism")
    rewards = []
    for n in range(USERS * DECISIONS_EACH):
        context = {name: float(random.integers(100)) for name in traits}
        context |= {"content_type": "music", "mood": "calm", "hour": 9}
        rewards.append(
            reward(
                n,
                "entertainment",
                f"u{n % USERS}",
                action=application.actions[n % len(application.actions)],
                actions=[],
                probabilities=[],
                context=application.featurise(context).tolist(),
                attributes=application.attributes(context),
                reward=float(n % 2),
                components=[{"name": "interaction", "value": float(n % 2)}],
            )
        )
    commit(archive, 0, 0, *rewards)
    orders = Orders(
        "entertainment",
        "ucb",
        {},
        1,
        tuple(archived(archive, "entertainment")),
        0,
        str(tmp_path / "archive"),
        str(tmp_path / "artefacts"),
    )
    outcome = train(orders, io.StringIO())
    assert (outcome.refused, outcome.rows) == ("", len(rewards))
    made = artefacts.load(Path(outcome.artefact))
    assert made.id == outcome.candidate_id
    assert made.manifest.application == "entertainment"
