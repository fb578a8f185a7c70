"""Vowpal Wabbit's SquareCB, with and without products of features."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from bandit_rounds import main
from vowpalwabbit import Workspace

GAMMA_SCALES = (10, 100, 1000)
SEED = 1


class VowpalWabbit:
    """One workspace, fed text. Feature names are words: as integers they would collide over actions."""

    def __init__(self, options: str, actions: int) -> None:
        self._vw = Workspace(f"--cb_explore {actions} {options} --quiet --random_seed {SEED}")
        self._random = random.Random(SEED)  # noqa: S311  draws of actions
        self._probability: dict[int, float] = {}

    def contexts(self, features: np.ndarray) -> list[Any]:
        return [
            (row, "| " + " ".join(f"f{i}:{value:.4f}" for i, value in enumerate(values)))
            for row, values in enumerate(features.tolist())
        ]

    def choose(self, contexts: list[Any]) -> list[int]:
        chosen = []
        for row, text in contexts:
            probabilities = self._vw.predict(text)
            action = self._random.choices(range(len(probabilities)), probabilities)[0]
            self._probability[row] = probabilities[action]
            chosen.append(action)
        return chosen

    def learn(self, contexts: list[Any], actions: list[int], rewards: list[float]) -> None:
        for (row, text), action, reward in zip(contexts, actions, rewards, strict=True):
            self._vw.learn(f"{action + 1}:{-reward}:{self._probability.pop(row):.6f} {text}")


def settings() -> dict[str, Any]:
    """Learning rates of exploration, the features alone and with their products."""
    options = {f"squarecb gamma {g}": f"--squarecb --gamma_scale {g}" for g in GAMMA_SCALES}
    for g in GAMMA_SCALES:
        options[f"squarecb gamma {g}, products"] = f"--squarecb --gamma_scale {g} --interactions ::"
    return {name: (lambda k, o=option: VowpalWabbit(o, k)) for name, option in options.items()}


if __name__ == "__main__":
    main(settings())
