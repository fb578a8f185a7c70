"""Tiny runs on real data, trained once."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import pytest

from shared.algorithms.artefacts import Artefact
from tests.algorithms_language import tiny


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Artefact]:
    """The algorithm's name → its candidate. Nobody changes it."""
    root: Path = tmp_path_factory.mktemp("language")

    @lru_cache
    def make(name: str) -> Artefact:
        return tiny.trained(name, root)

    return make
