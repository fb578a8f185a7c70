"""Under steady load every process is killed again and again, and the audit finds nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from itertools import cycle, takewhile
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shared.applications.registry import load
from shared.cli.audit.audit import audit
from shared.cli.audit.findings import INVARIANTS
from shared.cli.audit.replay import replay
from shared.cli.demo.demo import Run
from shared.cli.demo.examples import optdigits
from shared.cli.plan import BROKER, SERVICES
from shared.cli.running import running
from shared.cli.state import StateFolder
from tests.waiting import wait_for

ROUNDS = -(-20 // (1 + len(SERVICES)))
"""Each process is killed so often: 20 kills in all, or a few more."""
RATE = 40.0
SHORTEST_S, LONGEST_S = 1.0, 3.0
"""Between two kills."""


def status(state: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "shared.cli", "status", "--state", str(state), "--json"]
    document: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, timeout=60).stdout)
    return document


async def kill_all(folder: StateFolder, random: Random) -> int:
    """Kill every process ROUNDS times, in random order, at random moments; how many were killed."""
    kills = 0
    for _ in range(ROUNDS):
        for name in random.sample([BROKER, *SERVICES], 1 + len(SERVICES)):
            await asyncio.sleep(random.uniform(SHORTEST_S, LONGEST_S))
            while name not in (running := folder.recorded()):
                await asyncio.sleep(0.05)
            os.kill(running[name].pid, signal.SIGKILL)
            kills += 1
    return kills


@pytest.mark.timeout(600)
def test_nothing_is_lost_or_counted_twice_over_twenty_kills(tmp_path: Path) -> None:
    application, random = load()["optdigits"], Random(7)
    with running(tmp_path) as addresses:
        settings = addresses.broker_settings
        run = Run(application, addresses, settings, RATE)

        async def play() -> int:
            killing = asyncio.create_task(kill_all(StateFolder(tmp_path), random))
            await run.play(takewhile(lambda _: not killing.done(), cycle(optdigits(random))))
            return await killing

        assert asyncio.run(play()) >= 20
        after = wait_for(lambda: (seen := status(tmp_path))["ready"] and seen)
        restarts = {each["process"]: each["restarts"] for each in after["processes"]}
        found = audit(settings, {"optdigits": application}, run.journal)
        again = replay(settings, application)
        os.kill(after["supervisor"], signal.SIGKILL)
        wait_for(lambda: not StateFolder(tmp_path).recorded())
    assert found.verdicts == dict.fromkeys(INVARIANTS, "holds")
    assert len(run.journal.decisions.acknowledged) == found.figures["rewards"]
    assert all(restarts[name] >= ROUNDS for name in (BROKER, *SERVICES)), restarts
    assert again.differences == []
    assert again.served_model == again.model
