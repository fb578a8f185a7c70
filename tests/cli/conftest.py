"""Starting commands and waiting for what they do."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.cli.addresses import BLOCK
from tests.ports import own_ports

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def port_base() -> int:
    """A base whose ports are free, apart from those of tests that run beside this one."""
    return own_ports(BLOCK)


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
