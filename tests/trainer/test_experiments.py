"""A test of variants as the archive has it: every decision once, at its latest revision."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from services.trainer.experiments import Experiments
from services.trainer.settings import TrainerSettings
from shared.applications.experiments import experiment_of
from shared.applications.registry import load
from shared.archive.archive import Archive
from shared.broker.settings import BrokerSettings
from shared.cli.addresses import OFFSETS
from shared.core.rollout.arms import bucket
from shared.telemetry.health import Health
from shared.telemetry.metrics import Metrics
from tests.archive.records import commit, encoded, reward
from tests.online_bandit.rewards import append
from tests.trainer.processes import applications, training
from tests.trainer.test_api import streamwheel
from tests.waiting import until

ASSISTANT = load()["assistant"]
FOUND = experiment_of(ASSISTANT)
assert FOUND is not None
TEST = FOUND
EFFECTS = {"base": 0.0, "tuned": 0.6, "careful": 0.0}
USERS = 600


def rated(n: int, subject: str, variant: str, value: float, **changes: Any) -> dict[str, Any]:
    given = {"policy": TEST.policy, "action": variant, "reward": value, "revision": 0, "is_default": False}
    return reward(n, "assistant", subject, **given | changes)


def decisions() -> list[dict[str, Any]]:
    """Four decisions of each user, in the variant that the user has."""
    random, made = np.random.default_rng(1), []
    for n in range(4 * USERS):
        subject = f"user-{n % USERS}"
        variant = TEST.variant(subject)
        liked = random.random() < 0.5 + EFFECTS[variant] / 2
        made.append(rated(n, subject, variant, 1.0 if liked else -1.0))
    return made


def looking(folder: Path, metrics: Metrics | None = None) -> Experiments:
    settings = TrainerSettings(state=folder)
    archive = Archive(settings.archive_address)
    return Experiments(settings, {"assistant": ASSISTANT}, archive, metrics or Metrics(), Health(lambda: 0.0))


def test_figures_are_those_of_the_latest_revisions_whoever_looks_and_however_often(tmp_path: Path) -> None:
    given = decisions()
    archive = Archive(tmp_path / "archive")
    often, metrics = looking(tmp_path), Metrics()
    others = [rated(9_000 + n, "somebody", "tuned", -1.0, policy="main@0123456789abcdef") for n in range(50)]
    commit(archive, 0, 0, *given[:1000], *others)
    often.look()
    corrected = {
        n: {**given[n], "reward": 0.0, "previous_reward": given[n]["reward"], "revision": 1}
        for n in range(40)
    }
    commit(archive, 0, 1050, *corrected.values())
    often.look()
    commit(archive, 1, 0, *given[1000:])
    often.look()
    once = looking(tmp_path, metrics)
    once.look()
    assert often.figures["assistant"].document() == once.figures["assistant"].document()
    told = once.figures["assistant"].document()
    final = [corrected.get(n, each) for n, each in enumerate(given)]
    for name, found in told["variants"].items():
        values = [each["reward"] for each in final if each["decision"]["action"] == name]
        assert found["decisions"] == len(values)
        assert found["reward"]["mean"] == pytest.approx(np.mean(values))
        assert found["positive"]["mean"] == pytest.approx(np.mean([value > 0 for value in values]))
        low, high = found["reward"]["interval"]
        assert low < found["reward"]["mean"] < high
    verdicts = {name: each["reward"]["verdict"] for name, each in told["variants"].items()}
    assert verdicts == {"base": "control", "tuned": "better", "careful": "undecided"}
    assert told["variants"]["tuned"]["reward"]["p_value"] < 0.025
    groups = {
        bucket(each["decision"]["subject_id"]) for each in final if each["decision"]["action"] == "tuned"
    }
    assert once.figures["assistant"].standings["reward"]["tuned"].groups == len(groups)

    def shown(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(
            f"streamwheel_experiment_{name}", {"application": "assistant", **labels}
        )

    low, _ = told["variants"]["tuned"]["reward"]["difference_interval"]
    assert shown("difference_low", variant="tuned", metric="reward") == low
    assert low > 0
    assert shown("verdict", variant="tuned", metric="reward", verdict="better") == 1
    assert shown("verdict", variant="tuned", metric="reward", verdict="undecided") == 0
    assert shown("decisions", variant="base") == told["variants"]["base"]["decisions"]


async def test_a_test_is_told_over_http(tmp_path: Path) -> None:
    from services.trainer.__main__ import Parts, build

    commit(Archive(tmp_path / "archive"), 0, 0, *decisions()[:10])
    app = build(TrainerSettings(state=tmp_path), BrokerSettings(broker="127.0.0.1:9"), Parts())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://trainer") as http:
        assert (await http.get("/v1/experiments")).json() == {"experiments": []}
        assert (await http.get("/v1/experiments/entertainment")).status_code == 404


async def test_the_command_tells_what_a_running_trainer_made_of_the_topic(
    topics: BrokerSettings, tmp_path: Path
) -> None:
    applications(tmp_path / "applications")
    now = time.time_ns() // 1_000_000
    given = encoded(*({**each, "decision_time": now + n} for n, each in enumerate(decisions())))
    await append(topics, {n: given[n::4] for n in range(4)})
    often = {"STREAMWHEEL_WATCH_EVERY": "100ms", "STREAMWHEEL_FLUSH_AFTER": "100ms"}
    async with training(topics, tmp_path, **often) as (process, http):

        async def all_there() -> bool:
            stood = await http.get("/v1/experiments/assistant")
            told = stood.json().get("variants", {})
            return sum(each["decisions"] for each in told.values()) == len(given)

        await until(all_there)
        base = str(process.port - OFFSETS["trainer"])
        told, unknown = [
            await asyncio.to_thread(streamwheel, topics, "experiment", name, "--port-base", base)
            for name in ("assistant", "entertainment")
        ]
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["application"], found["experiment"]) == ("assistant", TEST.name)
    verdicts = {name: each["reward"]["verdict"] for name, each in found["variants"].items()}
    assert verdicts == {"base": "control", "tuned": "better", "careful": "undecided"}
    assert unknown.returncode == 2
    assert "'entertainment' has no test of variants" in unknown.stderr
    gone = await asyncio.to_thread(streamwheel, topics, "experiment", "assistant", "--port-base", base)
    assert gone.returncode == 1
    assert "the trainer at http://" in gone.stderr
