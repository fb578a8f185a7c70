"""`streamwheel train` from people's own lines, with a tiny real model."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from shared.algorithms.artefacts import Artefact, load
from shared.applications.dashboard_widgets.simulator import WidgetSimulator
from shared.cli.main import app
from tests.algorithms_language import tiny


def write(file: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return file


def trained(out: Path, application: str, data: Path, algorithm: str, **parameters: Any) -> Artefact:
    flags = [
        str(word) for name, value in parameters.items() for word in (f"--{name.replace('_', '-')}", value)
    ]
    command = ["train", application, "--data", str(data), "--algorithm", algorithm, "--out", str(out), *flags]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    return load(out / said["candidate"], said["candidate"])


@pytest.fixture(scope="module")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real answers, the worse one corrected by the better one, and thumbs that follow a rule."""
    corrections = [
        {
            "query": pair["prompt"],
            "response": pair["rejected"],
            "feedback_type": "correction",
            "correction": pair["chosen"],
        }
        for pair in tiny.real_pairs(20).to_dicts()
    ]
    thumbs = [
        {
            "query": label["query"],
            "response": label["response"],
            "feedback_type": "thumbs_up" if label["positive"] else "thumbs_down",
        }
        for label in tiny.feedback(48).to_dicts()
    ]
    return write(tmp_path_factory.mktemp("lines") / "feedback.jsonl", [*corrections, *thumbs])


def test_feedback_lines_train_a_reward_model_and_the_policy_that_follows_it(
    feedback: Path, tmp_path: Path
) -> None:
    scorer = trained(
        tmp_path, "assistant", feedback, "reward_model", base_model=tiny.LLAMA, epochs=1, max_length=128
    )
    metrics = scorer.manifest.metrics
    assert metrics["train_pairs"] + metrics["held_out_pairs"] == 20
    assert metrics["train_labels"] + metrics["held_out_labels"] == 68
    policy = trained(
        tmp_path,
        "assistant",
        feedback,
        "ppo",
        base_model=tiny.LLAMA,
        reward_model=scorer.folder,
        updates=1,
        response_length=6,
        measured=8,
    )
    assert policy.manifest.metrics["train_queries"] > 40
    assert "model.safetensors" in policy.manifest.files


def test_feedback_lines_train_a_round_of_the_continuous_learner(feedback: Path, tmp_path: Path) -> None:
    made = trained(
        tmp_path,
        "assistant",
        feedback,
        "continuous",
        reward_base_model=tiny.LLAMA,
        base_model=tiny.LLAMA,
        new_samples=60,
        reward_epochs=1,
        updates=1,
        response_length=6,
    )
    assert {"policy/model.safetensors", "reward/model.safetensors"} <= set(made.manifest.files)


def test_entries_and_ratings_train_an_adapter(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = [line for shown in WidgetSimulator(0).shown(60, 6, random) for line in shown]
    data = write(tmp_path / "widgets.jsonl", lines)
    made = trained(
        tmp_path / "out",
        "dashboard_widgets",
        data,
        "dpo",
        base_model=tiny.LLAMA,
        lora_r=4,
        epochs=1,
        min_samples=10,
        held_out=0.25,
    )
    assert made.manifest.metrics["held_out_questions"] >= 2
    assert made.manifest.lineage[0].rows == len(lines) / 2  # ratings, of which there are more than pairs
