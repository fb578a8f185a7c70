"""docker-compose.yml is valid, complete, and names commands and settings that the services start with."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any

import httpx
import jsonschema
import pytest

from shared.broker.embedded import EmbeddedBroker
from shared.cli.addresses import Addresses
from shared.cli.plan import SERVICES, plan
from shared.cli.state import StateFolder
from shared.cli.supervisor import not_ready
from shared.http.settings import ServiceSettings
from tests.cli.compose import ROOT, Unset, compose
from tests.cli.conftest import Start
from tests.waiting import wait_for

KEY = "a-long-secret"
DOCUMENT = compose({"STREAMWHEEL_API_KEYS": KEY})
OURS = {name: service for name, service in DOCUMENT["services"].items() if "build" in service}


def test_the_file_follows_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec/compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(DOCUMENT)
    broken = DOCUMENT | {"services": {"kafka": {"imagge": "apache/kafka"}}}
    with pytest.raises(jsonschema.ValidationError, match="imagge"):
        jsonschema.Draft7Validator(schema).validate(broken)


def test_no_service_starts_without_an_api_key() -> None:
    with pytest.raises(Unset, match="STREAMWHEEL_API_KEYS"):
        compose({})


def test_every_service_runs_and_waits_for_what_it_needs() -> None:
    assert re.fullmatch(r"apache/kafka:4\.1\.\d+", DOCUMENT["services"]["kafka"]["image"])
    assert set(OURS) == {*SERVICES, "topics"}
    for name in SERVICES:
        service = OURS[name]
        assert service["command"] == ["python", "-m", SERVICES[name]]
        assert service["depends_on"] == {
            "kafka": {"condition": "service_healthy"},
            "topics": {"condition": "service_completed_successfully"},
        }
        port = service["environment"]["STREAMWHEEL_PORT"]
        assert f"http://127.0.0.1:{port}/healthz" in service["healthcheck"]["test"][-1]
        assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    volumes = [
        mount.split(":")[0]
        for service in DOCUMENT["services"].values()
        for mount in service.get("volumes", [])
    ]
    assert set(volumes) == set(DOCUMENT["volumes"])


def test_the_image_is_built_in_stages_for_a_user_without_rights() -> None:
    lines = (ROOT / OURS["collector"]["build"]["dockerfile"]).read_text().splitlines()
    stages = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    assert len(stages) == 2
    final = lines[stages[-1] :]
    users = [line.split()[1] for line in final if line.startswith("USER ")]
    assert users == ["streamwheel"]
    sources = [line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    kept = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source.split('/')[0]}" in kept


def test_what_trainings_need_is_built_into_the_trainers_image_alone_and_on_request() -> None:
    assert "args" not in OURS["collector"]["build"]
    assert OURS["trainer"]["build"]["args"] == {"TRAINING": ""}
    asked = compose({"STREAMWHEEL_API_KEYS": KEY, "STREAMWHEEL_TRAINING": "yes"})["services"]["trainer"]
    assert asked["build"]["args"] == {"TRAINING": "yes"}
    assert asked["image"] != OURS["collector"]["image"]
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    assert "ARG TRAINING=\nCOPY services/trainer/requirements.lock" in dockerfile
    assert 'RUN [ -z "$TRAINING" ] ||' in dockerfile


def settings_of(name: str) -> type[ServiceSettings]:
    """What a service reads from its environment."""
    module = import_module(f"{SERVICES[name]}.settings")
    (found,) = (
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, ServiceSettings) and each.__module__ == module.__name__
    )
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_told_what_the_supervisor_tells_it(name: str, tmp_path: Path) -> None:
    specs = {each.name: each for each in plan(Addresses(8000), StateFolder(tmp_path))}
    read = {f"STREAMWHEEL_{field.upper()}" for field in settings_of(name).model_fields}
    told = {key for key in specs[name].environment if key in read}
    told -= {"STREAMWHEEL_INSTANCE"}  # a name would have replicas fence one another
    assert told
    assert told <= OURS[name]["environment"].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_writes_is_in_a_volume_that_holds_nothing_read_only(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    mounts = [mount.split(":") for mount in service.get("volumes", [])]
    writable = [PurePath(place) for _, place, *mode in mounts if not mode]
    assert {tuple(mode) for _, _, *mode in mounts} <= {(), ("ro",)}
    state = service["environment"].get("STREAMWHEEL_STATE")
    assert (state is not None) == ("state" in settings_of(name).model_fields)
    if state is None:
        assert not writable
        return
    assert PurePath(state) in writable
    for _, place, *mode in mounts:
        assert not (mode and PurePath(place).is_relative_to(state))


@pytest.fixture
def local(
    broker: EmbeddedBroker, tmp_path: Path, port_base: int
) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Service → its command and environment, with hosts, ports and folders of this machine."""

    def here(text: str) -> str:
        text = text.replace("kafka:9092", broker.bootstrap).replace("0.0.0.0", "127.0.0.1")
        for folder in ("/var/lib/streamwheel", "/etc/streamwheel"):
            text = text.replace(folder, str(tmp_path / Path(folder).parent.name))
        return text

    (tmp_path / "etc/applications").mkdir(parents=True)
    (tmp_path / "app").mkdir()

    def one(service: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
        command = [sys.executable if word == "python" else here(word) for word in service["command"]]
        named = {name: here(str(value)) for name, value in service["environment"].items()}
        if "STREAMWHEEL_PORT" in named:
            named["STREAMWHEEL_PORT"] = str(port_base + int(named["STREAMWHEEL_PORT"]) % 100)
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return command, kept | named | {"PYTHONPATH": str(ROOT)}

    return {name: one(service) for name, service in OURS.items()}


def test_every_service_starts_with_the_command_and_environment_that_the_file_names(
    local: dict[str, tuple[list[str], dict[str, str]]], start: Start, tmp_path: Path
) -> None:
    command, environment = local["topics"]
    image = tmp_path / "app"
    done = subprocess.run(command, env=environment, cwd=image, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "decisions" in [*json.loads(done.stdout)["created"], *json.loads(done.stdout)["existing"]]
    started = {}
    for name in SERVICES:
        (python, dash_m, *arguments), environment = local[name]
        assert dash_m == "-m"
        started[name] = start(*arguments, env=environment, cwd=image)
    for name, process in started.items():
        (python, *_), environment = local[name]
        url = f"http://127.0.0.1:{environment['STREAMWHEEL_PORT']}"
        with httpx.Client() as http:
            wait_for(lambda: process.poll() is not None or not_ready(url, http) is None, 90)  # noqa: B023
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert httpx.get(f"{url}/metrics").status_code == 401
        assert httpx.get(f"{url}/metrics", headers={"X-API-Key": KEY}).status_code == 200
        probe = OURS[name]["healthcheck"]["test"]
        assert probe[:3] == ["CMD", "python", "-c"]
        asked = re.sub(r"http://[\d.:]+", url, probe[3])
        assert subprocess.run([python, "-c", asked], timeout=30).returncode == 0
    assert list(image.iterdir()) == []  # the image is read-only
