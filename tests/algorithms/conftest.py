"""One candidate of every algorithm that has tiny data, trained once."""

from collections.abc import Callable
from functools import lru_cache

import pytest

from shared.algorithms.artefacts import Artefact
from tests.algorithms.training import trained


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Artefact]:
    """The algorithm's name → its candidate. Nobody changes it."""
    root = tmp_path_factory.mktemp("candidates")

    @lru_cache
    def make(name: str) -> Artefact:
        return trained(name, root)

    return make
