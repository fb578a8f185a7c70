"""What every algorithm keeps: found by walking the folders."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.algorithms.artefacts import Artefact
from shared.algorithms.contract import NotTrainable
from shared.algorithms.parameters import ParameterError, chosen, from_document, to_document
from shared.algorithms.registry import OTHERWISE, USUAL, algorithms, for_application
from shared.algorithms.serving import ContinuousPolicy, DiscretePolicy, load_policy
from shared.cli import commands_training
from tests.algorithms.training import TINY, silent, tiny, trained

EVERY = algorithms()
OWN_FLAGS = set(inspect.signature(commands_training._train).parameters)
every_algorithm = pytest.mark.parametrize("name", EVERY)
every_tiny = pytest.mark.parametrize("name", TINY)


@every_algorithm
def test_each_hyper_parameter_is_documented_and_free_to_be_a_flag(name: str) -> None:
    kind: Any = EVERY[name].declaration.Parameters
    for field, info in kind.__pydantic_fields__.items():
        assert info.description, field
        assert field not in OWN_FLAGS


@every_algorithm
def test_presets_survive_json(name: str) -> None:
    declared = EVERY[name].declaration
    assert declared.PRESETS["default"] == declared.Parameters()
    for preset in declared.PRESETS.values():
        document = json.loads(json.dumps(to_document(preset)))
        assert from_document(declared.Parameters, document) == preset


@every_algorithm
def test_an_unknown_hyper_parameter_is_refused_by_name(name: str) -> None:
    declared = EVERY[name].declaration
    with pytest.raises(ParameterError, match="speed: no such"):
        chosen(declared.Parameters, declared.PRESETS, "default", {"speed": 1})
    with pytest.raises(ParameterError, match="'fast' is not one of default"):
        chosen(declared.Parameters, declared.PRESETS, "fast")


def test_declarations_import_no_heavy_library() -> None:
    heavy = {"torch", "d3rlpy", "sklearn", "onnx", "onnxruntime", "trl", "transformers", "peft", "datasets"}
    program = (
        "import sys; import shared.cli.main, shared.algorithms.serving;"
        "from shared.algorithms.registry import algorithms; algorithms(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())


def test_each_application_has_an_algorithm_meant_for_it() -> None:
    for application in [*USUAL, "shop"]:
        wanted = USUAL.get(application, OTHERWISE)
        if wanted in EVERY:
            assert for_application(application).name == wanted
    with pytest.raises(NotTrainable, match="'linear' is not for search_ranking"):
        for_application("search_ranking", "linear")
    with pytest.raises(NotTrainable, match="'guess' is unknown"):
        for_application("shop", "guess")


@every_tiny
def test_equal_seeds_give_the_same_candidate(
    name: str, candidate: Callable[[str], Artefact], tmp_path: Path
) -> None:
    again = trained(name, tmp_path)
    assert again.id == candidate(name).id
    assert [child.name for child in tmp_path.iterdir()] == [again.id]


@every_tiny
def test_the_manifest_tells_what_was_done(name: str, candidate: Callable[[str], Artefact]) -> None:
    algorithm, data, parameters = tiny(name)
    made = candidate(name).manifest
    assert (made.application, made.algorithm, made.seed) == (data.application, name, 1)
    assert from_document(algorithm.declaration.Parameters, made.parameters) == parameters
    assert [source.sha256 for source in made.lineage] == [source.sha256 for source in data.lineage]
    assert made.metrics
    assert set(algorithm.declaration.LIBRARIES) < set(made.libraries)
    assert made.inputs["type"] == "object"


@every_tiny
def test_progress_grows_to_one(name: str, tmp_path: Path) -> None:
    algorithm, data, parameters = tiny(name)
    seen: list[float] = []
    algorithm.training().train(data, parameters, 1, tmp_path, lambda share, doing: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@every_tiny
def test_a_dry_run_reports_as_json(name: str) -> None:
    algorithm, data, parameters = tiny(name)
    assert json.loads(json.dumps(algorithm.training().summary(data, parameters)))


@every_tiny
def test_missing_tables_and_columns_are_refused_by_name(name: str, tmp_path: Path) -> None:
    algorithm, data, parameters = tiny(name)
    for table, columns in algorithm.declaration.TABLES.items():
        without = {key: frame for key, frame in data.tables.items() if key != table}
        with pytest.raises(NotTrainable, match=table):
            algorithm.training().train(replace(data, tables=without), parameters, 1, tmp_path, silent)
        empty = dict(data.tables) | {table: data.tables[table].clear()}
        with pytest.raises(NotTrainable, match=table):
            algorithm.training().train(replace(data, tables=empty), parameters, 1, tmp_path, silent)
        for column in columns:
            less = dict(data.tables) | {table: data.tables[table].drop(column)}
            with pytest.raises(NotTrainable, match=column):
                algorithm.training().summary(replace(data, tables=less), parameters)
    assert not list(tmp_path.iterdir())


@every_tiny
def test_a_served_policy_decides_by_a_distribution_or_finite_actions(
    name: str, candidate: Callable[[str], Artefact]
) -> None:
    if EVERY[name].serving() is None:
        pytest.skip("its policies are not served from files")
    made = candidate(name)
    policy = load_policy(made.folder, made.id)
    contexts = np.random.default_rng(0).random((5, policy.width))
    if isinstance(policy, DiscretePolicy):
        found = policy.probabilities(contexts)
        assert found.shape == (5, len(policy.actions))
        assert (found > 0).all()
        assert found.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-12)
    else:
        assert isinstance(policy, ContinuousPolicy)
        assert np.isfinite(policy.action(contexts)).all()
