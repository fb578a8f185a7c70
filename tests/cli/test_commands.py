"""What the command prints and how it ends: JSON on stdout, sentences on stderr, status 0, 1 or 2."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from shared.broker.settings import BrokerSettings
from shared.broker.topics import TOPICS
from shared.core.draw import draw, uniform
from shared.wire.codec import encode
from shared.wire.schemas import schema

INTERACTION = {
    "interaction_id": "i-1",
    "decision_id": "d-1",
    "application": "optdigits",
    "type": "right",
    "value": 1.0,
    "attributes": [],
    "occurred_at": None,
}


def run(
    *arguments: object, given: str = "", settings: BrokerSettings | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMWHEEL_")}
    if settings:
        environment |= {
            "STREAMWHEEL_BROKER": settings.broker,
            "STREAMWHEEL_TOPIC_PREFIX": settings.topic_prefix,
        }
    command = [sys.executable, "-m", "shared.cli", *map(str, arguments)]
    done = subprocess.run(command, input=given, env=environment, capture_output=True, text=True, timeout=90)
    assert "Traceback" not in done.stderr
    return done


def lines(done: subprocess.CompletedProcess[str]) -> list[Any]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["up", "--port-base", "high"], "--port-base"),
        (["up", "--port-base", "65535"], "--port-base"),
        (["up", "--applications", "/nowhere"], "/nowhere"),
        (["demo", "nothing"], "optdigits"),
        (["reward", "nothing"], "optdigits"),
        (["reward", "optdigits", "/nowhere"], "/nowhere: No such file"),
        (["replay", "nothing"], "optdigits"),
        (["verify-decision", "/nowhere"], "/nowhere: No such file"),
        (["dead-letters", "replay"], "--reason"),
    ],
)
def test_bad_usage_ends_with_2_and_names_what_is_wrong(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_a_wrong_application_file_is_named_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("application: shop\nactions: [a]\nreward: {aggregation: medium}\n")
    done = run("up", "--state", tmp_path / "state", "--applications", tmp_path)
    assert done.returncode == 2
    assert "shop.yaml: reward.aggregation: 'medium' is not one of" in done.stderr


def test_a_wrong_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-m", "shared.cli", "topics", "list"]
    environment = os.environ | {"STREAMWHEEL_BROKER_SECURITY": "NONE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "STREAMWHEEL_BROKER_SECURITY" in done.stderr
    assert "Traceback" not in done.stderr


def test_reward_gives_a_line_for_a_line() -> None:
    right = json.dumps({"interactions": [{"type": "right", "value": 1}]})
    done = run("reward", "optdigits", given=f"{right}\n\nno json\n")
    assert done.returncode == 1
    assert lines(done)[0] == {"reward": 1.0, "components": {"sum": 1.0}}
    assert lines(done)[1]["error"].startswith("no JSON")
    assert run("reward", "optdigits", "-", given=right).returncode == 0


def test_verify_decision_repeats_the_draw(tmp_path: Path) -> None:
    probabilities = {"a": 0.25, "b": 0.75}
    names = list(probabilities)
    action = names[draw(list(probabilities.values()), uniform("d-1", "p", 7))]
    decision = {
        "decision_id": "d-1",
        "policy": {"name": "p", "version": 7},
        "action": action,
        "propensity": probabilities[action],
        "probabilities": probabilities,
    }
    file = tmp_path / "decisions.json"
    file.write_text(json.dumps({"decisions": [decision]}, indent=2))
    done = run("verify-decision", file)
    assert done.returncode == 0
    assert lines(done) == [{"decision_id": "d-1", "verified": True, "problems": []}]
    other = names[1 - names.index(action)]
    wrong = decision | {"action": other, "propensity": probabilities[other]}
    done = run("verify-decision", "-", given=f"{json.dumps(decision)}\n{json.dumps(wrong)}\n")
    assert done.returncode == 1
    assert [each["verified"] for each in lines(done)] == [True, False]
    assert f"gives {action!r}" in lines(done)[1]["problems"][0]
    assert run("verify-decision", "-", given="nothing").returncode == 2


def test_topics_are_ensured_and_compared(names: BrokerSettings) -> None:
    assert len(lines(run("topics", "mismatches", settings=names))[0]["mismatches"]) == len(TOPICS)
    done = run("topics", "ensure", "--partitions", 2, settings=names)
    assert done.returncode == 0
    assert set(lines(done)[0]["created"]) == {names.topic(name) for name in TOPICS}
    assert run("topics", "mismatches", "--partitions", 2, settings=names).returncode == 0
    done = run("topics", "mismatches", settings=names)
    assert done.returncode == 1
    assert f"{names.topic('decisions')}: 2 partitions, expected 4" in done.stderr


def test_a_cluster_that_is_away_is_a_sentence() -> None:
    done = run("dead-letters", "list", settings=BrokerSettings(broker="127.0.0.1:1"))
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr or "STREAMWHEEL_BROKER" in done.stderr


def test_dead_letters_are_listed_shown_and_put_back(topics: BrokerSettings) -> None:
    good = encode(schema("interactions"), INTERACTION)
    for offset, (value, reason) in enumerate([(good, "unknown-application"), (b"garbage\xff", "bad-marker")]):
        dead = {"topic": topics.topic("interactions"), "partition": "2", "offset": str(offset)}
        told = dead | {
            "exception.class.name": reason,
            "exception.message": "why",
            "stage": "reward-calculator",
        }
        headers = [(f"__connect.errors.{name}", text.encode()) for name, text in told.items()]
        _write(topics, "dead-letters", value, headers)

    found = lines(run("dead-letters", "list", settings=topics))
    assert [(each["topic"], each["partition"], each["offset"]) for each in found] == [
        ("interactions", 2, 0),
        ("interactions", 2, 1),
    ]
    assert lines(run("dead-letters", "list", "--reason", "bad-marker", settings=topics)) == found[1:]

    shown = lines(run("dead-letters", "show", found[0]["id"], settings=topics))[0]
    assert bytes.fromhex(shown["value"]) == good
    assert shown["record"] == INTERACTION
    shown = lines(run("dead-letters", "show", found[1]["id"], settings=topics))[0]
    assert bytes.fromhex(shown["value"]) == b"garbage\xff"
    assert shown["unreadable"].startswith("bad-marker")
    assert run("dead-letters", "show", "0@99", settings=topics).returncode == 1

    done = run("dead-letters", "replay", "--all", settings=topics)
    assert done.returncode == 1
    assert lines(done)[0]["replayed"] == [found[0]["id"]]
    assert lines(done)[0]["refused"].keys() == {found[1]["id"]}
    assert _values(topics, "interactions") == [good]


def _write(settings: BrokerSettings, topic: str, value: bytes, headers: list[tuple[str, bytes]]) -> None:
    producer = KafkaProducer(**settings.kafka_python())
    producer.send(settings.topic(topic), value=value, headers=headers, partition=0).get(timeout=20)
    producer.close()


def _values(settings: BrokerSettings, topic: str) -> list[bytes | None]:
    from shared.cli.topic_log import open_log

    with open_log(settings) as log:
        parts = [log.read(topic, partition) for partition in log.partitions(topic)]
        return [value for part in parts for records in part for value in records.values]
