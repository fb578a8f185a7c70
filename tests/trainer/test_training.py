"""A training process reads an application's own tables from the archive."""

import io
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest

from services.trainer.orders import Orders
from services.trainer.training import train
from shared.algorithms import artefacts, registry
from shared.applications.registry import load
from shared.archive.archive import Archive
from shared.archive.reading import archived
from tests.archive.records import commit, reward

USERS, DECISIONS_EACH = 40, 30


def orders(folder: Path, algorithm: str = "ucb") -> Orders:
    """To train on archived rewards of entertainment, which are made up first."""
    application = load()["entertainment"]
    random = np.random.default_rng(1)
    archive = Archive(folder / "archive")
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
    spans = tuple(archived(archive, "entertainment"))
    addresses = str(folder / "archive"), str(folder / "artefacts")
    return Orders("entertainment", algorithm, {}, 1, spans, 0, *addresses)


def test_archived_rewards_of_an_application_become_a_candidate(tmp_path: Path) -> None:
    outcome = train(orders(tmp_path), io.StringIO())
    assert (outcome.refused, outcome.failed, outcome.rows) == ("", "", USERS * DECISIONS_EACH)
    made = artefacts.load(Path(outcome.artefact))
    assert made.id == outcome.candidate_id
    assert made.manifest.application == "entertainment"


def test_a_library_that_is_not_installed_is_named_with_the_way_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name == "torch":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(registry, "version", version)
    outcome = train(orders(tmp_path, "dqn"), io.StringIO())
    assert outcome.failed == (
        "dqn needs torch: make install-training installs services/trainer/requirements.lock"
    )
    assert not list((tmp_path / "artefacts").glob("*"))


def test_the_service_imports_nothing_that_only_trainings_need() -> None:
    heavy = "{'d3rlpy', 'onnxruntime', 'peft', 'sklearn', 'torch', 'transformers', 'trl'}"
    program = f"import sys, services.trainer.__main__; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
