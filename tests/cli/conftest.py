"""Starting commands and waiting for what they do."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.cli.running import free_base

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port_base() -> int:
    """A base whose ports are free, apart from those of tests that run beside this one."""
    return free_base()


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `python -m …`; what still runs at the end of the test is killed."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: object, **environment: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", *map(str, arguments)]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **environment))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def until(condition: Callable[[], Any], limit_s: float = 20.0) -> Any:
    """What `condition` returns once it is true; fails after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)
    return found
