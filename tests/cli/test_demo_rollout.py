"""The demo of a rollout from end to end, and what its audit of rollouts notices."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from shared.cli.audit.rollouts import LATEST_MS, lingering, skipped
from shared.wire.rollouts import DeploymentEvent

SHARES = [0.0, 0.1, 0.5, 1.0]


def moves(*steps: tuple[str, str, float]) -> list[DeploymentEvent]:
    """(what, policy, share afterwards) as the audit has it."""
    return [
        DeploymentEvent(f"shop-{n}", "shop", n, what, policy, "default", share, "", "", "", 1_000 * n)
        for n, (what, policy, share) in enumerate(steps, 1)
    ]


WAY = moves(
    ("queued", "a", 0.0),
    ("started", "a", 0.0),
    ("advanced", "a", 0.1),
    ("queued", "b", 0.1),
    ("blacklisted", "a", 0.1),
    ("rolled-back", "a", 0.0),
    ("started", "b", 0.0),
    ("advanced", "b", 0.1),
    ("advanced", "b", 0.5),
    ("advanced", "b", 1.0),
    ("stable", "b", 0.0),
)

Change = Callable[[list[DeploymentEvent]], list[DeploymentEvent]]
BROKEN: dict[str, tuple[Change, str]] = {
    "a gap": (lambda way: way[:3] + way[4:], "stands where 4 is due"),
    "a second rollout": (lambda way: [*way[:3], replace(way[3], what="started")], "begins a second rollout"),
    "a stage skipped": (lambda way: [*way[:2], replace(way[2], share=0.5)], "the stage's share is 0.1"),
    "stable too early": (
        lambda way: [*way[:7], replace(way[7], what="stable", share=0.0)],
        "after stage 1 of 4",
    ),
    "another policy": (lambda way: [*way[:2], replace(way[2], policy="c")], "is not rolled out"),
    "a share that stays": (lambda way: [*way[:5], replace(way[5], share=0.1)], "gives 0.1 of subjects"),
}


def test_a_way_by_the_book_is_sound() -> None:
    assert skipped(WAY, SHARES) is None
    assert lingering(WAY, [(3_500, "a"), (6_000 + LATEST_MS, "a"), (60_000, "b")]) is None


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_rules_of_rollouts_is_named(name: str) -> None:
    change, words = BROKEN[name]
    assert words in (skipped(change(WAY), SHARES) or "")


def test_a_canary_that_decides_long_after_its_rollback_is_named() -> None:
    assert "2001 ms after" in (lingering(WAY, [(6_000 + LATEST_MS + 1, "a")]) or "")


@pytest.mark.timeout(300)
def test_a_candidate_is_trained_judged_rolled_out_broken_and_taken_back() -> None:
    command = [sys.executable, "-m", "shared.cli", "demo", "generic", "--rollout"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert set(shown["audit"].values()) == {"holds"}
    assert {"I7", "I8"} < shown["audit"].keys()
    rollout = shown["rollout"]
    assert (rollout["verdict"], rollout["blacklisted"]) == ("pass", True)
    assert rollout["predicted"][1] > rollout["baseline"]
    assert rollout["canary_decisions"] > 0
    assert rollout["last_canary_after_s"] < 2
    told = [line.split()[0] for line in rollout["audit_trail"]]
    assert [what for what in told if what != "held"] == [
        *("queued", "started", "advanced", "advanced", "blacklisted", "rolled-back")
    ]


def test_a_rollout_is_of_the_application_of_yaml_alone() -> None:
    for words in (["generic"], ["optdigits", "--rollout"]):
        done = subprocess.run(
            [sys.executable, "-m", "shared.cli", "demo", *words], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2
        assert "--rollout belongs to generic" in done.stderr
