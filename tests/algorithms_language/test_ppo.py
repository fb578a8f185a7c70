"""Proximal policy optimisation: its steering, its verdict, going on after a crash, and a tiny run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shared.algorithms.artefacts import Artefact
from shared.algorithms.contract import Dataset, NotTrainable
from shared.algorithms.ppo.declaration import PRESETS, Parameters
from shared.algorithms.ppo.divergence import Control
from shared.algorithms.ppo.judging import Answers, judge
from tests.algorithms_language import tiny


def test_the_defaults_are_the_specified_ones() -> None:
    default = PRESETS["default"]
    assert (default.learning_rate, default.batch_size, default.mini_batch_size) == (1e-5, 8, 4)
    assert (default.ppo_epochs, default.target_kl, default.initial_kl_coefficient) == (4, 0.1, 0.2)
    assert (default.checkpoint_every, default.base_model) == (10, "phi-2")
    with pytest.raises(ValueError, match="mini_batch_size 3 does not divide batch_size 8"):
        Parameters(mini_batch_size=3)


def test_the_coefficient_follows_the_divergence() -> None:
    control = Control(0.2, 0.1)
    assert control.after(0.3).coefficient == pytest.approx(0.2 * 1.02)
    assert control.after(0.0).coefficient == pytest.approx(0.2 * 0.98)
    assert control.after(0.0808).coefficient == pytest.approx(0.2 * 1.001)
    assert control.after(0.1).coefficient > 0.2
    assert not control.ran_away(0.9)
    assert control.ran_away(1.1)


def answered(rewards: np.ndarray, lengths: np.ndarray) -> Answers:
    return Answers(rewards, lengths.astype(float))


def test_a_gain_within_target_is_better() -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(10, 30, 200)
    before = answered(random.standard_normal(200), lengths)
    after = answered(before.rewards + 0.5, random.integers(10, 30, 200))
    verdict = judge(before, after, 0.05, 0.1, 0)
    assert verdict.better
    assert verdict.gain.value == pytest.approx(0.5)


def test_a_gain_that_ran_away_is_not_better() -> None:
    same = answered(np.zeros(50), np.full(50, 9))
    verdict = judge(same, answered(np.ones(50), np.full(50, 9)), 0.3, 0.1, 0)
    assert verdict.reasons == ("divergence from the reference is 0.300 nats per token, target 0.1",)


def test_a_gain_of_length_alone_is_not_better() -> None:
    random = np.random.default_rng(0)
    short, long = random.integers(10, 20, 200), random.integers(20, 30, 200)
    noise = 0.1 * random.standard_normal((2, 200))
    verdict = judge(
        answered(0.1 * short + noise[0], short), answered(0.1 * long + noise[1], long), 0.0, 0.1, 0
    )
    assert verdict.gain.low > 0
    assert verdict.reasons[0].startswith("only the length grew")


def test_no_gain_is_not_better() -> None:
    random = np.random.default_rng(0)
    before = answered(random.standard_normal(60), np.full(60, 9))
    verdict = judge(before, answered(random.standard_normal(60), np.full(60, 9)), 0.0, 0.1, 0)
    assert "is not above 0" in verdict.reasons[0]


@pytest.fixture
def asked(candidate: Callable[[str], Artefact]) -> tuple[Dataset, Parameters]:
    frame = pl.DataFrame({"query": tiny.queries(24)})
    settings: dict[str, Any] = {
        "reward_model": str(candidate("reward_model").folder),
        "base_model": str(tiny.LLAMA),
        "learning_rate": 1e-4,
        "updates": 4,
        "checkpoint_every": 2,
        "ppo_epochs": 2,
        "response_length": 8,
        "min_samples": 10,
        "held_out": 0.25,
    }
    return Dataset("assistant", {"feedback": frame}, (tiny.SOURCE,)), Parameters(**settings)


def test_a_training_cut_short_goes_on_to_the_same_weights(
    asked: tuple[Dataset, Parameters], tmp_path: Path
) -> None:
    from shared.algorithms.ppo.train import train

    data, chosen = asked
    whole, cut = tmp_path / "a" / "out", tmp_path / "b" / "out"
    whole.mkdir(parents=True)
    cut.mkdir(parents=True)
    metrics = train(data, chosen, 3, whole, tiny.silent)

    class Killed(Exception):
        pass

    def kill(share: float, doing: str) -> None:
        if "step 1 of 2" in doing and share > 0.6:
            raise Killed

    with pytest.raises(Killed):
        train(data, chosen, 3, cut, kill)
    assert not list(cut.iterdir())
    seen: list[str] = []
    again = train(data, chosen, 3, cut, lambda share, doing: seen.append(doing))
    assert len([each for each in seen if each.startswith("policy")]) == 2
    assert again == metrics
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert [child.name for child in cut.parent.iterdir()] == ["out"]
    assert json.loads((whole / "report.json").read_text())["verdict"] in ("better", "not better")
    assert (whole / "model.safetensors").read_bytes() != (tiny.LLAMA / "model.safetensors").read_bytes()


def test_the_value_model_starts_from_a_reward_model_of_the_same_tokens(
    candidate: Callable[[str], Artefact],
) -> None:
    import torch

    from shared.algorithms.language import models
    from shared.algorithms.language.scoring import Scorer
    from shared.algorithms.ppo.train import _value_model

    scorer = Scorer.load(candidate("reward_model").folder)
    tokenizer = models.tokenizer(tiny.LLAMA)
    started = _value_model(tiny.LLAMA, tokenizer, scorer)
    assert started is not scorer.model
    assert torch.equal(started.score.weight, scorer.model.score.weight)
    tokenizer.add_tokens(["<other>"])
    assert not torch.equal(
        _value_model(tiny.LLAMA, tokenizer, scorer).score.weight, scorer.model.score.weight
    )


def test_a_reward_model_of_larger_scores_teaches_the_same_where_rewards_are_normalised(
    asked: tuple[Dataset, Parameters], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from shared.algorithms.ppo import train as ppo

    data, chosen = asked
    ours, weights, gains = ppo._scorer, {}, {}
    for scale in (1.0, 8.0):

        def scorer(parameters: Parameters, scale: float = scale) -> Any:
            found = ours(parameters)
            with torch.no_grad():
                found.model.score.weight *= scale
            return found

        monkeypatch.setattr(ppo, "_scorer", scorer)
        out = tmp_path / str(scale) / "out"
        out.mkdir(parents=True)
        normalised = replace(chosen, normalise_reward=True, updates=2)
        gains[scale] = ppo.train(data, normalised, 3, out, tiny.silent)["gain"]
        weights[scale] = (out / "model.safetensors").read_bytes()
    assert weights[1.0] == weights[8.0] != (tiny.LLAMA / "model.safetensors").read_bytes()
    assert gains[8.0] == pytest.approx(8 * gains[1.0]) != 0


def test_several_answers_to_a_query_count_by_their_mean(candidate: Callable[[str], Artefact]) -> None:
    from shared.algorithms.language import models
    from shared.algorithms.language.scoring import Scorer
    from shared.algorithms.ppo.answering import Sampling, answers

    scorer = Scorer.load(candidate("reward_model").folder)
    model, tokenizer = models.causal(tiny.LLAMA), models.tokenizer(tiny.LLAMA)
    first, second = tiny.queries(2)
    sampling = Sampling(tokens=4, temperature=0.7, batch_size=8, seed=0)
    single, _ = answers(model, model, tokenizer, scorer, [first] * 3 + [second] * 3, sampling)
    several, _ = answers(model, model, tokenizer, scorer, [first, second], replace(sampling, each=3))
    assert several.rewards == pytest.approx(single.rewards.reshape(2, 3).mean(axis=1))
    assert several.lengths == pytest.approx(single.lengths.reshape(2, 3).mean(axis=1))
    assert single.rewards[:3].std() > 0


def test_refusals_name_what_is_wrong(
    asked: tuple[Dataset, Parameters], candidate: Callable[[str], Artefact], tmp_path: Path
) -> None:
    from shared.algorithms.ppo.train import train

    data, chosen = asked
    for wrong, reason in (
        (replace(chosen, min_samples=25), "24 queries, where min_samples asks for 25"),
        (replace(chosen, prompt_length=4), "0 of 18 queries have at most 4 tokens"),
        (replace(chosen, reward_model=str(tmp_path / "none")), "reward_model: there is no folder"),
        (replace(chosen, reward_model=str(tiny.LLAMA)), "reward_model: .*manifest.json"),
    ):
        with pytest.raises(NotTrainable, match=reason):
            train(data, wrong, 1, tmp_path, tiny.silent)
