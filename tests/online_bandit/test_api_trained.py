"""What every algorithm trains decides over HTTP as it was trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from shared.algorithms.artefacts import Artefact, train
from shared.algorithms.contract import Dataset, NotTrainable
from shared.algorithms.reading.archive import tables
from shared.algorithms.serving import ContinuousPolicy, DiscretePolicy, load_policy
from shared.applications.contract import Application
from shared.applications.entertainment.simulator import simulator as listeners
from shared.applications.registry import load
from shared.applications.search_ranking.simulator import SearchSimulator
from shared.applications.search_ranking.weights import NAMES, read_presets
from shared.applications.voice_assistant.simulator import simulator as callers
from shared.archive.columns import decode
from shared.broker.settings import BrokerSettings
from shared.core.verify import problems
from tests.algorithms.tiny.cql import SOURCE
from tests.algorithms.training import silent, tiny, trained
from tests.online_bandit.candidates import NOW, deploy, deployed, deployment
from tests.online_bandit.processes import read_topic, running
from tests.online_bandit.rewards import raw, reward
from tests.online_bandit.shop import write_applications
from tests.waiting import until

PARITY = 1e-5
"""How far the API may be from the trainer's own outputs."""
LISTENERS = ("q_learning", "ucb", "dqn", "actor_critic")


@pytest.fixture(scope="module")
def candidates(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Artefact]:
    root = tmp_path_factory.mktemp("candidates")
    return {name: trained(name, root) for name in (*LISTENERS, "prompt_search", "cql")}


@pytest.fixture(scope="module")
def applications() -> dict[str, Application]:
    return load([])


def simulated(application: str) -> Any:
    if application == "voice_assistant":
        return callers(0)
    return listeners(0) if application == "entertainment" else SearchSimulator(read_presets(), 0)


def contexts(application: str, n: int) -> list[dict[str, Any]]:
    """Contexts of requests."""
    random, simulator = np.random.default_rng(0), simulated(application)
    return [dict(simulator.start(random).context) for _ in range(n)]


async def _decided(
    http: httpx.AsyncClient, application: str, prefix: str, n: int = 30, **changes: Any
) -> list[dict[str, Any]]:
    asked = [
        {
            "application": application,
            "subject_id": f"s-{number}",
            "decision_id": f"{prefix}-{number}",
            "context": context,
            **changes,
        }
        for number, context in enumerate(contexts(application, n))
    ]
    reply = await http.post("/v1/decisions/batch", json={"decisions": asked})
    assert reply.status_code == 200, reply.text
    found: list[dict[str, Any]] = reply.json()["decisions"]
    return found


async def _obeyed(http: httpx.AsyncClient, application: str, sequence: int) -> bool:
    found = (await http.get(f"/v1/policies/{application}")).json()
    assert all(each["reason"] == "loading" for each in found["problems"]), found["problems"]
    obeyed = found["deployment"]
    return obeyed is not None and obeyed["sequence"] == sequence and not found["problems"]


async def test_every_algorithms_candidate_decides_with_its_own_probabilities(
    topics: BrokerSettings,
    tmp_path: Path,
    candidates: Mapping[str, Artefact],
    applications: Mapping[str, Application],
) -> None:
    write_applications(tmp_path / "applications")
    replies: dict[str, tuple[Artefact, dict[str, Any]]] = {}
    async with (
        running(topics, tmp_path) as api,
        httpx.AsyncClient(base_url=api.url, timeout=30) as http,
    ):
        for sequence, name in enumerate(candidates, 1):
            artefact = candidates[name]
            application = artefact.manifest.application
            await deploy(topics, deployment(sequence, deployed(artefact), application=application))
            await until(lambda a=application, s=sequence: _obeyed(http, a, s))  # type: ignore[misc]
            for reply in await _decided(http, application, name):
                replies[reply["decision_id"]] = artefact, reply
    logged = {record["decision_id"]: record for record in await read_topic(topics, "decisions")}
    assert logged.keys() == replies.keys()
    for identifier, (artefact, reply) in replies.items():
        record, application = logged[identifier], applications[artefact.manifest.application]
        assert problems(reply) == []
        assert reply["policy"] == {"name": artefact.id, "version": 1}
        assert (record["policy"], record["propensity"]) == (artefact.id, reply["propensity"])
        policy, context = load_policy(artefact.folder), np.array([record["context"]], np.float64)
        if isinstance(policy, ContinuousPolicy):
            weights = policy.action(context)[0]
            assert (reply["action"], reply["probabilities"]) == ("weights", {"weights": 1.0})
            assert list(reply["parameters"]) == list(NAMES)
            assert list(reply["parameters"].values()) == pytest.approx(weights, abs=PARITY)
            continue
        assert isinstance(policy, DiscretePolicy)
        expected = dict(zip(policy.actions, policy.probabilities(context)[0], strict=True))
        assert reply["probabilities"] == pytest.approx(expected, abs=PARITY)
        assert min(reply["probabilities"].values()) > 0
        assert reply["parameters"] == application.parameters(reply["action"])


async def test_weights_that_were_logged_train_again(
    topics: BrokerSettings,
    tmp_path: Path,
    candidates: Mapping[str, Artefact],
    applications: Mapping[str, Application],
) -> None:
    write_applications(tmp_path / "applications")
    cql = candidates["cql"]
    async with (
        running(topics, tmp_path) as api,
        httpx.AsyncClient(base_url=api.url, timeout=30) as http,
    ):
        presets = await _decided(http, "search_ranking", "before", 200)
        await deploy(topics, deployment(1, deployed(cql), application="search_ranking"))
        await until(lambda: _obeyed(http, "search_ranking", 1))
        own = await _decided(http, "search_ranking", "after", 200)
        some = await _decided(http, "search_ranking", "some", actions=["brand", "market"])
    assert {reply["action"] for reply in own} == {"weights"}
    assert {reply["action"] for reply in some} <= {"brand", "market"}
    logged = {record["decision_id"]: record for record in await read_topic(topics, "decisions")}
    search, random = applications["search_ranking"], np.random.default_rng(0)
    replies, records = [*presets, *own, *some], []
    for number, reply in enumerate(replies):
        decision = {name: value for name, value in logged[reply["decision_id"]].items() if name[0] != "_"}
        record = reward(search, random, decision_time=NOW + number)
        records.append(raw({**record, "decision": decision}))
    archived = decode(records, np.arange(len(records)), 0).frame
    table = tables(search, archived)["searches"]
    for reply, action in zip(replies, table["action"].to_list(), strict=True):
        assert action == pytest.approx(list(reply["parameters"].values()), abs=1e-12)
    algorithm, _, parameters = tiny("cql")
    data = Dataset("search_ranking", {"searches": table}, (SOURCE,), ())
    again = train(algorithm, data, parameters, 1, tmp_path / "candidates", silent)
    policy = load_policy(again.folder, again.id)
    assert isinstance(policy, ContinuousPolicy)
    assert policy.action(np.array(table["observation"].to_list())).sum(axis=1) == pytest.approx(1)


def test_weights_that_are_not_whole_are_not_trained_on(applications: Mapping[str, Application]) -> None:
    search, random = applications["search_ranking"], np.random.default_rng(0)
    given = [{"name": name, "number": 1 / 7, "text": None} for name in NAMES[:-1]]
    records = [raw(reward(search, random, action="weights", attributes=given))]
    with pytest.raises(NotTrainable, match=NAMES[-1]):
        tables(search, decode(records, np.arange(1), 0).frame)
