"""Language models follow their rollouts on an Ollama server, whatever was there before."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.deployer.book import Book, Entry
from services.deployer.models import Models, alias, model_name
from services.deployer.settings import DeployerSettings
from shared.algorithms import artefacts
from shared.algorithms.export.errors import NotExportable
from shared.broker.settings import BrokerSettings
from shared.core.rollout.facts import Rollout, State
from shared.wire.rollouts import Deployed
from tests.algorithms_language.ollama_server import State as Served
from tests.algorithms_language.ollama_server import serving
from tests.deployer.processes import (
    applications,
    artefact,
    deploying,
    evaluation,
    happened,
    stages,
    submit,
)
from tests.waiting import wait_for


def language(folder: Path, seed: int) -> artefacts.Artefact:
    """An artefact with the files of a language model."""
    return artefact(folder, seed, "config.json", "tokenizer.json", "model.safetensors")


def entry(made: artefacts.Artefact) -> Entry:
    return Entry(Deployed(made.id, "dpo", str(made.folder)), "e", "pass", 9, submitted=True)


@pytest.fixture
def server() -> Iterator[tuple[str, Served]]:
    with serving() as found:
        yield found


@pytest.fixture
def models(server: tuple[str, Served]) -> Iterator[Models]:
    made = started(server[0])
    yield made
    made.stop()


def started(address: str) -> Models:
    command = f"{sys.executable} -m tests.deployer.fake_export"
    made = Models(DeployerSettings(ollama_host=address, export_command=command))
    made.start()
    return made


def rolling(*made: artefacts.Artefact, stable: str = "main", policy: str | None = None) -> Book:
    rollout = Rollout(policy, 0, 0.0, 0.0) if policy else None
    return Book("shop", State("main", stable, rollout=rollout), {each.id: entry(each) for each in made})


def test_a_canary_is_made_and_warm_then_has_the_alias_and_what_is_over_goes(
    models: Models, server: tuple[str, Served], tmp_path: Path
) -> None:
    address, state = server
    first, second = language(tmp_path, 11), language(tmp_path, 12)
    assert models.problem(first.id) == "its model is not ready yet"
    models.want({"shop": rolling(first, policy=first.id)})
    wait_for(lambda: models.problem(first.id) is None)
    assert set(state.models) == {model_name("shop", first.id)}
    assert state.loaded == [model_name("shop", first.id)]

    models.want({"shop": rolling(first, stable=first.id)})
    wait_for(lambda: alias("shop") in state.models)
    both = rolling(first, second, stable=first.id, policy=second.id)
    models.want({"shop": both})
    wait_for(lambda: models.problem(second.id) is None)
    assert state.models[alias("shop")] == state.models[model_name("shop", first.id)]

    models.stop()  # another process takes over, and compares what it finds
    other = started(address)
    other.want({"shop": replace(both, state=replace(both.state, stable=second.id, rollout=None))})
    wait_for(lambda: set(state.models) == {model_name("shop", second.id), alias("shop")})
    other.stop()
    assert state.models[alias("shop")] == state.models[model_name("shop", second.id)]


def test_what_cannot_be_made_says_why_and_is_tried_again(
    models: Models, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("services.deployer.models.RETRY_S", 0.01)
    broken = language(tmp_path, 22)
    models.want({"shop": rolling(broken, policy=broken.id)})
    why = "exporting failed: the base model is missing"
    wait_for(lambda: why in (models.problem(broken.id) or ""))
    assert wait_for(lambda: caplog.text.count(why) > 1)


def test_other_policies_are_ready_at_once(models: Models, server: tuple[str, Served], tmp_path: Path) -> None:
    plain = artefact(tmp_path, 1)
    models.want({"shop": rolling(plain, policy=plain.id)})
    wait_for(lambda: models.problem(plain.id) is None)
    assert server[1].models == {}


async def test_a_stage_waits_for_its_model(
    topics: BrokerSettings, server: tuple[str, Served], tmp_path: Path
) -> None:
    applications(tmp_path / "applications")
    broken, good = language(tmp_path, 22), language(tmp_path, 11)
    environment = {
        "OLLAMA_HOST": server[0],
        "STREAMWHEEL_EXPORT_COMMAND": f"{sys.executable} -m tests.deployer.fake_export",
    }
    async with deploying(topics, tmp_path, **environment) as (_, http):
        await submit(topics, evaluation(broken), evaluation(good))
        held = next(each for each in await happened(topics, "held") if each.what == "held")
        assert (held.policy, held.stage) == (broken.id, "shadow")
        assert "model" in held.cause
        assert (await http.post("/v1/rollouts/shop/abort")).status_code == 200
        events = await happened(topics, "advanced")
    assert stages(events, broken.id)[-1] == ("aborted", 0.0)
    assert stages(events, good.id)[-1] == ("advanced", 0.1)
    assert model_name("shop", good.id) in server[1].loaded


def test_without_a_server_everything_is_ready_and_a_wrong_address_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    made = Models(DeployerSettings())
    made.start()
    made.stop()
    assert made.problem("p") is None
    with pytest.raises(NotExportable, match="no HTTP address"):
        Models(DeployerSettings(ollama_host="ftp://there"))
